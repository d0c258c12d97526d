package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"netchecker/mesh"
	"netchecker/probe"
)

// Difference is one thing that an agent of a node read of it and that is otherwise on healthy nodes.
type Difference struct {
	Node    string `json:"node"`
	Network string `json:"network"`
	// Sort is what kind of thing it is: "sysctls", "links", "routes", "rules", "ports", "tunnels",
	// "neighbours", "counters", "firewall".
	Sort string `json:"sort"`
	Fact string `json:"fact"`
	// Value is what it is there and Usual what it is on most healthy nodes; "" where it is absent.
	Value string `json:"value"`
	Usual string `json:"usual"`
	// Have of Of healthy nodes have the usual value.
	Have int `json:"have"`
	Of   int `json:"of"`
}

// Sameness is how many facts of one sort are as on healthy nodes.
type Sameness struct {
	Node    string `json:"node"`
	Network string `json:"network"`
	Sort    string `json:"sort"`
	Facts   int    `json:"facts"`
	// Examples names a few of them.
	Examples []string `json:"examples"`
}

const (
	// maxCompared is how many healthy nodes are compared with.
	maxCompared = 24
	// maxDifferences bounds what is listed of one agent.
	maxDifferences = 100
	// maxExamples bounds the names of what is the same.
	maxExamples = 8
)

// fact names a thing that can be read of a node.
type fact struct{ sort, name string }

// compare holds what the agents of the nodes concerned read against those of healthy nodes.
func (e *Explanation) compare(all []mesh.AgentView) {
	concerned := e.nodes()
	for network := range mesh.Network(mesh.Networks) {
		var others []*probe.Snapshot
		for i := range all {
			a := &all[i]
			if a.Network == network && a.Evidence != nil && a.Report == mesh.Reporting && !slices.Contains(concerned, a.Node) && !e.blames(a.Node) {
				others = append(others, a.Evidence)
			}
		}
		if n := len(others); n > maxCompared { // spread over the cluster
			for i := range maxCompared {
				others[i] = others[i*n/maxCompared]
			}
			others = others[:maxCompared]
		}
		e.Compared = max(e.Compared, len(others))
		for i := range all {
			if a := &all[i]; a.Network == network && a.Evidence != nil && len(others) > 0 && slices.Contains(concerned, a.Node) {
				e.against(a, others)
			}
		}
	}
}

// blames reports whether a finding is about a node, which then is no example of health.
func (e *Explanation) blames(node string) bool {
	for i := range e.Findings {
		if l := &e.Findings[i].Location; len(l.Groups) == 0 && (slices.Contains(l.Nodes, node) || l.Source == node || l.Destination == node) {
			return true
		}
	}
	return false
}

// against compares one agent's evidence.
func (e *Explanation) against(a *mesh.AgentView, others []*probe.Snapshot) {
	values := map[fact]map[string]int{}
	for _, s := range others {
		for f, v := range factsOf(s) {
			if values[f] == nil {
				values[f] = map[string]int{}
			}
			values[f][v]++
		}
	}
	here := factsOf(a.Evidence)
	same := map[string][]string{}
	var out []Difference
	differ := func(f fact, value, usual string, have int) {
		out = append(out, Difference{a.Node, a.Network.String(), f.sort, f.name, value, usual, have, len(others)})
	}
	for f, counts := range values {
		usual, have := most(counts)
		value, there := here[f]
		switch {
		case 2*have <= len(others): // no two nodes agree on it: an address, the name of a pod's link
		case there && value == usual:
			same[f.sort] = append(same[f.sort], f.name)
		default:
			differ(f, value, usual, have)
		}
	}
	for f, value := range here {
		if values[f] == nil && !ownName(f.name) {
			differ(f, value, "", len(others))
		}
	}
	for c, rates := range ratesOf(a.Evidence, others) {
		if rates[0] >= 1 && rates[0] >= 4*rates[1] {
			differ(fact{"counters", c}, fmt.Sprintf("%.1f/s", rates[0]), fmt.Sprintf("at most %.1f/s", rates[1]), len(others))
		} else {
			same["counters"] = append(same["counters"], c)
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Or(cmp.Compare(a.Sort, b.Sort), cmp.Compare(a.Fact, b.Fact)) })
	e.Different = append(e.Different, out[:min(len(out), maxDifferences)]...)
	for _, sort := range slices.Sorted(maps.Keys(same)) {
		names := same[sort]
		slices.Sort(names)
		e.Same = append(e.Same, Sameness{a.Node, a.Network.String(), sort, len(names), names[:min(len(names), maxExamples)]})
	}
}

// most is the most frequent value, of equally frequent ones the least.
func most(counts map[string]int) (value string, n int) {
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		if counts[v] > n {
			value, n = v, counts[v]
		}
	}
	return value, n
}

// ownName reports whether a fact is about a link that has a name of its own on every node, as the
// host's ends of pods' links have.
func ownName(name string) bool {
	for _, prefix := range []string{"veth", "cali", "lxc", "eni", "tap", "cilium_", "nodelocaldns"} {
		if strings.Contains(name, " "+prefix) || strings.Contains(name, "."+prefix) {
			return true
		}
	}
	return false
}

// ratesOf holds, by counter, the growth per second here and the highest elsewhere, as far as both were read.
func ratesOf(here *probe.Snapshot, others []*probe.Snapshot) map[string][2]float64 {
	out := map[string][2]float64{}
	if here.Interval <= 0 {
		return out
	}
	for c := range probe.Counter(probe.Counters) {
		if !here.Counters[c].Known || volume(c) {
			continue
		}
		highest := 0.0
		for _, s := range others {
			highest = max(highest, s.Rate(c))
		}
		out[c.String()] = [2]float64{here.Rate(c), highest}
	}
	return out
}

// volume reports whether a counter only says how much a node has to do.
func volume(c probe.Counter) bool {
	switch c {
	case probe.IPInReceives, probe.IPInDelivers, probe.IPForwarded, probe.IPOutRequests, probe.TCPActiveOpens, probe.TCPOutSegs, probe.IP6InReceives,
		probe.IP6InDelivers, probe.IP6Forwarded, probe.ConntrackFound, probe.SoftnetProcessed:
		return true
	}
	return false
}
