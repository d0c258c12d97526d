package diagnose

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// shown is a fault whose cause the evidence shows: paths as in its family, and what is read where.
type shown struct {
	name     string
	least    int
	kind     Kind
	cause    Cause
	path     func(k, o int, from, to place) (effect, bool)
	silent   func(k int, at place) bool
	evidence func(w *world, k, o int, at place, s *probe.Snapshot)
	// pair says that the place is the pair k, o; both that the location names o besides k; wide that
	// it is the whole cluster.
	pair, both, wide bool
}

func overlayOf(forth, back bool) func(k, _ int, from, to place) (effect, bool) {
	return func(k, _ int, from, to place) (effect, bool) {
		e := dies(forth, back)
		if from.node == k { // forth and back are meant towards k
			e = dies(back, forth)
		}
		return e, touches(from, to, k) && kindIs(from, to, pp, hp)
	}
}

func overlayPair(k, o int, from, to place) (effect, bool) {
	return dies(from.node == k, from.node == o), between(from, to, k, o) && kindIs(from, to, pp, hp)
}

func forwardingOf(k, _ int, from, to place) (effect, bool) {
	return dies(true, true), forwardingHit(k, from, to)
}

func detached(k, _ int, from, to place) (effect, bool) {
	return dies(true, true), forwardingHit(k, from, to) || from.node == k && to.node == k
}

func cutOff(k, _ int, from, to place) (effect, bool) { return dies(true, true), touches(from, to, k) }

// onHost makes evidence of what the host agent of node k reads.
func onHost(change func(w *world, k, o int, s *probe.Snapshot)) func(w *world, k, o int, at place, s *probe.Snapshot) {
	return func(w *world, k, o int, at place, s *probe.Snapshot) {
		if at == (place{k, mesh.Host}) {
			change(w, k, o, s)
		}
	}
}

// onPeers makes evidence of what all other host agents read.
func onPeers(change func(w *world, k, o int, at place, s *probe.Snapshot)) func(w *world, k, o int, at place, s *probe.Snapshot) {
	return func(w *world, k, o int, at place, s *probe.Snapshot) {
		if at.network == mesh.Host && at.node != k {
			change(w, k, o, at, s)
		}
	}
}

func podSilent(k int, at place) bool { return at == place{k, mesh.Pod} }

func tunnelDown(_ *world, _, _ int, s *probe.Snapshot) {
	s.Link("flannel.1").Up = false
	s.Listeners = nil
	dropRoutes(s, func(r probe.Route) bool { return r.Dev == "flannel.1" })
	dropNeighbors(s, func(n probe.Neighbor) bool { return n.Dev == "flannel.1" })
}

