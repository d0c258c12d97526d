package diagnose

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// leave ends an agent as Kubernetes does: it says so, and answers for a while.
func (w *world) leave(at place) {
	r := w.row(at)
	r.Leaving = true
	r.Seal()
	if err := w.matrix.Put(r, "", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.registry.Left(w.agents[at].Name, w.now)
	w.matrix.SetRoster(w.registry.Roster(), w.now)
	w.skip[at] = true
}

// come starts an agent under a new name, with a new address as far as its peers are concerned: for
// two seconds they ask the old one.
func (w *world) come(at place, run int) {
	w.addAgent(at, run)
	w.roster()
	delete(w.skip, at)
	born := w.now
	w.faults = append(w.faults, fault{path: func(_, to place) (effect, bool) {
		return effect{fails: everything, forth: true}, to == at && w.now.Sub(born) < 2*time.Second
	}})
	w.since = epoch
}

func TestARollingRestartYieldsNothing(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	for run := 1; run <= 2; run++ {
		for node := range 5 {
			for network := range mesh.Network(mesh.Networks) {
				at := place{node, network}
				w.leave(at)
				w.run(3 * time.Second)
				w.come(at, run)
				w.run(3 * time.Second)
			}
		}
	}
	w.run(20 * time.Second)
	w.onlyEver()
}

func TestADrainedNodeYieldsNothing(t *testing.T) {
	w := newWorld(t, 4, nil).start()
	w.facts = map[string]NodeFacts{"node3": {Cordoned: true}}
	w.run(5 * time.Second)
	w.leave(place{2, mesh.Pod})
	w.leave(place{2, mesh.Host})
	w.inject(fault{path: func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, 2) }})
	w.run(60 * time.Second)
	w.onlyEver()
}

// TestAFaultEndsWithTheAgentsThatSawIt has the agents of the host network taken away on purpose while their
// port is closed on all nodes, or on one: as long as Kubernetes lists the nodes they stay in the roster as left.
func TestAFaultEndsWithTheAgentsThatSawIt(t *testing.T) {
	for _, nodes := range [][]int{{0, 1, 2, 3, 4}, {2}} {
		w := newWorld(t, 5, nil).start()
		w.inject(fault{path: func(from, to place) (effect, bool) {
			return effect{fails: notPing, forth: true}, to.network == mesh.Host && from.node != to.node && slices.Contains(nodes, to.node)
		}})
		open := w.run(15 * time.Second)
		if len(open) != 1 || open[0].Kind != PortBlocked {
			t.Fatalf("closed at nodes %v: %v", nodes, open)
		}
		for node := range 5 {
			w.leave(place{node, mesh.Host})
		}
		if found := w.run(30 * time.Second); len(found) != 1 || found[0].ID != open[0].ID {
			t.Errorf("closed at nodes %v: while others may come in their place: %v", nodes, found)
		}
		for _, f := range w.run(3 * time.Minute) {
			t.Errorf("closed at nodes %v: said for ever: %s", nodes, f.Summary)
		}
	}
}

func TestADeletedNodeYieldsNothing(t *testing.T) {
	w := newWorld(t, 4, nil).start()
	w.facts = map[string]NodeFacts{"node3": {Gone: true}}
	w.inject(fault{path: func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, 2) },
		silent: func(at place) bool { return at.node == 2 }})
	w.run(60 * time.Second)
	w.onlyEver()
}

// The pods of a node that died are told to go when somebody rolls them out anew, and nobody there hears it.
func TestTerminatingPodsOfADeadNodeDoNotHideIt(t *testing.T) {
	w := newWorld(t, 4, nil).start()
	w.leaving = map[string]bool{"agent-pod-2-0": true, "agent-host-2-0": true}
	w.facts = map[string]NodeFacts{"node3": {NotReady: true}}
	w.inject(fault{path: func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, 2) },
		silent: func(at place) bool { return at.node == 2 }})
	for _, wrong := range w.check(w.run(10*time.Second), truth{kind: NodeDown, nodes: []int{2}}) {
		t.Error(wrong)
	}
}

