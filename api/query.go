package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// query is what a reader of the matrix asked for.
type query struct {
	format string
	filter mesh.Filter
	all    bool      // every state
	at     time.Time // the zero time for now
}

var formats = []string{"json", "text", "csv"}

// queryWords are the parameters of the matrix.
var queryWords = []string{"at", "destination", "format", "path", "source", "state"}

// notOK are the states that are shown when nobody says which.
const notOK = 1<<probe.Degraded | 1<<probe.Failing | 1<<probe.Unknown

const (
	stateWords = "all, ok, degraded, failing, unknown"
	pathWords  = "pod-to-pod, host-to-pod, pod-to-host, host-to-host"
)

// parseQuery reads the matrix's parameters. Lists may be separated by commas or given in several
// parameters. Its errors name the allowed values.
func parseQuery(values url.Values, now time.Time) (q query, err error) {
	if q.at, err = momentOf("at", values, now); err != nil {
		return q, err
	}
	q.format = "json"
	if list := split(values["format"]); len(list) > 0 {
		q.format = list[len(list)-1]
	}
	if !slices.Contains(formats, q.format) {
		return q, fmt.Errorf("format %q: want one of %s", clip(q.format), strings.Join(formats, ", "))
	}
	for _, word := range split(values["state"]) {
		if word == "all" {
			q.all = true
			continue
		}
		state, err := probe.ParseState(word)
		if err != nil {
			return q, fmt.Errorf("state %q: want one of %s", clip(word), stateWords)
		}
		q.filter.States |= mesh.WantState(state)
	}
	if q.all {
		q.filter.States = 0
	} else if q.filter.States == 0 {
		q.filter.States = notOK
	}
	for _, word := range split(values["path"]) {
		kind, err := mesh.ParsePathKind(word)
		if err != nil {
			return q, fmt.Errorf("path %q: want one of %s", clip(word), pathWords)
		}
		q.filter.Kinds |= mesh.WantKind(kind)
	}
	if q.filter.Source, err = nodeWord("source", values); err != nil {
		return q, err
	}
	q.filter.Destination, err = nodeWord("destination", values)
	return q, err
}

func split(values []string) (out []string) {
	for _, v := range values {
		for word := range strings.SplitSeq(v, ",") {
			if word = strings.TrimSpace(word); word != "" {
				out = append(out, word)
			}
		}
	}
	return out
}

func nodeWord(what string, values url.Values) (string, error) {
	list := split(values[what])
	switch len(list) {
	case 0:
		return "", nil
	case 1:
		return list[0], mesh.CheckName(what, list[0])
	}
	return "", fmt.Errorf("%s: want the name of one node", what)
}

// checkNodes refuses names of nodes that are not among the agents'.
func (q *query) checkNodes(agents []mesh.AgentView) error {
	if err := checkNode("source", q.filter.Source, agents); err != nil {
		return err
	}
	return checkNode("destination", q.filter.Destination, agents)
}

// checkNode refuses the name of a node that no agent is on: an empty answer would pass for a healthy
// node. No name is well.
func checkNode(what, name string, agents []mesh.AgentView) error {
	if name == "" || slices.ContainsFunc(agents, func(a mesh.AgentView) bool { return a.Node == name }) {
		return nil
	}
	var known []string
	for _, a := range agents {
		if len(known) == 0 || known[len(known)-1] != a.Node {
			known = append(known, a.Node)
		}
	}
	text := strings.Join(known[:min(len(known), 20)], ", ")
	if len(known) > 20 {
		text += ", …"
	}
	return fmt.Errorf("%s %q: no such node, there are %d: %s", what, clip(name), len(known), text)
}

// getMatrix serves GET /api/v1/matrix. The answer is written as it is made, out of one view.
func (s *Server) getMatrix(c echo.Context) error {
	values, err := queryOf(c, queryWords...)
	if err != nil {
		return err
	}
	now := s.now()
	q, err := parseQuery(values, now)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	m := &snapshot{query: q}
	if q.at.IsZero() {
		m.view, m.conflicts, m.findings = s.cfg.Matrix.View(now), s.Conflicts(), s.Findings()
		s.annotate(c, m)
	} else if m.view, m.findings, err = s.past(c, q.at); err != nil {
		return err
	}
	m.agents = m.view.Agents()
	if err := q.checkNodes(m.agents); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	switch q.format {
	case "text":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		return m.writeText(c.Response())
	case "csv":
		h.Set("Content-Type", "text/csv; charset=utf-8")
		return m.writeCSV(c.Response())
	}
	h.Set("Content-Type", "application/json")
	return m.writeJSON(c.Response())
}

// snapshot is what an answer about the matrix is made of.
type snapshot struct {
	view      *mesh.View
	agents    []mesh.AgentView
	query     query
	conflicts map[string]Conflict
	findings  []diagnose.Finding
	// nodes and leaving annotate nodes and agents, by their names, with what Kubernetes says.
	nodes   map[string]diagnose.NodeFacts
	leaving map[string]bool
}

// annotate adds what Kubernetes says of nodes and agents. An old copy is marked as such.
func (s *Server) annotate(c echo.Context, m *snapshot) {
	if s.cfg.Nodes != nil {
		m.nodes = s.cfg.Nodes()
	}
	if s.cfg.Leaving != nil {
		m.leaving = s.cfg.Leaving()
	}
	if err := s.PodsStale(); err != nil {
		c.Response().Header().Set(KubernetesErrorHeader, headerText(err.Error()))
	}
}