func shownFaults() []shown {
	big := func(from, to place, k int, set ...mesh.PathKind) bool {
		return touches(from, to, k) && kindIs(from, to, set...)
	}
	return []shown{
		{name: "dup-podcidr", least: 4, kind: AddressConflict, cause: DuplicatePodCIDR, both: true, path: overlayOf(true, false),
			evidence: func(w *world, k, o int, at place, s *probe.Snapshot) {
				if at.network != mesh.Host {
					return
				}
				if at.node == o {
					s.Link("cni0").Addrs = []netip.Prefix{netip.PrefixFrom(gateway(k), 24)}
				}
				for i := range s.Neighbors {
					if s.Neighbors[i].IP == vtepIP(k) && at.node != o {
						s.Neighbors[i].MAC = macOf(0xee, o)
					}
				}
			}},
		{name: "dup-podcidr-sameip", least: 5, kind: AddressConflict, cause: DuplicatePodIP, both: true, path: overlayOf(true, false),
			evidence: func(_ *world, k, o int, at place, s *probe.Snapshot) {
				switch at {
				case place{o, mesh.Host}:
					s.Link("cni0").Addrs = []netip.Prefix{netip.PrefixFrom(gateway(k), 24)}
				case place{o, mesh.Pod}:
					s.Link("eth0").Addrs = []netip.Prefix{netip.PrefixFrom(podAddr(k), 24)}
				}
			}},
		{name: "podcidr-overlaps-lan", least: 3, kind: AddressConflict, cause: PodCIDROverlapsLAN, path: overlayOf(true, false),
			evidence: onPeers(func(_ *world, k, _ int, _ place, s *probe.Snapshot) {
				s.Routes = append([]probe.Route{{Dst: netip.PrefixFrom(vtepIP(k), 25), Via: netip.MustParseAddr("192.0.2.254"), Dev: "eth0", Table: probe.MainTable, Type: probe.RouteUnicast}}, s.Routes...)
			})},
		{name: "docker0-overlaps-nodenet", least: 3, kind: AddressConflict, cause: BridgeOverlapsNodeNetwork, path: cutOff,
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) {
				s.Links = append(s.Links, probe.Link{Name: "docker0", Kind: "bridge", Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.3.254/17")}})
				s.Routes = append([]probe.Route{{Dst: netip.MustParsePrefix("192.0.0.0/17"), Dev: "docker0", Table: probe.MainTable, Type: probe.RouteUnicast}}, s.Routes...)
			})},
		{name: "dup-ip", least: 4, kind: AddressConflict, cause: DuplicateNodeIP, path: func(k, _ int, from, to place) (effect, bool) {
			return effect{fails: notPing, code: probe.CodeRefused, forth: true}, touches(from, to, k)
		}, evidence: onPeers(func(_ *world, k, _ int, _ place, s *probe.Snapshot) {
			for i := range s.Neighbors {
				if s.Neighbors[i].IP == hostAddr(k) {
					s.Neighbors[i].MAC = probe.MAC{0x36, 0x59}
				}
			}
		})},
		{name: "iptables-flush", least: 3, kind: ForwardingBroken, cause: ForwardDropped, path: forwardingOf, evidence: func(*world, int, int, place, *probe.Snapshot) {}},
		{name: "ip-forward-0", least: 2, kind: ForwardingBroken, cause: IPForwardOff, path: forwardingOf,
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) {
				s.Sysctls["net.ipv4.ip_forward"] = 0
				grow(s, probe.IPInAddrErrors, 154)
			})},
		{name: "nm-cni0-down", least: 3, kind: PodAttachmentBroken, cause: BridgeDown, path: detached, silent: podSilent,
			evidence: onHost(func(_ *world, k, _ int, s *probe.Snapshot) {
				s.Link("cni0").Up = false
				dropRoutes(s, func(r probe.Route) bool { return r.Dev == "cni0" })
			})},
		{name: "nm-cni0-noaddr", least: 3, kind: PodAttachmentBroken, cause: BridgeAddressMissing, path: detached, silent: podSilent,
			evidence: onHost(func(_ *world, k, _ int, s *probe.Snapshot) {
				s.Link("cni0").Addrs = nil
				dropRoutes(s, func(r probe.Route) bool { return r.Dev == "cni0" })
			})},
		{name: "cni0 gone", least: 3, kind: PodAttachmentBroken, cause: BridgeMissing, path: detached, silent: podSilent,
			evidence: onHost(func(_ *world, k, _ int, s *probe.Snapshot) {
				s.Links = slices.DeleteFunc(s.Links, func(l probe.Link) bool { return l.Name == "cni0" })
				dropRoutes(s, func(r probe.Route) bool { return r.Dev == "cni0" })
			})},
		{name: "nm-flannel-down", least: 3, kind: OverlayBroken, cause: OverlayDeviceDown, path: overlayOf(true, true), evidence: onHost(tunnelDown)},
		{name: "nm-flannel-bounced", least: 3, kind: OverlayBroken, cause: OverlayRoutesMissing, path: overlayOf(false, true),
			evidence: onHost(func(w *world, k, o int, s *probe.Snapshot) { tunnelDown(w, k, o, s); s.Link("flannel.1").Up = true })},
		{name: "neighbours gone", least: 3, kind: OverlayBroken, cause: OverlayPeersMissing, path: overlayOf(false, true),
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) {
				dropNeighbors(s, func(n probe.Neighbor) bool { return n.Dev == "flannel.1" })
			})},
		{name: "vxlan-gone", least: 3, kind: OverlayBroken, cause: OverlayDeviceMissing, path: overlayOf(true, true),
			evidence: onHost(func(w *world, k, o int, s *probe.Snapshot) {
				tunnelDown(w, k, o, s)
				s.Links = slices.DeleteFunc(s.Links, func(l probe.Link) bool { return l.Name == "flannel.1" })
			})},
		{name: "vxlan-port-mismatch", least: 3, kind: OverlayBroken, cause: VXLANPortMismatch, path: overlayOf(true, true),
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { s.Link("flannel.1").VXLAN.Port = 4789 })},
		{name: "vtep-wrong-ip", least: 3, kind: OverlayBroken, cause: VTEPAddressWrong, path: overlayOf(true, false),
			evidence: onPeers(func(_ *world, k, _ int, _ place, s *probe.Snapshot) {
				for i := range s.FDB {
					if s.FDB[i].Dst == hostAddr(k) {
						s.FDB[i].Dst = netip.MustParseAddr("192.0.2.200")
					}
				}
			})},
		{name: "vtep with a new mac", least: 3, kind: OverlayBroken, cause: VTEPMACWrong, path: overlayOf(true, false),
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { s.Link("flannel.1").MAC = probe.MAC{9, 9} })},
		{name: "fw-8472-in", least: 3, kind: OverlayBroken, cause: VXLANPortBlocked, path: overlayOf(true, false),
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { vanish(s, 230) })},
		{name: "fw-8472-in, only by elimination", least: 4, kind: OverlayBroken, cause: VXLANPortBlocked, path: overlayOf(true, false), evidence: func(*world, int, int, place, *probe.Snapshot) {}},
		{name: "conntrack-full", least: 3, kind: NodeUnreachable, cause: ConntrackFull, path: func(k, _ int, from, to place) (effect, bool) {
			e := dies(true, true)
			if from.node == k {
				e.code = probe.CodeNotPermitted
			}
			return e, from.node == k || to.node == k
		}, evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) {
			s.Sysctls["net.netfilter.nf_conntrack_count"] = 262144
			grow(s, probe.ConntrackDrop, 317)
		})},
		{name: "nm-cloud-setup", least: 2, kind: NodeRoutingBroken, cause: PolicyRuleHijack, path: func(k, _ int, from, to place) (effect, bool) {
			return dies(false, true), from == place{k, mesh.Pod} && to == place{k, mesh.Host}
		}, evidence: onHost(func(_ *world, k, _ int, s *probe.Snapshot) {
			s.Rules = append(s.Rules, probe.Rule{Priority: 30400, From: netip.PrefixFrom(hostAddr(k), 32), Table: 30400, Action: probe.RuleLookup})
		})},
		{name: "nic down, told by another way", least: 3, kind: NodeUnreachable, cause: NICDown, path: cutOff,
			evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { s.Link("eth0").LowerUp = false })},
		{name: "fdb-missing", least: 4, kind: PairBroken, cause: FDBEntryMissing, pair: true, path: overlayPair,
			evidence: onHost(func(_ *world, _, o int, s *probe.Snapshot) {
				s.FDB = slices.DeleteFunc(s.FDB, func(e probe.FDB) bool { return e.Dst == hostAddr(o) })
			})},
		{name: "neighbour entry missing", least: 4, kind: PairBroken, cause: NeighborEntryMissing, pair: true, path: overlayPair,
			evidence: onHost(func(_ *world, _, o int, s *probe.Snapshot) {
				dropNeighbors(s, func(n probe.Neighbor) bool { return n.IP == vtepIP(o) })
			})},
		{name: "route-missing", least: 3, kind: PairBroken, cause: RouteMissing, pair: true, path: overlayPair,
			evidence: onHost(func(_ *world, _, o int, s *probe.Snapshot) {
				dropRoutes(s, func(r probe.Route) bool { return r.Dst == podNet(o) })
			})},
		{name: "blackhole route", least: 3, kind: PairBroken, cause: RouteBlackholed, pair: true, path: overlayPair,
			evidence: onHost(func(_ *world, _, o int, s *probe.Snapshot) {
				s.Routes = append(s.Routes, probe.Route{Dst: netip.PrefixFrom(podAddr(o), 32), Table: probe.MainTable, Type: probe.RouteBlackhole})
			})},
		{name: "a docker network over another node's pods", least: 4, kind: PairBroken, cause: RouteWrong, pair: true, path: overlayPair,
			evidence: onHost(func(_ *world, _, o int, s *probe.Snapshot) {
				net := netip.PrefixFrom(gateway(o), 25)
				s.Links = append(s.Links, probe.Link{Name: "br-1", Kind: "bridge", Up: true, Addrs: []netip.Prefix{net}})
				s.Routes = append([]probe.Route{{Dst: net.Masked(), Dev: "br-1", Table: probe.MainTable, Type: probe.RouteUnicast}}, s.Routes...)
			})},
		{name: "rp-filter-asym", least: 4, kind: PairBroken, cause: RPFilterDrop, pair: true, path: func(k, o int, from, to place) (effect, bool) {
			return dies(from.node == o, from.node == k), between(from, to, k, o) && (kindIs(from, to, pp) || kindIs(from, to, hp) && from.node == o)
		}, evidence: onHost(func(_ *world, _, o int, s *probe.Snapshot) {
			grow(s, probe.IPReversePathFilter, 28)
			dropRoutes(s, func(r probe.Route) bool { return r.Dst == podNet(o) })
			s.Routes = append(s.Routes, probe.Route{Dst: podNet(o), Via: hostAddr(o), Dev: "eth0", Table: probe.MainTable, Type: probe.RouteUnicast})
		})},
		{name: "mtu-flannel-low", least: 3, kind: MTUMismatch, cause: OverlayMTULow, path: func(k, _ int, from, to place) (effect, bool) {
			return effect{fails: onlyBig, code: probe.CodeTooBig, size: 1400}, big(from, to, k, pp, hp) && from.node == k
		}, evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) {
			s.Link("flannel.1").MTU = 1400
			grow(s, probe.IPFragFails, 100)
		})},
		{name: "mtu-pmtud-blackhole", least: 3, kind: MTUBlackhole, cause: FragNeededFiltered, path: func(k, _ int, from, to place) (effect, bool) {
			e := effect{fails: bigAndTCP, size: 1400}
			if from.network == mesh.Host {
				e.code = probe.CodeTooBig
			}
			return e, big(from, to, k, pp, hp) && from.node == k
		}, evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) {
			s.Link("flannel.1").MTU = 1400
			grow(s, probe.IPFragFails, 344)
			grow(s, probe.IPOutDiscards, 344)
		})},
		{name: "mtu-eth0-low", least: 3, kind: MTUMismatch, cause: NICMTULow, path: func(k, _ int, from, to place) (effect, bool) {
			e := effect{fails: onlyBig, size: 1400}
			if from.node == k {
				e.code = probe.CodeTooBig
			}
			return e, touches(from, to, k)
		}, evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { s.Link("eth0").MTU = 1400 })},
		{name: "mtu-fabric-low", least: 3, kind: MTUBlackhole, cause: UnderlayMTULow, path: func(k, _ int, from, to place) (effect, bool) {
			return effect{fails: bigAndTCP, size: 1450}, big(from, to, k, hh, pp, hp)
		}, evidence: func(*world, int, int, place, *probe.Snapshot) {}},
		{name: "mtu-pods-1500", least: 3, kind: MTUMismatch, cause: PodMTUHigh, wide: true, path: func(_, _ int, from, to place) (effect, bool) {
			return effect{fails: onlyBig, code: probe.CodeTooBig, size: 1450}, from.node != to.node && kindIs(from, to, pp, hp)
		}, evidence: func(_ *world, _, _ int, at place, s *probe.Snapshot) {
			if at.network == mesh.Pod {
				s.Link("eth0").MTU = 1500
			} else {
				s.Link("cni0").MTU = 1500
			}
		}},
		{name: "icmp_echo_ignore_all", least: 3, kind: ProtocolBlocked, cause: ICMPEchoIgnored, path: func(k, _ int, from, to place) (effect, bool) {
			return effect{fails: onlyPing, forth: true}, to == place{k, mesh.Host}
		}, evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { s.Sysctls["net.ipv4.icmp_echo_ignore_all"] = 1 })},
		{name: "icmp-blocked", least: 3, kind: ProtocolBlocked, cause: ICMPFiltered, path: func(k, _ int, from, to place) (effect, bool) {
			return effect{fails: onlyPing, forth: true}, to == place{k, mesh.Host}
		}, evidence: func(*world, int, int, place, *probe.Snapshot) {}},
		{name: "netem on a node", least: 4, kind: HighLatency, cause: QueueShaped, path: func(k, _ int, from, to place) (effect, bool) {
			return effect{slow: 200 * time.Millisecond}, touches(from, to, k)
		}, evidence: onHost(func(_ *world, _, _ int, s *probe.Snapshot) { s.Link("eth0").Qdisc = "netem" })},
	}
}