// An agent that is killed before it can say that it goes, as when its grace has run out.
func TestATerminatingPodYieldsNothing(t *testing.T) {
	for _, told := range []bool{true, false} {
		w := newWorld(t, 4, nil).start()
		if told {
			w.leaving = map[string]bool{"agent-pod-2-0": true}
		}
		w.inject(fault{path: func(from, to place) (effect, bool) {
			gone := place{2, mesh.Pod}
			return dies(true, true), from == gone || to == gone
		}, silent: func(at place) bool { return at == place{2, mesh.Pod} }})
		found := w.run(60 * time.Second)
		if said := len(found) > 0; said == told {
			t.Errorf("terminating %v: found %v", told, found)
		}
	}
}

func TestScalingUpYieldsNothing(t *testing.T) {
	w := newWorld(t, 12, nil)
	for i := range 4 {
		for network := range mesh.Network(mesh.Networks) {
			w.addAgent(place{i, network}, 0)
		}
	}
	w.roster()
	w.run(5 * time.Second)
	for i := 4; i < 12; i++ {
		w.come(place{i, mesh.Host}, 0)
		w.run(2 * time.Second)
		w.come(place{i, mesh.Pod}, 0)
	}
	w.run(30 * time.Second)
	w.onlyEver()
}

// A starved agent answers late or not at all and its own probes fail; it says so itself.
func TestAStarvedNodeYieldsNothing(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			if from.node == 2 && to.node == 2 {
				return effect{}, false
			}
			return effect{fails: notPing, forth: true}, from.node == 2 || to.node == 2
		},
		doubt: func(at place) probe.Doubt {
			if at.node == 2 {
				return probe.DoubtLag
			}
			return 0
		}})
	w.run(60 * time.Second)
	w.onlyEver()
}

func TestAServerThatRestartsYieldsNothingAndSaysWhatLasts(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	w.matrix, w.tracker = mesh.NewMatrix(), NewTracker()
	w.roster()
	for i := range w.n {
		w.skip[place{i, mesh.Pod}], w.skip[place{i, mesh.Host}] = true, true
	}
	w.run(5 * time.Second)
	for at := range w.skip { // rows come back one by one
		delete(w.skip, at)
		w.run(time.Second)
	}
	w.run(10 * time.Second)
	w.onlyEver()
}

func TestAClockThatJumpsYieldsNothing(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	now := w.now
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, 24 * time.Hour} {
		now = now.Add(jump)
		for range 10 {
			now = now.Add(500 * time.Millisecond)
			for at := range w.agents {
				if err := w.matrix.Put(w.row(at), "", now); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range w.tracker.Round(Input{View: w.matrix.View(now), Now: now}) {
				t.Errorf("after a jump of %v: %s", jump, f.Summary)
			}
		}
	}
}

func TestSilenceOfAllIsTheServersFault(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	w.inject(fault{silent: func(place) bool { return true }})
	for _, wrong := range w.check(w.run(10*time.Second), truth{kind: ServerUnreachable, cause: ServerDown}) {
		t.Error(wrong)
	}
	w.onlyEver(ServerUnreachable)
	w.heal()
	if found := w.run(8 * time.Second); len(found) > 0 {
		t.Errorf("still said: %s", found[0].Summary)
	}
}

// The server is a pod like others: when its node is cut off, it hears that node's agents and no others.
func TestTheServersNodeThatIsCutOffIsSaid(t *testing.T) {
	for _, n := range []int{3, 5, 20} {
		w := newWorld(t, n, nil)
		w.services, w.evidence = true, true
		w.start()
		w.inject(fault{path: func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, 0) },
			silent: func(at place) bool { return at.node != 0 }})
		for _, wrong := range w.check(w.run(10*time.Second), truth{kind: NodeUnreachable, nodes: []int{0}}) {
			t.Errorf("%d nodes: %s", n, wrong)
		}
		w.onlyEver(NodeUnreachable)
		w.heal()
		if found := w.run(8 * time.Second); len(found) > 0 {
			t.Errorf("still said: %s", found[0].Summary)
		}
	}
}

