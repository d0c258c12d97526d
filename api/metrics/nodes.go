package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"netchecker/mesh"
	"netchecker/probe"
)

var (
	nodeInfo = prometheus.NewDesc("netchecker_node_info",
		"Always 1 for a node that should have agents; zone is its failure domain, empty when nobody says.", []string{"node", "zone"}, nil)
	nodePaths = prometheus.NewDesc("netchecker_node_paths",
		"Number of paths from the node by state and network: host is host-to-host, pod are the three other kinds.",
		[]string{"node", "network", "state"}, nil)
)

// collectNodes makes the series of every node, however many there are: without them nobody sees in a
// large cluster, where healthy and unknown paths have no series, which nodes are silent.
func collectNodes(ch chan<- prometheus.Metric, view *mesh.View, known []mesh.AgentView) {
	for first := 0; first < len(known); {
		node, zone := known[first].Node, ""
		var count [mesh.Networks][probe.States]int
		last := first
		for ; last < len(known) && known[last].Node == node; last++ {
			zone = cmp.Or(zone, known[last].Zone)
			for to, states := range view.CountsFrom(last) {
				for state, n := range states {
					count[networkOf(mesh.KindOf(known[last].Network, mesh.Network(to)))][state] += n
				}
			}
		}
		first = last
		gauge(ch, nodeInfo, 1, node, valid(zone))
		for network := range mesh.Network(mesh.Networks) {
			for state, n := range count[network] {
				gauge(ch, nodePaths, float64(n), node, network.String(), probe.State(state).String())
			}
		}
	}
}

// networkOf is the network that a path tests: only between two hosts the virtual one has no part in it.
func networkOf(kind mesh.PathKind) mesh.Network {
	if kind == mesh.HostToHost {
		return mesh.Host
	}
	return mesh.Pod
}