func (f *shown) fault(w *world, k, o int) fault {
	out := fault{path: func(from, to place) (effect, bool) { return f.path(k, o, from, to) },
		evidence: func(at place, s *probe.Snapshot) { f.evidence(w, k, o, at, s) }}
	if f.silent != nil {
		out.silent = func(at place) bool { return f.silent(k, at) }
	}
	return out
}

func (f *shown) truth(w *world, k, o int) truth {
	t := truth{name: f.name, kind: f.kind, cause: f.cause, nodes: []int{k}, fault: f.fault(w, k, o)}
	switch {
	case f.wide:
		t.nodes = nil
	case f.pair, f.both:
		t.nodes = []int{k, o}
	}
	return t
}

// Without a tunnel pods of other nodes are behind the nodes themselves.
func TestALANRouteIsFoundWhereThereIsNoTunnel(t *testing.T) {
	const k = 3
	w := newWorld(t, 6, nil)
	w.evidence, w.hostRoutes = true, true
	w.start()
	w.inject(fault{path: func(from, to place) (effect, bool) { return forwardingOf(k, 0, from, to) },
		evidence: func(at place, s *probe.Snapshot) {
			if at.network == mesh.Host && at.node != k {
				s.Routes = append(s.Routes, probe.Route{Dst: netip.PrefixFrom(vtepIP(k), 25), Via: netip.MustParseAddr("192.0.2.254"), Dev: "eth0", Table: probe.MainTable, Type: probe.RouteUnicast})
			}
		}})
	for _, wrong := range w.check(w.run(12*time.Second), truth{kind: AddressConflict, cause: PodCIDROverlapsLAN, nodes: []int{k}}) {
		t.Error(wrong)
	}
	w.onlyEver(AddressConflict)
}

