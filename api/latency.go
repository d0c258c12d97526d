package api

import (
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
	"netchecker/probe"
)

// maxLatencyNodes bounds the nodes whose round trips are told at once: a byte a pair, 1 MB.
const maxLatencyNodes = 1000

// getLatency serves GET /api/v1/latency: the round trips of one path kind between all nodes.
func (s *Server) getLatency(c echo.Context) error {
	if _, err := queryOf(c, "path"); err != nil {
		return err
	}
	kind, err := mesh.ParsePathKind(c.QueryParam("path"))
	if err != nil {
		return failf(http.StatusBadRequest, "path %q: want one of %s", clip(c.QueryParam("path")), pathWords)
	}
	d := newDrawing(s.View())
	if n := len(d.names); n > maxLatencyNodes {
		return failf(http.StatusBadRequest, "there are %d nodes, round trips are told at once of at most %d: ask /api/v1/matrix?state=all&source=NODE", n, maxLatencyNodes)
	}
	j := &jsonBuf{}
	j.raw(`{"generated_at":`)
	j.time(d.v.Generated)
	j.raw(`,"path":"` + kind.String() + `","nodes":[`)
	for n, name := range d.names {
		if n > 0 {
			j.raw(",")
		}
		j.text(name)
	}
	j.raw(`],"rows":[`)
	row := make([]byte, len(d.names))
	for n := range d.names {
		if n > 0 {
			j.raw(",")
		}
		clear(row)
		d.roundTrips(n, kind, row)
		j.raw(`"`)
		j.b = base64.StdEncoding.AppendEncode(j.b, row)
		j.raw(`"`)
	}
	j.raw("]}\n")
	c.Response().Header().Set("Cache-Control", "no-store")
	body := j.b
	if wantsZip(c, body) {
		if body, err = zip(body); err != nil {
			return fmt.Errorf("latency: %w", err)
		}
	}
	return c.JSONBlob(http.StatusOK, body)
}

// roundTrips enters the round trips of udp from node n as a row carries them; the longer of two families.
func (d *drawing) roundTrips(n int, kind mesh.PathKind, out []byte) {
	from, to := kind.Ends()
	i := d.agents[n][from]
	if i < 0 {
		return
	}
	state, _ := d.v.Reported(i)
	_, _, place := d.v.BadOf(i)
	row, _ := d.v.RowOf(i)
	if state != mesh.Reporting {
		return
	}
	for at, p := range place {
		if p == mesh.NoPlace || int(p>>1) == i || d.v.Agent(int(p>>1)).Network != to {
			continue
		}
		c, node := row.Cell(at), d.node[p>>1]
		if c.ProbeState(probe.UDP) != probe.Failing { // of what fails it is of earlier
			out[node] = max(out[node], c.RTT[probe.UDP])
		}
	}
}
