package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// witness reads the matrix until stopped and keeps every path that was ever failing or degraded.
type witness struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	bad  map[string]int
	read int
}

func watch(t *testing.T, c *cluster.Cluster) *witness {
	ctx, cancel := context.WithCancel(t.Context())
	w := &witness{stop: cancel, bad: map[string]int{}}
	w.done.Go(func() {
		for ; ctx.Err() == nil; pause(ctx) {
			m, err := c.Matrix(ctx, nil)
			if err != nil {
				continue
			}
			w.mu.Lock()
			w.read++
			for _, p := range m.Pairs {
				if p.State == "failing" || p.State == "degraded" {
					w.bad[fmt.Sprintf("%s>%s %s %s%s", p.Source, p.Destination, p.Path, p.State, why(p))]++
				}
			}
			w.mu.Unlock()
		}
	})
	return w
}

// none fails the test if any path was ever bad, or if nobody looked.
func (w *witness) none(t *testing.T) {
	t.Helper()
	w.stop()
	w.done.Wait()
	if w.read == 0 {
		t.Error("the matrix was never read")
	}
	for path, times := range w.bad {
		t.Errorf("%s in %d of %d readings", path, times, w.read)
	}
	t.Logf("FIGURE no path failing or degraded in %d readings", w.read)
}

// rollout replaces every agent of a network, one node after the other, as a DaemonSet's rolling
// update does with maxUnavailable 1.
func rollout(t *testing.T, c *cluster.Cluster, network mesh.Network) {
	t.Helper()
	for i := 1; i <= c.Lab.Nodes(); i++ {
		if err := c.ReplaceAgent(i, network); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARollingRestartWithNewAddressesShowsNoFailingPath(t *testing.T) {
	c := start(t, lab.Config{Nodes: 4}, cluster.Config{Secret: "a secret of the laboratory"})
	w, l := watch(t, c), listen(t, c)
	defer l.close()
	var both sync.WaitGroup
	for network := range mesh.Network(mesh.Networks) {
		both.Go(func() { rollout(t, c, network) })
	}
	both.Wait()
	awaitAllOK(t, c)
	w.none(t)
	l.nothing(t)
}

// TestSoak is for figures: NETCHECKER_SOAK says how long, and it is skipped without.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("NETCHECKER_SOAK"))
	if err != nil {
		t.Skip("NETCHECKER_SOAK=30m runs a healthy lab that long")
	}
	c := start(t, lab.Config{Nodes: 5}, cluster.Config{Secret: "a secret of the laboratory"})
	w, l := watch(t, c), listen(t, c)
	defer l.close()
	for end := time.Now().Add(length); time.Now().Before(end); {
		time.Sleep(min(5*time.Minute, time.Until(end)/2+time.Second))
		for network := range mesh.Network(mesh.Networks) {
			rollout(t, c, network)
		}
		awaitAllOK(t, c)
		t.Logf("rollout done, %.0f s to go", time.Until(end).Seconds())
	}
	w.none(t)
	l.nothing(t)
}

func TestAPartitionHealsAndRostersAreWholeAgain(t *testing.T) {
	c := start(t, lab.Config{Nodes: 5, Zones: 2}, cluster.Config{})
	heal, err := c.Lab.Inject(t.Context(), "partition")
	if err != nil {
		t.Fatal(err)
	}
	// Zone 2, nodes 4 and 5, cannot report: the server is in zone 1.
	want, _ := expect(5, "HH,PP,HP,PH {123}>{45} failing; HH,PP,HP,PH {45}>* unknown; HPL,PHL {45} unknown")
	t.Logf("FIGURE partition seen after %.1f s", await(t, c, want).Seconds())
	time.Sleep(40 * time.Second) // long enough for gossip to call the others dead and forget them
	if err := heal(); err != nil {
		t.Fatal(err)
	}
	t.Logf("FIGURE partition gone after %.1f s", awaitAllOK(t, c).Seconds())
	awaitGossip(t, c)
}

// awaitGossip waits until every agent's gossip hears all agents and the server.
func awaitGossip(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	began := time.Now()
	var odd []string
	for time.Since(began) < patience {
		odd = odd[:0]
		for i := 1; i <= c.Lab.Nodes(); i++ {
			for network := range mesh.Network(mesh.Networks) {
				if n, err := c.GossipMembers(t.Context(), i, network); err != nil || n != 2*c.Lab.Nodes()+1 {
					odd = append(odd, fmt.Sprintf("node%d/%s hears %d (%v)", i, network, n, err))
				}
			}
		}
		if len(odd) == 0 {
			t.Logf("FIGURE rosters whole after %.1f s", time.Since(began).Seconds())
			return
		}
		pause(t.Context())
	}
	t.Errorf("rosters not whole after %v: %s", patience, strings.Join(odd, "; "))
}

func TestANodeThatCannotReachTheServerReportsThroughAPeer(t *testing.T) {
	c := start(t, lab.Config{Nodes: 3}, cluster.Config{Secret: "a secret of the laboratory"})
	heal, err := c.Lab.Inject(t.Context(), "server-unreachable", 3)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for via := []string(nil); ; pause(t.Context()) {
		m, err := c.Matrix(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		via = via[:0]
		for _, n := range m.Nodes {
			for network, a := range n.Agents {
				if a.Via != "" {
					via = append(via, n.Name+"/"+network)
				}
				if a.State != "reporting" {
					via = append(via, n.Name+"/"+network+" is "+a.State)
				}
			}
		}
		slices.Sort(via)
		if slices.Equal(via, []string{"node3/host", "node3/pod"}) {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("relayed: %v, want the two agents of node3 alone", via)
		}
	}
	t.Logf("FIGURE relayed after %.1f s", time.Since(began).Seconds())
	awaitAllOK(t, c)
	if err := heal(); err != nil {
		t.Fatal(err)
	}
}