func TestAMissingRouteIsFoundWhereThereIsNoTunnel(t *testing.T) {
	const k, o = 1, 4
	w := newWorld(t, 6, nil)
	w.evidence, w.hostRoutes = true, true
	w.start()
	w.inject(fault{path: func(from, to place) (effect, bool) {
		return dies(from.node == k, from.node == o), between(from, to, k, o) && kindIs(from, to, pp, hp, ph)
	}, evidence: func(at place, s *probe.Snapshot) {
		if at == (place{k, mesh.Host}) {
			dropRoutes(s, func(r probe.Route) bool { return r.Dst == podNet(o) })
		}
	}})
	for _, wrong := range w.check(w.run(12*time.Second), truth{kind: PairBroken, cause: RouteMissing, nodes: []int{k, o}}) {
		t.Error(wrong)
	}
	w.onlyEver(PairBroken)
}

// In a big mesh a node tells of its ways to some of its peers only, which are not those of a sample by chance.
func TestEvidenceOfSomePeersIsEnoughInABigMesh(t *testing.T) {
	const n, k, o = 40, 27, 31
	for _, f := range shownFaults() {
		w := newWorld(t, n, nil)
		w.evidence, w.limit, w.hurt = true, 9, []int{k, o}
		w.start()
		truth := f.truth(w, k, o)
		w.inject(truth.fault)
		for _, wrong := range w.check(w.run(12*time.Second), truth) {
			t.Errorf("%s: %s", f.name, wrong)
		}
	}
}

