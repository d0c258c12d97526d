package diagnose

import (
	"math/rand/v2"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// truth is a fault of one family at one place, and what must be said of it.
type truth struct {
	name  string
	fault fault
	kind  Kind
	// nodes are those of the location; nil for the whole cluster.
	nodes []int
	cause Cause
	// others are the nodes of another fault in force, which a split may leave out.
	others []int
}

type family struct {
	name string
	// least is the smallest cluster in which the place can be told.
	least int
	make  func(n int, rng *rand.Rand) truth
}

// touches reports whether a path between two nodes touches k.
func touches(from, to place, k int) bool {
	return from.node != to.node && (from.node == k || to.node == k)
}

func dies(forth, back bool) effect { return effect{fails: everything, forth: forth, back: back} }

func kindIs(from, to place, list ...mesh.PathKind) bool {
	return slices.Contains(list, mesh.KindOf(from.network, to.network))
}

func onNode(name string, least int, kind Kind, cause Cause, path func(k int, from, to place) (effect, bool), silent func(k int, at place) bool) family {
	return family{name, least, func(n int, rng *rand.Rand) truth {
		k := rng.IntN(n)
		f := fault{path: func(from, to place) (effect, bool) { return path(k, from, to) }}
		if silent != nil {
			f.silent = func(at place) bool { return silent(k, at) }
		}
		return truth{name: name, fault: f, kind: kind, nodes: []int{k}, cause: cause}
	}}
}

func onPair(name string, kind Kind, cause Cause, path func(a, b int, from, to place) (effect, bool)) family {
	return family{name, 3, func(n int, rng *rand.Rand) truth {
		a := rng.IntN(n)
		b := (a + 1 + rng.IntN(n-1)) % n
		return truth{name: name, fault: fault{path: func(from, to place) (effect, bool) { return path(a, b, from, to) }}, kind: kind, nodes: []int{a, b}, cause: cause}
	}}
}

func forwardingHit(k int, from, to place) bool {
	if from.node == to.node {
		return false
	}
	return kindIs(from, to, pp) && (from.node == k || to.node == k) || kindIs(from, to, hp) && to.node == k || kindIs(from, to, ph) && from.node == k
}

func between(from, to place, a, b int) bool {
	return from.node == a && to.node == b || from.node == b && to.node == a
}

func families() []family {
	return []family{
		onNode("node down", 2, NodeDown, "", func(k int, from, to place) (effect, bool) { return dies(true, true), touches(from, to, k) },
			func(k int, at place) bool { return at.node == k }),
		onNode("node cut off, reports by other ways", 3, NodeUnreachable, "", func(k int, from, to place) (effect, bool) { return dies(true, true), touches(from, to, k) }, nil),
		onNode("overlay of a node, both ways", 3, OverlayBroken, "", func(k int, from, to place) (effect, bool) {
			return dies(true, true), touches(from, to, k) && kindIs(from, to, pp, hp)
		}, nil),
		onNode("overlay of a node, inward", 3, OverlayBroken, "", func(k int, from, to place) (effect, bool) {
			return dies(to.node == k, from.node == k), touches(from, to, k) && kindIs(from, to, pp, hp)
		}, nil),
		onNode("forwarding of a node", 2, ForwardingBroken, "", func(k int, from, to place) (effect, bool) { return dies(true, true), forwardingHit(k, from, to) }, nil),
		onNode("forwarding of a node, pod agent unheard", 3, ForwardingBroken, "", func(k int, from, to place) (effect, bool) { return dies(true, true), forwardingHit(k, from, to) },
			func(k int, at place) bool { return at == place{k, mesh.Pod} }),
		onNode("pods detached", 2, PodAttachmentBroken, "", func(k int, from, to place) (effect, bool) {
			return dies(true, true), forwardingHit(k, from, to) || from.node == k && to.node == k
		}, func(k int, at place) bool { return at == place{k, mesh.Pod} }),
		onNode("pod ingress policy", 2, PodIngressBlocked, PolicyOrFilter, func(k int, from, to place) (effect, bool) {
			return dies(true, false), touches(from, to, k) && kindIs(from, to, pp, hp) && to.node == k
		}, nil),
		onNode("pod egress policy", 2, PodEgressBlocked, PolicyOrFilter, func(k int, from, to place) (effect, bool) {
			return dies(true, false), touches(from, to, k) && kindIs(from, to, pp, ph) && from.node == k
		}, nil),
		onNode("pod agent dead", 2, AgentDown, ProcessDown, func(k int, from, to place) (effect, bool) {
			return effect{fails: notPing, code: probe.CodeRefused, forth: true}, to == place{k, mesh.Pod}
		}, func(k int, at place) bool { return at == place{k, mesh.Pod} }),
		onNode("host agent dead", 2, AgentDown, ProcessDown, func(k int, from, to place) (effect, bool) {
			return effect{fails: notPing, code: probe.CodeRefused, forth: true}, to == place{k, mesh.Host}
		}, func(k int, at place) bool { return at == place{k, mesh.Host} }),
		onNode("pod agent hung", 2, AgentDown, ProcessHung, func(k int, from, to place) (effect, bool) {
			return effect{fails: notPing, forth: true}, to == place{k, mesh.Pod}
		}, func(k int, at place) bool { return at == place{k, mesh.Pod} }),
		onNode("host firewall rejects", 2, PortBlocked, HostFirewallReject, func(k int, from, to place) (effect, bool) {
			e := effect{fails: notPing, code: probe.CodeHostUnreachable, forth: true}
			switch {
			case kindIs(from, to, hh):
				return e, touches(from, to, k) && to.node == k
			case kindIs(from, to, ph):
				return e, touches(from, to, k) || from.node == k && to.node == k
			}
			return effect{fails: everything, code: probe.CodeHostUnreachable, forth: true}, touches(from, to, k)
		}, nil),
		onNode("host firewall raised, flows from before live on", 3, PortBlocked, HostFirewallReject, func(k int, from, to place) (effect, bool) {
			old := effect{fails: onlyTCP, code: probe.CodeHostUnreachable, lossy: 0.2, forth: true}
			switch {
			case kindIs(from, to, hh):
				return old, touches(from, to, k) && to.node == k
			case kindIs(from, to, ph) && to.node == k:
				return old, true
			}
			return effect{fails: everything, forth: true}, touches(from, to, k)
		}, nil),
		onNode("pod ingress policy, flows from before live on", 3, PodIngressBlocked, PolicyOrFilter, func(k int, from, to place) (effect, bool) {
			return effect{fails: onlyTCP, lossy: 0.3, forth: true}, touches(from, to, k) && kindIs(from, to, pp, hp) && to.node == k
		}, nil),
		onNode("pod ingress policy, all flows but connections from before", 3, PodIngressBlocked, PolicyOrFilter, func(k int, from, to place) (effect, bool) {
			return effect{fails: onlyTCP, forth: true}, touches(from, to, k) && kindIs(from, to, pp, hp) && to.node == k
		}, nil),
		onNode("mtu towards a node", 3, MTUBlackhole, UnderlayMTULow, func(k int, from, to place) (effect, bool) {
			return effect{fails: bigAndTCP, size: 1400}, touches(from, to, k) && !kindIs(from, to, ph)
		}, nil),
		onNode("mtu of an overlay device", 3, MTUMismatch, "", func(k int, from, to place) (effect, bool) {
			return effect{fails: onlyBig, code: probe.CodeTooBig, size: 1400}, touches(from, to, k) && from.node == k && kindIs(from, to, pp, hp)
		}, nil),
		onNode("agent port", 3, PortBlocked, AgentPortBlocked, func(k int, from, to place) (effect, bool) {
			return effect{fails: onlyTCP, forth: true}, to == place{k, mesh.Host}
		}, nil),
		onNode("tcp filtered", 3, ProtocolBlocked, TCPFiltered, func(k int, from, to place) (effect, bool) {
			return effect{fails: onlyTCP, forth: true}, touches(from, to, k) && to.node == k
		}, nil),
		onNode("ping filtered", 3, ProtocolBlocked, "", func(k int, from, to place) (effect, bool) {
			return effect{fails: onlyPing, forth: true}, to == place{k, mesh.Host}
		}, nil),
		onNode("slow node", 3, HighLatency, "", func(k int, from, to place) (effect, bool) {
			return effect{slow: 200 * time.Millisecond}, touches(from, to, k)
		}, nil),
		onNode("pods do not reach their own node", 2, NodeRoutingBroken, "", func(k int, from, to place) (effect, bool) {
			return dies(false, true), from == place{k, mesh.Pod} && to == place{k, mesh.Host}
		}, nil),
		onPair("pair filtered", PairBroken, UnderlayFiltered, func(a, b int, from, to place) (effect, bool) { return dies(true, true), between(from, to, a, b) }),
		onPair("pair one way", OneWay, "", func(a, b int, from, to place) (effect, bool) {
			return dies(from.node == a, from.node == b), between(from, to, a, b)
		}),
		onPair("overlay entry of a pair", PairBroken, "", func(a, b int, from, to place) (effect, bool) {
			return dies(from.node == a, from.node == b), between(from, to, a, b) && kindIs(from, to, pp, hp)
		}),
		onPair("lossy pair", PartialLoss, "", func(a, b int, from, to place) (effect, bool) {
			return effect{lossy: 0.3, forth: from.node == a, back: from.node == b}, between(from, to, a, b)
		}),
		{"partition, all report", 4, func(n int, rng *rand.Rand) truth { return partition(n, rng, false, allKinds) }},
		{"partition, far side silent", 4, func(n int, rng *rand.Rand) truth { return partition(n, rng, true, allKinds) }},
		{"overlay partition", 4, func(n int, rng *rand.Rand) truth { return partition(n, rng, false, overlayKinds) }},
		everywhere("overlay filtered everywhere", OverlayBroken, VXLANBlocked, func(from, to place) (effect, bool) {
			return dies(true, true), from.node != to.node && kindIs(from, to, pp, hp)
		}),
		everywhere("pods with too large an mtu", MTUMismatch, "", func(from, to place) (effect, bool) {
			return effect{fails: onlyBig, code: probe.CodeTooBig, size: 1450}, from.node != to.node && kindIs(from, to, pp, hp)
		}),
		everywhere("dead ecmp member", FlowBlackhole, "", func(from, to place) (effect, bool) {
			return effect{flows: 0x1111}, from.node != to.node
		}),
	}
}

func everywhere(name string, kind Kind, cause Cause, path func(from, to place) (effect, bool)) family {
	return family{name, 4, func(int, *rand.Rand) truth {
		return truth{name: name, fault: fault{path: path}, kind: kind, cause: cause}
	}}
}

func partition(n int, rng *rand.Rand, silent bool, set kinds) truth {
	size := 2 + rng.IntN(max(n/2-1, 1))
	far := rng.Perm(n)[:size]
	is := func(k int) bool { return slices.Contains(far, k) }
	t := truth{name: "partition", kind: Partition, nodes: far}
	t.fault.path = func(from, to place) (effect, bool) {
		return dies(true, true), is(from.node) != is(to.node) && set.has(mesh.KindOf(from.network, to.network))
	}
	if silent {
		t.fault.silent = func(at place) bool { return is(at.node) }
	}
	return t
}
