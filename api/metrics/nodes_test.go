package metrics

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTheNodesCountWhatAllCount: the same paths, once by kind and once by node.
func TestTheNodesCountWhatAllCount(t *testing.T) {
	s := newSource(t, 4)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewServerCollector(s, "", 0))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]map[string]float64{"netchecker_paths": {}, "netchecker_node_paths": {}}
	for _, f := range families {
		sum := sums[f.GetName()]
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if sum != nil && l.GetName() == "state" {
					sum[l.GetValue()] += m.Gauge.GetValue()
				}
			}
		}
	}
	if byNode := sums["netchecker_node_paths"]; !maps.Equal(byNode, sums["netchecker_paths"]) || byNode["unknown"] != 14 || byNode["failing"] != 1 {
		t.Errorf("counted %v", sums)
	}
}
