package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// Explanation is what an expert lays out about a node, or about a pair of nodes: what was found, the
// paths with both ends' loss, and in what the nodes differ from healthy ones.
type Explanation struct {
	GeneratedAt time.Time `json:"generated_at"`
	Node        string    `json:"node,omitempty"`
	Source      string    `json:"source,omitempty"`
	Destination string    `json:"destination,omitempty"`
	// State is that of the worst of the paths concerned.
	State    string             `json:"state"`
	Findings []diagnose.Finding `json:"findings"`
	// Counts are the paths concerned, by kind and direction: from and to the node, or from source to
	// destination ("from") and back ("to").
	Counts []PathCounts `json:"counts"`
	// Pairs are paths as in the matrix: all of a pair, both ways; of a node those that are not ok.
	Pairs []json.RawMessage `json:"pairs"`
	// PairsLeftOut is how many more there are.
	PairsLeftOut int            `json:"pairs_left_out"`
	Agents       []AgentSummary `json:"agents"`
	// Different lists what the nodes concerned read of themselves and healthy nodes read otherwise.
	Different []Difference `json:"different"`
	// Same lists what was compared and is as on healthy nodes, by sort.
	Same []Sameness `json:"same"`
	// Compared is how many healthy nodes that is.
	Compared int `json:"compared"`
}

// PathCounts counts the paths of one kind in one direction.
type PathCounts struct {
	Path      string `json:"path"`
	Direction string `json:"direction"`
	Total     int    `json:"total"`
	OK        int    `json:"ok"`
	Degraded  int    `json:"degraded"`
	Failing   int    `json:"failing"`
	Unknown   int    `json:"unknown"`
}

// AgentSummary is an agent of a node concerned.
type AgentSummary struct {
	Node       string     `json:"node"`
	Network    string     `json:"network"`
	Name       string     `json:"name"`
	Address    string     `json:"address"`
	State      string     `json:"state"`
	LastReport *time.Time `json:"last_report"`
	Via        string     `json:"via"`
	Doubt      string     `json:"doubt,omitempty"`
	// EvidenceAt is when the agent last told what it read of its node, null when it never did.
	EvidenceAt *time.Time `json:"evidence_at"`
	// Missing is what it could not read.
	Missing []string `json:"missing"`
}

// maxExplained bounds the paths of an explanation.
const maxExplained = 200

// getExplain serves GET /api/v1/explain?node= or ?source=&destination=.
func (s *Server) getExplain(c echo.Context) error {
	values, err := queryOf(c, "destination", "node", "source")
	if err != nil {
		return err
	}
	e := Explanation{Findings: []diagnose.Finding{}, Pairs: []json.RawMessage{}, Agents: []AgentSummary{}, Different: []Difference{}, Same: []Sameness{}}
	for what, to := range map[string]*string{"node": &e.Node, "source": &e.Source, "destination": &e.Destination} {
		if *to, err = nodeWord(what, values); err != nil {
			return fail(http.StatusBadRequest, err)
		}
	}
	if (e.Node == "") == (e.Source == "" || e.Destination == "") || (e.Source == "") != (e.Destination == "") {
		return failf(http.StatusBadRequest, "want node, or source and destination")
	}
	view := s.View()
	agents := view.Agents()
	for _, node := range [][2]string{{"node", e.Node}, {"source", e.Source}, {"destination", e.Destination}} {
		if err := checkNode(node[0], node[1], agents); err != nil {
			return fail(http.StatusBadRequest, err)
		}
	}
	e.GeneratedAt = view.Generated.UTC()
	e.find(s.Findings())
	e.paths(view)
	e.agents(agents)
	e.compare(agents)
	body, err := json.Marshal(&e)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSONBlob(http.StatusOK, body)
}

// nodes are those concerned.
func (e *Explanation) nodes() []string {
	switch {
	case e.Node != "":
		return []string{e.Node}
	case e.Source == e.Destination:
		return []string{e.Source}
	}
	return []string{e.Source, e.Destination}
}

