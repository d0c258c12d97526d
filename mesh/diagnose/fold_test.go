package diagnose

import (
	"net/netip"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// A node that took another's pod network has lost the way to its own pods, which looks like a
// policy by itself.
func TestAConflictExplainsThePodsOfBothNodes(t *testing.T) {
	const k, o = 1, 4
	w := newWorld(t, 6, nil)
	w.evidence = true
	w.start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			if e, hit := overlayOf(true, false)(k, o, from, to); hit {
				return e, true
			}
			return dies(true, false), from.node != to.node && to == place{o, mesh.Pod}
		},
		evidence: func(at place, s *probe.Snapshot) {
			if at == (place{o, mesh.Host}) {
				s.Link("cni0").Addrs = []netip.Prefix{netip.PrefixFrom(gateway(k), 24)}
			}
		}})
	for _, wrong := range w.check(w.run(14*time.Second), truth{kind: AddressConflict, cause: DuplicatePodCIDR, nodes: []int{k, o}}) {
		t.Error(wrong)
	}
	w.onlyEver(AddressConflict)
}

// Before all peers have sent the other's packets there, the node that took the network looks as if it
// had a fault of its own. That is over when the conflict is known.
func TestAConflictEndsWhatItExplains(t *testing.T) {
	const k, o = 1, 4
	w := newWorld(t, 6, nil)
	w.evidence = true
	w.start()
	own := func(from, to place) (effect, bool) {
		return dies(true, false), from.node != to.node && to == place{o, mesh.Pod}
	}
	w.inject(fault{path: own})
	if found := w.run(5 * time.Second); len(found) != 1 || found[0].Kind == AddressConflict {
		t.Fatalf("found %+v", found)
	}
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			if e, hit := overlayOf(true, false)(k, o, from, to); hit {
				return e, true
			}
			return own(from, to)
		},
		evidence: func(at place, s *probe.Snapshot) {
			if at == (place{o, mesh.Host}) {
				s.Link("cni0").Addrs = []netip.Prefix{netip.PrefixFrom(gateway(k), 24)}
			}
		}})
	w.since = epoch
	for _, wrong := range w.check(w.run(3*time.Second), truth{kind: AddressConflict, cause: DuplicatePodCIDR, nodes: []int{k, o}}) {
		t.Error(wrong)
	}
}

// A port that is closed on one node after the other is the cluster's matter in the end.
func TestWhatSpreadsToAllNodesIsOneFinding(t *testing.T) {
	w := newWorld(t, 6, nil).start()
	w.inject(fault{path: func(from, to place) (effect, bool) {
		return dies(true, true), touches(from, to, 1) && kindIs(from, to, pp, hp)
	}})
	if found := w.run(5 * time.Second); len(found) != 1 || found[0].Location.Scope != ScopeNode {
		t.Fatalf("found %+v", found)
	}
	w.inject(fault{path: func(from, to place) (effect, bool) {
		return dies(true, true), from.node != to.node && kindIs(from, to, pp, hp)
	}})
	w.since = epoch
	for _, wrong := range w.check(w.run(5*time.Second), truth{kind: OverlayBroken, cause: VXLANBlocked}) {
		t.Error(wrong)
	}
}

// Large packets that vanish make connections hang as well: that is no fault of the agent.
func TestAnMTUBlackHoleExplainsConnectionsThatHang(t *testing.T) {
	const k = 2
	w := newWorld(t, 5, nil)
	w.evidence = true
	w.start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			switch {
			case !touches(from, to, k) || !kindIs(from, to, pp, hp):
				return effect{}, false
			case from.node == k:
				return effect{fails: bigAndTCP, size: 1400, forth: true}, true
			}
			return effect{fails: onlyTCP, code: probe.CodeHung, back: true}, true
		},
		evidence: func(at place, s *probe.Snapshot) {
			if at == (place{k, mesh.Host}) {
				s.Link("flannel.1").MTU = 1400
				grow(s, probe.IPFragFails, 344)
				grow(s, probe.IPOutDiscards, 344)
			}
		}})
	for _, wrong := range w.check(w.run(14*time.Second), truth{kind: MTUBlackhole, cause: FragNeededFiltered, nodes: []int{k}}) {
		t.Error(wrong)
	}
	w.onlyEver(MTUBlackhole)
}

// A full connection table drops by chance: a pair that it cut off altogether is no fault of its own.
func TestACauseByChanceExplainsWhatLooksWorse(t *testing.T) {
	const k, o = 1, 3
	w := newWorld(t, 5, nil)
	w.evidence = true
	w.start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			switch {
			case between(from, to, k, o) && kindIs(from, to, pp, hp):
				return dies(true, true), true
			case touches(from, to, k):
				return effect{fails: onlyTCP, lossy: 0.3, forth: true}, true
			}
			return effect{}, false
		},
		evidence: func(at place, s *probe.Snapshot) {
			if at == (place{k, mesh.Host}) {
				s.Sysctls["net.netfilter.nf_conntrack_count"] = 262144
				grow(s, probe.ConntrackDrop, 317)
			}
		}})
	for _, wrong := range w.check(w.run(14*time.Second), truth{kind: NodeUnreachable, cause: ConntrackFull, nodes: []int{k}}) {
		t.Error(wrong)
	}
	w.onlyEver(NodeUnreachable)
}