func TestAnAgentThatDoesNotReportIsSaidAfterAWhile(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	mute := place{1, mesh.Pod}
	w.inject(fault{silent: func(at place) bool { return at == mute }})
	if found := w.run(15 * time.Second); len(found) > 0 {
		t.Errorf("too early: %s", found[0].Summary)
	}
	for _, wrong := range w.check(w.run(20*time.Second), truth{kind: AgentUnhealthy, cause: NotReporting, nodes: []int{1}}) {
		t.Error(wrong)
	}
}

// A fault stays said for as long as it lasts, even when those who saw it fall silent.
func TestSilenceIsNoRecovery(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	dead := truth{kind: OverlayBroken, nodes: []int{2}}
	dead.fault.path = func(from, to place) (effect, bool) {
		return dies(true, true), touches(from, to, 2) && kindIs(from, to, pp, hp)
	}
	w.inject(dead.fault)
	first := w.run(8 * time.Second)
	w.inject(fault{path: dead.fault.path, silent: func(place) bool { return true }})
	w.since = epoch
	found := w.run(20 * time.Second)
	for _, wrong := range w.check(found, dead, truth{kind: ServerUnreachable, cause: ServerDown}) {
		t.Error(wrong)
	}
	w.inject(fault{path: dead.fault.path})
	w.since = epoch
	found = w.run(8 * time.Second)
	for _, wrong := range w.check(found, dead) {
		t.Error(wrong)
	}
	if len(first) != 1 || len(found) != 1 || first[0].ID != found[0].ID || !first[0].Since.Equal(found[0].Since) {
		t.Error("the finding lost its identity")
	}
}

func TestAFindingComesSoonAndKeepsItsWords(t *testing.T) {
	for _, family := range families() {
		w := newWorld(t, 6, nil).start()
		truth := family.make(6, w.rng)
		w.inject(truth.fault)
		said := map[string]string{}
		var first time.Duration
		for range 40 {
			for _, f := range w.step(500 * time.Millisecond) {
				if first == 0 {
					first = w.now.Sub(w.since) - detect
				}
				if old := said[f.ID]; old != "" && old != f.Summary {
					t.Errorf("%s: reworded from %q to %q", family.name, old, f.Summary)
				}
				said[f.ID] = f.Summary
			}
		}
		limit := 2500 * time.Millisecond
		switch {
		case truth.cause == ProcessHung:
			limit = 13 * time.Second
		case truth.kind == PartialLoss, truth.kind == NodeUnreachable:
			limit = 6 * time.Second
		case truth.kind == ProtocolBlocked && truth.cause == "":
			limit = 11 * time.Second
		case truth.kind == HighLatency, truth.kind == FlowBlackhole, truth.kind == PortBlocked, truth.kind == ProtocolBlocked, truth.kind == PodIngressBlocked, truth.kind == NodeRoutingBroken, truth.kind == AgentDown:
			limit = 4 * time.Second
		}
		if first == 0 || first > limit || len(said) != 1 {
			t.Errorf("%s: first said %v after its rows, want within %v; %d findings", family.name, first, limit, len(said))
		}
		if testing.Verbose() {
			fmt.Printf("%-45s %v\n", family.name, first)
		}
	}
}

// A node that was down comes back part by part: its host network takes small packets while the windows
// of connections still hold the losses, and its pods come last. None of that is a fault of its own.
func TestANodeThatComesBackPartByPartIsNotBehindAFirewall(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	w.inject(fault{path: func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, 1) },
		silent: func(at place) bool { return at.node == 1 }})
	for _, wrong := range w.check(w.run(8*time.Second), truth{kind: NodeDown, nodes: []int{1}}) {
		t.Error(wrong)
	}
	for network := range mesh.Network(mesh.Networks) {
		w.addAgent(place{1, network}, 1)
	}
	w.roster()
	w.inject(fault{path: func(from, to place) (effect, bool) {
		switch {
		case !touches(from, to, 1) || from.node == to.node || w.now.Sub(w.since) > 13*time.Second:
			return effect{}, false
		case from.network == mesh.Pod || to.network == mesh.Pod:
			return dies(true, true), true
		}
		return effect{fails: onlyTCP, forth: true}, to.node == 1
	}})
	w.run(30 * time.Second)
	w.onlyEver(NodeDown)
}

