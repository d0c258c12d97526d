package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
)

// agentName is the name in the path, checked.
func agentName(c echo.Context) (string, error) {
	name, err := url.PathUnescape(c.Param("name")) // the router leaves %2F and its like as they came
	if err != nil {
		return "", failf(http.StatusBadRequest, "agent name: %w", err)
	}
	if err := mesh.CheckName("agent name", name); err != nil {
		return "", fail(http.StatusBadRequest, err)
	}
	return name, nil
}

// postReport takes an agent's report: POST /api/v1/agents/{name}.
func (s *Server) postReport(c echo.Context) error {
	why, err := s.takeReport(c)
	if err != nil && !errors.Is(err, errDuplicate) {
		s.reports.refused[why].Add(1)
		s.log.Debug("report refused", "reason", why.String(), "from", c.RealIP(), "error", err)
		return err
	}
	c.Response().Header().Set("Content-Length", "0")
	return c.NoContent(http.StatusOK)
}

func (s *Server) takeReport(c echo.Context) (Refusal, error) {
	m := message{purpose: ForReport}
	var err error
	if m.name, err = agentName(c); err != nil {
		return Malformed, err
	}
	if why, err := s.admit(c, &m); err != nil {
		return why, err
	}
	body, done, err := s.readBody(c, MaxReport)
	if err != nil {
		return refusalOf(err), err
	}
	defer done()
	give, err := s.decodes.take(c.Request().Context(), "reports")
	if err != nil {
		return Overloaded, err
	}
	defer give()
	if why, err := s.verify(&m, body); err != nil {
		return why, err
	}
	r, err := DecodeReport(m.name, body)
	if err != nil {
		return Malformed, fail(http.StatusBadRequest, err)
	}
	if at := m.signature.Agent; m.proven && (r.NodeName != at.Node || r.Network != "" && r.Network != at.Network.String()) {
		return WrongSignature, failf(http.StatusForbidden, "report of %q: of node %q and network %q, its key is of %s", m.name, r.NodeName, r.Network, at)
	}
	m.via = s.via(c, &m, body)
	return s.keepReport(c, &m, r, len(body))
}

// keepReport stores a report that is in order.
func (s *Server) keepReport(c echo.Context, m *message, r *Report, size int) (Refusal, error) {
	now := s.now()
	ctx := c.Request().Context()
	old, err := s.cfg.Store.Get(ctx, m.name)
	if err != nil {
		return Unstored, fail(http.StatusInternalServerError, fmt.Errorf("store: %w", err))
	}
	if !m.signed && s.cfg.Auth != AuthNone && (old != nil && old.Authenticated || s.runs.knows(m.name)) {
		return Unsigned, failf(http.StatusForbidden, "agent %q: its reports are signed, this one is not", m.name)
	}
	if old == nil {
		if all, err := s.cfg.Store.All(ctx); err == nil && len(all) >= s.cfg.MaxAgents {
			return s.refused(fmt.Errorf("agent %q: %d are known: %w", m.name, len(all), errFull))
		}
	}
	if m.signed {
		if _, err := s.runs.take(m, now); err != nil {
			return s.refused(err)
		}
	}
	r.LastUpdated = now
	rec := &Record{Name: m.name, Report: *r, Authenticated: m.signed}
	if err := s.cfg.Store.Put(ctx, rec); err != nil {
		return Unstored, fail(http.StatusInternalServerError, fmt.Errorf("store: %w", err))
	}
	s.book.reported(rec.label(), rec.Interval(), now, now)
	s.reports.took(m, size)
	return 0, nil
}

// getReport serves GET /api/v1/agents/{name}.
func (s *Server) getReport(c echo.Context) error {
	name, err := agentName(c)
	if err != nil {
		return err
	}
	s.sayStore(c)
	rec, err := s.cfg.Store.Get(c.Request().Context(), name)
	if err != nil {
		return fail(http.StatusInternalServerError, fmt.Errorf("store: %w", err))
	}
	if behind := s.cfg.Store.Behind(); rec == nil && behind != nil {
		return failf(http.StatusInternalServerError, "agent %q: nobody can know whether it reported: %w", name, behind)
	}
	if rec == nil {
		return failf(http.StatusNotFound, "there is no such entry in the agent cache: %q", name)
	}
	body, err := json.Marshal(&rec.Report)
	if err != nil {
		return fmt.Errorf("report of %q: %w", name, err)
	}
	return c.JSONBlob(http.StatusOK, body)
}

// getReports serves GET /api/v1/agents/: the reports of the agents that exist, by pod name. It is
// empty braces when there are none.
func (s *Server) getReports(c echo.Context) error {
	s.sayStore(c)
	now := s.now()
	records, pods, err := s.existing(c, now)
	if err == nil {
		err = s.incomplete(records, pods, now)
	}
	if err != nil {
		return fail(http.StatusInternalServerError, err)
	}
	c.Response().Header().Set("Content-Type", "application/json")
	w := bufio.NewWriterSize(c.Response(), 64<<10)
	w.WriteByte('{')
	for i, rec := range records {
		body, err := json.Marshal(&rec.Report)
		if err != nil {
			return fmt.Errorf("report of %q: %w", rec.Name, err)
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteByte('"')
		w.WriteString(rec.Name) // mesh.CheckName leaves nothing to quote
		w.WriteString(`":`)
		w.Write(body)
	}
	w.WriteByte('}')
	w.Flush() // a reader who went away needs no error
	return nil
}

// existing returns the records of the agents that exist, and the agents, each sorted by name.
func (s *Server) existing(c echo.Context, now time.Time) ([]*Record, []ExpectedPod, error) {
	pods, err := s.cfg.Expected.Expected(now)
	if err != nil {
		return nil, nil, err
	}
	byName := func(a, b ExpectedPod) int { return compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(pods, byName) {
		pods = slices.SortedFunc(slices.Values(pods), byName)
	}
	records, err := s.cfg.Store.All(c.Request().Context())
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	out := make([]*Record, 0, len(records))
	for _, rec := range records {
		if _, exists := slices.BinarySearchFunc(pods, rec.Name, byPodName); exists {
			out = append(out, rec)
		}
	}
	return out, pods, nil
}

func byPodName(p ExpectedPod, name string) int { return compare(p.Name, name) }

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// StoreErrorHeader stands in every answer that comes out of a store that no longer keeps: the
// reports in it are those of memory, and a restart would lose them.
const StoreErrorHeader = "Netchecker-Store-Error"

// KubernetesErrorHeader stands in every answer about agents while the API server does not say which
// pods there are: since when and why the last list has not been renewed.
const KubernetesErrorHeader = "Netchecker-Kubernetes-Error"

func (s *Server) sayStore(c echo.Context) {
	if err := s.PodsStale(); err != nil {
		c.Response().Header().Set(KubernetesErrorHeader, headerText(err.Error()))
	}
	if err := s.cfg.Store.Err(); err != nil {
		c.Response().Header().Set(StoreErrorHeader, headerText(err.Error()))
	}
}

// headerText makes any text safe in a header.
func headerText(s string) string {
	b := []byte(s[:min(len(s), 200)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