// Where the server stands behind a broken node hardly anybody is heard, and those few see the others
// from one side only: they tell of themselves, and of nobody else.
func TestFewWitnessesBlameNobodyElse(t *testing.T) {
	const k, o = 0, 3
	w := newWorld(t, 7, nil)
	w.evidence = true
	w.start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			return dies(true, true), touches(from, to, k) && kindIs(from, to, pp, ph) && from.node == k || touches(from, to, o) && kindIs(from, to, pp, hp)
		},
		silent: func(at place) bool { return at.node != k },
	})
	w.run(14 * time.Second)
	w.onlyEver(ForwardingBroken)
	for _, f := range w.seen {
		if len(f.Location.Nodes) != 1 || f.Location.Nodes[0] != w.names[k] {
			t.Errorf("blames %v: %s", f.Location.Nodes, f.Summary)
		}
	}
}

// Whether a firewall drops or rejects is told by the node itself, a little later than its paths fail, or soon,
// but in numbers that are mostly of the time before.
func TestAFirewallThatRejectsIsNotSaidToDropBeforeItsNodeTells(t *testing.T) {
	const k = 3
	for name, late := range map[string]bool{"late": true, "diluted": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8, nil)
			w.evidence = true
			w.start()
			w.tells = func(at place) bool { return !late || at.node != k || w.now.Sub(w.since) > detect+3*time.Second }
			w.inject(fault{
				path: func(from, to place) (effect, bool) {
					if kindIs(from, to, hh, ph) {
						return effect{fails: onlyTCP, lossy: 0.2, forth: true}, to == place{k, mesh.Host}
					}
					return dies(true, false), touches(from, to, k)
				},
				evidence: func(at place, s *probe.Snapshot) {
					switch {
					case at != (place{k, mesh.Host}):
					case late:
						grow(s, probe.ICMPOutDestUnreachs, 60)
					default:
						s.Interval = 40 * time.Second
						grow(s, probe.ICMPOutDestUnreachs, uint64(8*w.now.Sub(w.since)/time.Second))
					}
				}})
			for _, wrong := range w.check(w.run(14*time.Second), truth{kind: PortBlocked, cause: HostFirewallReject, nodes: []int{k}}) {
				t.Error(wrong)
			}
			for _, f := range w.seen {
				if f.Cause == HostFirewallDrop {
					t.Errorf("said for a while: %s", f.Summary)
				}
			}
		})
	}
}

// When the overlay is closed everywhere, many rows are late: the agents look for peers that can relay.
// What the few who are heard see of one network stands for the other one, too.
func TestAnOverlayClosedEverywhereIsNoPolicyWhileFewAreHeard(t *testing.T) {
	for name, speaks := range map[string]func(at place) bool{
		"one pod":   func(at place) bool { return at.node == 0 || at.network == mesh.Host && at.node < 6 },
		"two hosts": func(at place) bool { return at.network == mesh.Pod && at.node < 4 || at.node < 2 },
		"one host":  func(at place) bool { return at.network == mesh.Pod && at.node < 6 || at.node < 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8, nil)
			w.evidence = true
			w.start()
			w.inject(fault{
				path: func(from, to place) (effect, bool) {
					return dies(true, true), from.node != to.node && kindIs(from, to, pp, hp)
				},
				silent: func(at place) bool { return !speaks(at) },
			})
			found := w.run(14 * time.Second)
			if len(found) != 1 || found[0].Location.Scope != ScopeCluster {
				t.Errorf("found %+v", found)
			}
			w.onlyEver(OverlayBroken)
		})
	}
}

// A fault of a node is said although one of its pairs has a cause of its own.
func TestAPairExplainsNoNode(t *testing.T) {
	const k, o = 2, 5
	w := newWorld(t, 7, nil)
	w.evidence = true
	w.start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			switch {
			case overlayPairHit(k, o, from, to):
				return dies(from.node == k, from.node == o), true
			case touches(from, to, k) && to == place{k, mesh.Pod}:
				return effect{fails: onlyTCP, lossy: 0.3, forth: true}, true
			}
			return effect{}, false
		},
		evidence: func(at place, s *probe.Snapshot) {
			if at == (place{k, mesh.Host}) {
				dropRoutes(s, func(r probe.Route) bool { return r.Dst == podNet(o) })
			}
		}})
	found := w.run(14 * time.Second)
	for _, wrong := range w.check(found, truth{kind: PodIngressBlocked, cause: PolicyOrFilter, nodes: []int{k}}, truth{kind: PairBroken, cause: RouteMissing, nodes: []int{k, o}}) {
		t.Error(wrong)
	}
}

func overlayPairHit(k, o int, from, to place) bool {
	_, hit := overlayPair(k, o, from, to)
	return hit
}
