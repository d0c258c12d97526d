package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// ping serves GET /api/v1/ping, which agents probe and measure by.
func ping(c echo.Context) error { return c.NoContent(http.StatusOK) }

// healthz serves GET /healthz: 200 while the process serves at all.
func (s *Server) healthz(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// readyz serves GET /readyz: 503 while the store does not keep or nobody knows which agents exist.
// The second line says how far the store is behind with writing.
func (s *Server) readyz(c echo.Context) error {
	err := s.unready()
	s.sayReady(err)
	if err != nil {
		return fail(http.StatusServiceUnavailable, err)
	}
	return c.String(http.StatusOK, "ok\n"+storeLine(s.cfg.Store.Stats())+kubernetesLine(s.PodsStale()))
}

// unready says why the server is not ready, nil when it is.
func (s *Server) unready() error {
	if err := s.cfg.Store.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if _, err := s.cfg.Expected.Expected(s.now()); err != nil {
		return fmt.Errorf("agents expected: %w", err)
	}
	return nil
}

// sayReady logs when the server becomes ready or ceases to be, and another reason once a minute: it
// may name another agent each time. The Event that the kubelet makes of it tells the status alone.
func (s *Server) sayReady(err error) {
	text, now := "", s.now()
	if err != nil {
		text = err.Error()
	}
	s.readyMu.Lock()
	before := s.unreadyFor
	same := text == before || text != "" && before != "" && now.Sub(s.unreadySaid) < time.Minute
	if !same {
		s.unreadyFor, s.unreadySaid = text, now
	}
	s.readyMu.Unlock()
	switch {
	case same:
	case text == "":
		s.log.Info("ready again", "was_not_for", before)
	default:
		s.log.Warn("not ready", "error", text)
	}
}

// kubernetesLine says that the pods are the last known. The server stays ready: it knows more than
// one that was just started, and who asks for the matrix must find somebody.
func kubernetesLine(stale error) string {
	if stale == nil {
		return ""
	}
	return "Kubernetes: " + stale.Error() + "\n"
}

// storeLine says how old the oldest unwritten report is; nothing of a store that writes nothing.
func storeLine(st StoreStats) string {
	if st.Bound == 0 {
		return ""
	}
	return fmt.Sprintf("store %s: %d reports not written yet, the oldest %.1f s old, at most %.1f s while the store works\n",
		st.Kind, st.Unwritten, st.Age.Seconds(), st.Bound.Seconds())
}

// indexText names what there is.
const indexText = `netchecker server %s

/api/v1/connectivity_check       200 when every agent reports, 400 with the list of those that do not; ?matrix=true also checks the paths
/api/v1/matrix?format=text       every path between every pair of nodes, for reading; format=json, text, csv
    &state=all                   also: ok, degraded, failing, unknown (default: all that is not ok)
    &path=pod-to-pod             also: host-to-pod, pod-to-host, host-to-host
    &source=NODE&destination=NODE
    &at=TIME                     as it stood then, or so long ago: 2026-01-02T15:04:05Z or 15m
/api/v1/findings                 what is broken, and why; ?at=TIME as of then, ?since=TIME what has been since then
/api/v1/explain?node=NODE        what an expert would lay out of a node; or ?source=NODE&destination=NODE of a pair
/api/v1/history                  what changed: ?since=TIME&until=TIME&source=NODE&destination=NODE&path=KIND&state=STATE&limit=N&after=NEXT
/api/v1/overview                 the state of every pair in a few bytes; ?since=VERSION tells what is new
/api/v1/events                   the same as server-sent events
/api/v1/latency?path=pod-to-pod   round trips between all nodes, a byte each
/api/v1/latency/history          those of the last hour between two nodes: ?source=NODE&destination=NODE
/api/v1/openapi.yaml             the description of all this
/api/v1/agents/                  the last report of each agent
/api/v1/agents/NAME              that of one agent
/api/v1/ping                     200
/metrics                         for Prometheus
/healthz /readyz                 for Kubernetes
`

// index serves GET /api/v1/, and GET / when no page is mounted there.
func (s *Server) index(c echo.Context) error {
	return c.String(http.StatusOK, fmt.Sprintf(indexText, s.cfg.Version))
}