// What a node read while its link was down is late when it comes: packets get out again by then.
func TestALinkThatWasDownIsNoCauseOfWhatIsLeft(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.evidence = true
	w.start()
	w.inject(fault{
		path: func(from, to place) (effect, bool) {
			return dies(true, false), touches(from, to, 2) && to.node == 2 && kindIs(from, to, hh, ph)
		},
		evidence: func(at place, s *probe.Snapshot) {
			if at == (place{2, mesh.Host}) {
				s.Link("eth0").LowerUp = false
			}
		},
	})
	w.run(15 * time.Second)
	for _, f := range w.seen {
		if f.Cause == NICDown {
			t.Errorf("said: %s", f.Summary)
		}
	}
}

func TestEvidenceNamesTheCause(t *testing.T) {
	for _, f := range shownFaults() {
		for _, n := range []int{2, 3, 4, 5, 8, 30} {
			if n < f.least {
				continue
			}
			for seed := range uint64(2) {
				t.Run(fmt.Sprintf("%s/%d/%d", f.name, n, seed), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(seed, uint64(n)))
					k := rng.IntN(n)
					o := (k + 1 + rng.IntN(n-1)) % n
					w := newWorld(t, n, nil)
					w.evidence = true
					w.start()
					truth := f.truth(w, k, o)
					w.inject(truth.fault)
					found := w.run(14 * time.Second)
					for _, wrong := range w.check(found, truth) {
						t.Error(wrong)
					}
					for _, finding := range found {
						if f.pair && finding.Location.Culprit != w.names[k] {
							t.Errorf("culprit %q, want %s", finding.Location.Culprit, w.names[k])
						}
					}
				})
			}
		}
	}
}
