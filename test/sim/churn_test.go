package sim_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
	. "netchecker/test/sim"
)

// quiet is the truth while agents come and go: nobody may call a path bad, and what touches one of
// them may be unknown for a while.
func quiet(touched func(Place) bool) Truth {
	return func(s, d Place, _ mesh.Family) uint8 {
		if touched(s) || touched(d) {
			return OK | Unknown
		}
		return OK
	}
}

func everybody(Place) bool { return true }

// slowNews is gossip on a bad day: news takes up to 4 s, half of what a lame duck has.
func slowNews(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(4 * time.Second))) }

func TestHalfAnHourOfChurnYieldsNoBadPath(t *testing.T) {
	t.Parallel()
	const size = churnNodes
	l := healthy(t, Config{Nodes: size, Zones: 2, Seed: 2, NewsDelay: slowNews})
	random := rand.New(rand.NewPCG(3, 3))
	replaced := 0
	for l.Now() < 30*time.Minute {
		if a := l.Agent(l.Place(random.IntN(size), mesh.Network(random.IntN(mesh.Networks)))); a != nil && random.IntN(3) == 0 {
			l.Replace(a)
			replaced++
		}
		l.stays(5*time.Second, quiet(everybody))
	}
	l.settle(20 * time.Second)
	t.Logf("%d agents replaced in %v; peak %d probes/s; %s", replaced, l.Now(), l.Peak(), l.Rows())
}

// settle waits until all is ok, with nothing bad on the way.
func (l *lab) settle(limit time.Duration) time.Duration {
	l.t.Helper()
	start := l.Now()
	for len(l.Compare(l.View(), Healthy)) > 0 {
		if l.Now()-start > limit {
			l.must("not settled", Healthy)
		}
		l.stays(sample, quiet(everybody))
	}
	return l.Now() - start
}

func TestRollingUpdateTouchesNobodyElse(t *testing.T) {
	for name, order := range map[string][]mesh.Network{
		"one DaemonSet after the other": {mesh.Pod, mesh.Host},
		"both at once":                  {mesh.Networks},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Seed: 4, NewsDelay: slowNews})
			for _, network := range order {
				for node := range l.Nodes() {
					for n := range mesh.Network(mesh.Networks) {
						if a := l.Agent(l.Place(node, n)); a != nil && (n == network || network == mesh.Networks) {
							l.Replace(a)
						}
					}
					// The next goes when this one's successor is there: some successors are news to some still.
					l.stays(14*time.Second, quiet(func(p Place) bool { return p.Node == node || p.Node == (node+l.Nodes()-1)%l.Nodes() }))
				}
			}
			took := l.settle(10 * time.Second)
			l.stays(time.Minute, Healthy)
			t.Logf("all ok %v after the last; peak %d probes/s; %s", took, l.Peak(), l.Rows())
		})
	}
}

func TestScaleUpByAThird(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Zones: 3, Seed: 5, NewsDelay: slowNews})
	old := l.Nodes()
	if err := l.Grow((old + 2) / 3); err != nil {
		t.Fatal(err)
	}
	took, start := time.Duration(0), l.Now()
	for len(l.Compare(l.View(), Healthy)) > 0 && l.Now()-start < 20*time.Second {
		l.stays(sample, quiet(func(p Place) bool { return p.Node >= old }))
		took = l.Now() - start
	}
	l.stays(time.Minute, Healthy)
	t.Logf("from %d to %d nodes: all ok after %v; peak %d probes/s", old, l.Nodes(), took, l.Peak())
}

func TestAgentThatDiesIsFailingUntilItIsBack(t *testing.T) {
	for network := range mesh.Network(mesh.Networks) {
		t.Run(network.String(), func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Seed: 6})
			place := l.Place(1, network)
			dead := func(s, d Place, _ mesh.Family) uint8 {
				switch place {
				case s:
					return Unknown
				case d:
					return Failing
				}
				return OK
			}
			l.Kill(l.Agent(place))
			found := l.until(soon+staleIn(*nodes), dead, Healthy)
			l.stays(2*time.Minute, dead) // gossip calls it dead meanwhile, which must not silence anybody
			p := l.path(l.Place(0, mesh.Host), place)
			if s := p.Probes[probe.UDP]; s.Code != probe.CodeRefused {
				t.Errorf("udp to a dead process: %s, want refused", s.Code)
			}
			if s := p.Probes[probe.ICMP]; s.State != probe.OK {
				t.Errorf("icmp to a living kernel is %s", s.State)
			}
			if err := l.Start(place, 0); err != nil {
				t.Fatal(err)
			}
			back := l.until(gone, Healthy, dead)
			l.stays(time.Minute, Healthy)
			t.Logf("found after %v, gone %v after the start of its successor", found, back)
		})
	}
}

func TestNewServerKnowsAllWithinAnInterval(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Seed: 7, Zones: 3})
	l.Break("fault", PodNetworkDown(1))
	truth := podsFail(1)
	l.until(soon, truth, Healthy)
	l.RestartServer()
	for start := l.Now(); l.Now()-start < 5*time.Second; l.Run(sample) {
		l.must("after the restart", func(s, d Place, f mesh.Family) uint8 { return truth(s, d, f) | Unknown })
		if len(l.Compare(l.View(), truth)) == 0 && l.Now()-start > sample {
			t.Logf("the new server says the same after %v", l.Now()-start)
			break
		}
	}
	l.stays(20*time.Second, truth)
}
