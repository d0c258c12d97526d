package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"netchecker/api"
	"netchecker/mesh"
)

func TestRoundTripsOfTheLastHour(t *testing.T) {
	trips := &mesh.Trips{}
	f := serve(t, func(c *api.Config) { c.Trips = trips })
	c := newCluster(t, 3)
	f.setRoster(c.registry.Roster())
	for range 3 {
		for _, a := range c.agents {
			if err := f.matrix.Put(c.row(a, nil), "", f.clock()); err != nil {
				t.Fatal(err)
			}
		}
		trips.Take(f.server.View())
		f.pass(mesh.TripsEvery)
	}
	status, body := f.get("/api/v1/latency/history?source=node1&destination=node2")
	var got api.RoundTrips
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	if len(got.Times) != 3 || !got.Times[2].Equal(epoch.Add(2*mesh.TripsEvery)) || got.StepSeconds != 10 || got.Note != "" || len(got.Series) != 4 {
		t.Errorf("%+v", got)
	}
	mustContain(t, body, `"times":["2026-01-01T00:00:00Z","2026-01-01T00:00:10Z","2026-01-01T00:00:20Z"]`,
		`{"path":"host-to-host","family":"ipv4","rtt_ms":[0.292,0.292,0.292],"failing":[]}`)
	for query, reason := range map[string]string{
		"":                                      "want source and destination",
		"?source=node1":                         "want source and destination",
		"?source=node1&destination=node9":       `destination \"node9\": no such node, there are 3: node1, node2, node3`,
		"?source=node1,node2&destination=node3": "source: want the name of one node",
		"?source=node1&destination=node3&path=all":                   "path",
		"?source=node1&destination=node3&at=yesterday":               "at",
		"?source=" + strings.Repeat("x", 300) + "&destination=node3": "source",
	} {
		status, body := f.get("/api/v1/latency/history" + query)
		if status != 400 {
			t.Errorf("%.80s: %d %s", query, status, body)
		}
		mustContain(t, body, reason)
	}
}

func TestRoundTripsOfTooManyPathsAreNotRemembered(t *testing.T) {
	trips := &mesh.Trips{}
	f := serve(t, func(c *api.Config) { c.Trips = trips })
	c := newCluster(t, 300)
	f.setRoster(c.registry.Roster())
	trips.Take(f.server.View())
	status, body := f.get("/api/v1/latency/history?source=node1&destination=node300")
	if want := `"step_seconds":0,"note":"there are 360000 paths, round trips are remembered of at most 279620","times":[],"series":[]}`; status != 200 || !strings.HasSuffix(body, want) {
		t.Errorf("%d %s, want %s", status, body, want)
	}
	young := serve(t, func(c *api.Config) { c.Trips = &mesh.Trips{} })
	young.setRoster(c.registry.Roster())
	status, body = young.get("/api/v1/latency/history?source=node1&destination=node300")
	if want := `"step_seconds":0,"note":"nothing is remembered yet","times":[],"series":[]}`; status != 200 || !strings.HasSuffix(body, want) {
		t.Errorf("before the first moment: %d %s, want %s", status, body, want)
	}
	if status, body := serve(t, nil).get("/api/v1/latency/history?source=node1&destination=node2"); status != 400 {
		t.Error(fmt.Sprint(status, body))
	}
}
