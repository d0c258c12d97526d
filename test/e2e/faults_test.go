package e2e

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// scenario is a fault and what the matrix must show of it, on exactly these paths and no others.
type scenario struct {
	fault string
	args  []int
	want  string
}

const (
	overlayDead = "PP,HP 3<>* failing"
	nodeDead    = "HH,PP,HP,PH *>3 failing; HH,PP,HP,PH 3>* unknown; HPL,PHL 3 unknown"
)

// scenarios are the faults of one node or pair of a cluster of five, by their real mechanisms.
var scenarios = []scenario{
	{"fw-8472-in", []int{3}, overlayDead},
	// Only the server's own node reaches it then: what the others see comes through that node's agents.
	{"fw-8472-all", nil, "PP,HP *>* failing"},
	{"ip-forward-0", []int{3}, "PP 3<>* failing; HP *>3 failing; PH 3>* failing"},
	{"sg-pair", []int{3, 4}, "HH,PP,HP,PH 3<>4 failing"},
	// Chance decides whether three of these losses stand in a row.
	{"loss", []int{3, 4, 30}, "HH,PP,HP,PH 3<>4 degraded|failing"},
	{"mtu-fabric-low", []int{3}, "HH,PP,HP 3<>* degraded"},
	{"mtu-flannel-low", []int{3}, "PP,HP 3>* degraded"},
	// TCP stalls where what it sends must pass the low link: the 8 KiB echo of node3's pods and of those who ask them.
	{"mtu-pmtud-blackhole", []int{3}, "PP,HP 3>* degraded; PP,HP *>3 degraded|ok"},
	{"tcp-syn-drop", []int{3}, "HH,PP,HP,PH *>3 degraded"},
}

// runs is how often each fault is injected: once in a test, NETCHECKER_RUNS times for figures.
func runs() int {
	if n, err := strconv.Atoi(os.Getenv("NETCHECKER_RUNS")); err == nil && n > 0 {
		return n
	}
	return 1
}

func TestEveryFaultShowsOnExactlyItsPathsAndGoesAway(t *testing.T) {
	c := start(t, lab.Config{Nodes: 5}, cluster.Config{})
	for _, s := range scenarios {
		t.Run(s.fault, func(t *testing.T) {
			want, err := expect(c.Lab.Nodes(), s.want)
			if err != nil {
				t.Fatal(err)
			}
			var seen, healed []time.Duration
			for range runs() {
				heal, err := c.Lab.Inject(t.Context(), s.fault, s.args...)
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, await(t, c, want))
				if err := heal(); err != nil {
					t.Fatal(err)
				}
				healed = append(healed, awaitAllOK(t, c))
			}
			report(t, s.fault, seen, healed)
		})
	}
	t.Run("agent-dead", func(t *testing.T) {
		want, _ := expect(c.Lab.Nodes(), "PP,HP *>3 failing; HPL 3 failing; PP,PH 3>* unknown; PHL 3 unknown")
		var seen, healed []time.Duration
		for range runs() {
			c.KillAgent(3, mesh.Pod)
			seen = append(seen, await(t, c, want))
			if err := c.StartAgent(3, mesh.Pod); err != nil {
				t.Fatal(err)
			}
			healed = append(healed, awaitAllOK(t, c))
		}
		report(t, "agent-dead", seen, healed)
	})
	t.Run("node-dead", func(t *testing.T) {
		want, _ := expect(c.Lab.Nodes(), nodeDead)
		var seen, healed []time.Duration
		for range runs() {
			heal, err := c.Lab.Inject(t.Context(), "node-dead", 3)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, await(t, c, want))
			if err := heal(); err != nil {
				t.Fatal(err)
			}
			for network := range mesh.Network(mesh.Networks) {
				if err := c.StartAgent(3, network); err != nil {
					t.Fatal(err)
				}
			}
			healed = append(healed, awaitAllOK(t, c))
		}
		report(t, "node-dead", seen, healed)
	})
}

// report logs the medians; the figures in notes come from here.
func report(t *testing.T, fault string, seen, healed []time.Duration) {
	slices.Sort(seen)
	slices.Sort(healed)
	t.Logf("FIGURE %-20s runs %d  seen after median %.1f s (%.1f to %.1f)  gone after median %.1f s (%.1f to %.1f)", fault, len(seen),
		seen[len(seen)/2].Seconds(), seen[0].Seconds(), seen[len(seen)-1].Seconds(),
		healed[len(healed)/2].Seconds(), healed[0].Seconds(), healed[len(healed)-1].Seconds())
}
