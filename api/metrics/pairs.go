package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"netchecker/mesh"
	"netchecker/probe"
)

var (
	pairLabels = []string{"source", "destination", "path", "family", "probe"}
	pathUp     = prometheus.NewDesc("netchecker_path_up",
		"1 while the probe comes back over the path, 0 while it is lost in a row; absent when nobody fresh says.", pairLabels, nil)
	pathLoss = prometheus.NewDesc("netchecker_path_loss_ratio",
		"Share of probes lost on the way there (forward), back (return) and in all (round_trip), 0 to 1.",
		[]string{"source", "destination", "path", "family", "probe", "direction"}, nil)
	pathRTT = prometheus.NewDesc("netchecker_path_rtt_seconds",
		"Round trip of the path; absent while nothing comes back.", pairLabels, nil)
	pathState = prometheus.NewDesc("netchecker_path_state",
		"State of the path: 0 unknown, 1 ok, 2 degraded, 3 failing.", []string{"source", "destination", "path", "family"}, nil)
	pathsLeftOut = prometheus.NewDesc("netchecker_paths_without_series",
		"Number of paths that are not ok and have no series of their own, since there are too many.", nil, nil)
)

// maxPairs bounds the paths with series of their own: when a cluster of 5,000 nodes falls apart,
// nobody reads 100 million series, and Prometheus would go down with it.
const maxPairs = 10_000

// collectPairs makes the series of every path, or of those that are not ok.
func collectPairs(ch chan<- prometheus.Metric, view *mesh.View, counts *[mesh.PathKinds]mesh.Counts, all bool) {
	filter, n, bad := mesh.Filter{}, 0, 0
	if !all {
		filter.States = mesh.WantState(probe.Degraded) | mesh.WantState(probe.Failing)
		for k := range counts {
			bad += counts[k].ByState[probe.Degraded] + counts[k].ByState[probe.Failing]
		}
	}
	for p := range view.Paths(filter) {
		if n++; n > maxPairs && !all { // to make all paths of a big cluster only to count them takes far longer than a scrape may
			break
		}
		source, destination, kind := p.Source.Node, p.Destination.Node, p.Kind()
		gauge(ch, pathState, float64(p.State), source, destination, kind.String(), p.Family.String())
		collectPath(ch, source, destination, kind, p.Family, &p.Probes)
	}
	gauge(ch, pathsLeftOut, float64(max(bad-maxPairs, 0)))
}

func collectPath(ch chan<- prometheus.Metric, source, destination string, kind mesh.PathKind, family mesh.Family, probes *[probe.Kinds]probe.Status) {
	path, fam := kind.String(), family.String()
	for k := range probes {
		if s := probes[k].State; s != probe.Unknown {
			gauge(ch, pathUp, truth(s != probe.Failing), source, destination, path, fam, probe.Kind(k).String())
		}
	}
	udp := &probes[probe.UDP]
	if udp.State == probe.Unknown {
		return
	}
	for _, l := range [...]struct {
		direction string
		loss      probe.Loss
	}{{"forward", udp.Forward}, {"return", udp.Return}, {"round_trip", udp.Loss}} {
		if ratio, known := l.loss.Ratio(); known {
			gauge(ch, pathLoss, ratio, source, destination, path, fam, "udp", l.direction)
		}
	}
	if udp.RTT > 0 && udp.State != probe.Failing { // of what fails it is of earlier
		gauge(ch, pathRTT, udp.RTT.Seconds(), source, destination, path, fam, "udp")
	}
}

// valid makes a label of anything.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