// find keeps the findings about the nodes concerned, and those about no node in particular.
func (e *Explanation) find(open []diagnose.Finding) {
	for i := range open {
		f := &open[i]
		about := slices.Clone(f.Location.Nodes)
		about = append(about, f.Location.Source, f.Location.Destination, f.Location.Culprit)
		if len(f.Location.Nodes) == 0 && f.Location.Source == "" || slices.ContainsFunc(e.nodes(), func(n string) bool { return slices.Contains(about, n) }) {
			e.Findings = append(e.Findings, *f)
		}
	}
}

// paths counts and lists the paths concerned. What is known to be bad comes before what nobody knows:
// of a dead node in a large cluster the latter alone are more than are listed.
func (e *Explanation) paths(view *mesh.View) {
	there, back := mesh.Filter{Source: e.Source, Destination: e.Destination}, mesh.Filter{Source: e.Destination, Destination: e.Source}
	lists := []uint8{0}
	if e.Node != "" {
		there, back = mesh.Filter{Source: e.Node}, mesh.Filter{Destination: e.Node}
		lists = []uint8{mesh.WantState(probe.Failing) | mesh.WantState(probe.Degraded), mesh.WantState(probe.Unknown)}
	}
	ways := []mesh.Filter{there, back}
	if there == back {
		ways = ways[:1]
	}
	e.State = e.count(view, ways).String()
	for _, states := range lists {
		for i, way := range ways {
			way.States = states
			for ref := range view.Refs(way) {
				p := view.Path(ref)
				switch {
				case e.Node != "" && i == 1 && p.Source.Node == e.Node: // it was listed as from
				case len(e.Pairs) == maxExplained:
					e.PairsLeftOut++
				default:
					j := &jsonBuf{}
					j.pair(&p)
					e.Pairs = append(e.Pairs, j.b)
				}
			}
		}
	}
}

// count counts the paths of each way by kind and returns the worst state among them, unknown when
// there are none.
func (e *Explanation) count(view *mesh.View, ways []mesh.Filter) probe.State {
	worst, any := probe.OK, false
	for i, way := range ways {
		var counts [mesh.PathKinds][probe.States]int
		for ref := range view.Refs(way) {
			p := view.Path(ref)
			if e.Node != "" && i == 1 && p.Source.Node == e.Node {
				continue // it was counted as from
			}
			counts[p.Kind()][p.State]++
			worst, any = probe.Worst(worst, p.State), true
		}
		for k := range counts {
			n := &counts[k]
			e.Counts = append(e.Counts, PathCounts{Path: mesh.PathKind(k).String(), Direction: [...]string{"from", "to"}[i], OK: n[probe.OK], Degraded: n[probe.Degraded],
				Failing: n[probe.Failing], Unknown: n[probe.Unknown], Total: n[probe.OK] + n[probe.Degraded] + n[probe.Failing] + n[probe.Unknown]})
		}
	}
	if !any {
		return probe.Unknown
	}
	return worst
}

func (e *Explanation) agents(all []mesh.AgentView) {
	for i := range all {
		a := &all[i]
		if !slices.Contains(e.nodes(), a.Node) {
			continue
		}
		out := AgentSummary{Node: a.Node, Network: a.Network.String(), Name: a.Name, Address: addressOf(a), State: a.Report.String(), Via: a.Via, Missing: []string{}}
		if a.Doubt != 0 {
			out.Doubt = a.Doubt.String()
		}
		if at := a.LastReport.UTC(); !at.IsZero() {
			out.LastReport = &at
		}
		if at := a.EvidenceAt.UTC(); a.Evidence != nil {
			out.EvidenceAt = &at
			for _, m := range a.Evidence.Missing {
				out.Missing = append(out.Missing, m.Part+": "+m.Why)
			}
		}
		e.Agents = append(e.Agents, out)
	}
}
