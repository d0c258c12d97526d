package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"netchecker/mesh/diagnose"
)

var (
	finding = prometheus.NewDesc("netchecker_finding",
		"1 for every fault that diagnosis has found and that lasts; cause is empty when the evidence does not decide.",
		[]string{"kind", "node", "peer", "network", "cause"}, nil)
	findingSince = prometheus.NewDesc("netchecker_finding_since_timestamp_seconds",
		"When the trouble began that a finding is about; summary is its sentence.",
		[]string{"kind", "severity", "node", "peer", "network", "cause", "summary"}, nil)
	findingsLeftOut = prometheus.NewDesc("netchecker_findings_without_series",
		"Number of findings that have no series of their own, since there are too many.", nil, nil)
)

// maxFindings bounds the findings with a series of their own. Diagnosis folds what has one cause
// into one finding: a thousand of them are no news any more.
const maxFindings = 1000

// collectFindings makes two series for each open finding: one to alert on, and one to read, with its
// sentence, which diagnosis rewords only when more becomes known. Two findings with the same labels,
// such as the same fault in both families, are one: a series that is there twice would cost the
// reader all of them.
func collectFindings(ch chan<- prometheus.Metric, open []diagnose.Finding) {
	seen := map[[5]string]bool{}
	left := 0
	for i := range open {
		f := &open[i]
		node, peer := place(&f.Location)
		key := [5]string{string(f.Kind), valid(node), valid(peer), f.Location.Network, string(f.Cause)}
		switch {
		case seen[key]:
		case len(seen) == maxFindings:
			left++
		default:
			seen[key] = true
			gauge(ch, finding, 1, key[:]...)
			gauge(ch, findingSince, float64(f.Since.UnixMilli())/1e3, key[0], string(f.Severity), key[1], key[2], key[3], key[4], valid(f.Summary))
		}
	}
	gauge(ch, findingsLeftOut, float64(left))
}

// place names the node that a finding is about and, for a pair, the other one. A split and a fault
// of the whole cluster are about no node.
func place(l *diagnose.Location) (node, peer string) {
	switch l.Scope {
	case diagnose.ScopePair:
		return l.Source, l.Destination
	case diagnose.ScopeNode, diagnose.ScopeAgent:
		node = l.Culprit
		if len(l.Nodes) > 0 {
			node = cmp.Or(node, l.Nodes[0])
		}
		for _, n := range l.Nodes { // the other owner of an address
			if n != node {
				return node, n
			}
		}
	}
	return node, peer
}