// What a node read while its interface was down arrives once that is up again, when some of its paths, or
// those of one direction, are well before the others: then the interface is no cause any more.
func TestAnInterfaceThatWasDownIsNoFaultOnceItIsUp(t *testing.T) {
	const k = 4
	for name, still := range map[string]func(from, to place) bool{
		"some of its own are not well": func(from, to place) bool { return to.node == k || to.node < 2 },
		"its own are not well":         func(from, _ place) bool { return from.node == k },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 7, nil)
			w.evidence = true
			w.start()
			down := fault{evidence: func(at place, s *probe.Snapshot) {
				if at == (place{k, mesh.Host}) {
					s.Link("eth0").Up = false
				}
			}}
			w.inject(fault{
				path:   func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, k) },
				silent: func(at place) bool { return at.node == k },
			}, down)
			w.run(8 * time.Second)
			w.inject(fault{path: func(from, to place) (effect, bool) {
				return dies(true, false), touches(from, to, k) && still(from, to)
			}}, down)
			w.since = w.since.Add(-time.Minute)
			w.run(4 * time.Second)
			w.heal()
			w.run(10 * time.Second)
			for _, f := range w.seen {
				if f.Kind != NodeDown && f.Cause == NICDown {
					t.Errorf("said for a while: %s", f.Summary)
				}
			}
		})
	}
}

// In a big mesh rows come every 15 s unless something changes, so that the last one of a node that died is
// still young when all others have lost it. What it said of the node's own paths was before that.
func TestTheLastRowOfADeadNodeIsNotBelieved(t *testing.T) {
	const k = 4
	var w *world
	for name, c := range map[string]struct {
		fault fault
		kinds []Kind
		last  Kind
		cause Cause
		late  bool // only the next row tells
	}{
		"node": {fault{
			path:   func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, k) },
			silent: func(at place) bool { return at.node == k },
		}, []Kind{NodeUnreachable, NodeDown}, NodeDown, CauseUnknown, false},
		"host agent": {fault{
			path: func(from, to place) (effect, bool) {
				return effect{fails: notPing, code: probe.CodeRefused, forth: true}, to == place{k, mesh.Host}
			},
			silent: func(at place) bool { return at == place{k, mesh.Host} },
		}, []Kind{AgentDown}, AgentDown, ProcessDown, true},
		"firewall": {fault{
			path: func(from, to place) (effect, bool) {
				return dies(true, false), touches(from, to, k) && to.node == k || from.node != k && to == place{k, mesh.Host}
			},
		}, []Kind{PortBlocked}, PortBlocked, HostFirewallDrop, false},
		// Its node notices nothing by itself and tells what it always does, when that is due.
		"firewall that rejects": {fault{
			path: func(from, to place) (effect, bool) {
				return effect{fails: notPing, code: probe.CodeRefused, forth: true}, to == place{k, mesh.Host}
			},
			silent: func(at place) bool { return at.node == k && w.now.Sub(w.since) < 14*time.Second },
		}, []Kind{PortBlocked}, PortBlocked, HostFirewallDrop, true},
		// Nothing answers, not even ping: that no process has died need not wait for its row.
		"policy": {fault{
			path: func(from, to place) (effect, bool) {
				return dies(true, false), from.node != k && to == place{k, mesh.Pod}
			},
			silent: func(at place) bool { return at.node == k && w.now.Sub(w.since) < 14*time.Second },
		}, []Kind{PodIngressBlocked}, PodIngressBlocked, PolicyOrFilter, false},
	} {
		t.Run(name, func(t *testing.T) {
			w = newWorld(t, 12, nil)
			w.interval = 15 * time.Second
			w.start()
			w.inject(c.fault)
			if early := w.run(10 * time.Second); len(early) == 0 && !c.late {
				t.Error("nothing is said after 10 s")
			}
			for _, wrong := range w.check(w.run(20*time.Second), truth{kind: c.last, cause: c.cause, nodes: []int{k}}) {
				t.Error(wrong)
			}
			w.onlyEver(c.kinds...)
		})
	}
}
