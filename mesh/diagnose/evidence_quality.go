package diagnose

import (
	"fmt"
	"slices"

	"netchecker/mesh"
	"netchecker/probe"
)

// mtu compares the MTUs of interface and tunnel with those of healthy nodes, or of tunnel and pods
// where all suffer.
func (b *bench) mtu() bool {
	if b.d.scope == ScopeCluster {
		return b.podMTU()
	}
	for _, n := range b.suspects() {
		if s := b.host(n); s != nil && (b.nicMTU(n, s) || b.tunnelMTU(n, s) || b.routeMTU(n, s)) {
			return true
		}
	}
	if b.d.network == "host" && b.d.kind == MTUBlackhole {
		for _, n := range b.suspects() {
			if s := b.host(n); s != nil {
				if l := s.Holder(b.addr(n, mesh.Host)); l != nil {
					b.d.detail.want = fmt.Sprint(l.MTU)
					b.d.facts = append(b.d.facts, b.fact(n, "MTU of "+l.Name, fmt.Sprint(l.MTU), "the same on all nodes: the path carries less"))
				}
			}
		}
	}
	return false
}

func (b *bench) nicMTU(n int, s *probe.Snapshot) bool {
	l := s.Holder(b.addr(n, mesh.Host))
	want, have, asked := usual(b, func(m int, s *probe.Snapshot) (int, bool) {
		if l := s.Holder(b.addr(m, mesh.Host)); l != nil {
			return l.MTU, true
		}
		return 0, false
	})
	if l == nil || asked == 0 || 2*have < asked || l.MTU >= want {
		return false
	}
	b.d.detail.dev, b.d.detail.got, b.d.detail.want = l.Name, fmt.Sprint(l.MTU), fmt.Sprint(want)
	return b.settle(MTUMismatch, NICMTULow, n, b.fact(n, "MTU of "+l.Name, b.d.detail.got, b.d.detail.want))
}

// tunnelMTU tells a tunnel with a smaller MTU, of which senders are told, from one where the
// telling is filtered: then as many errors are dropped on the way out as packets did not fit.
func (b *bench) tunnelMTU(n int, s *probe.Snapshot) bool {
	name := b.tunnelName()
	l := s.Link(name)
	want, have, asked := usual(b, func(_ int, s *probe.Snapshot) (int, bool) {
		if l := s.Link(name); l != nil {
			return l.MTU, true
		}
		return 0, false
	})
	if name == "" || l == nil || asked == 0 || 2*have < asked || l.MTU >= want {
		return false
	}
	b.d.detail.dev, b.d.detail.got, b.d.detail.want = name, fmt.Sprint(l.MTU), fmt.Sprint(want)
	facts := []Fact{b.fact(n, "MTU of "+name, b.d.detail.got, b.d.detail.want)}
	fails, discards := s.Rate(probe.IPFragFails), s.Rate(probe.IPOutDiscards)
	if fails > 0 {
		facts = append(facts, b.fact(n, probe.IPFragFails.String(), perSecond(fails), "0"))
	}
	if b.d.kind == MTUBlackhole && (fails == 0 || discards*2 >= fails) || fails > 0 && discards >= 0.7*fails {
		if discards > 0 {
			facts = append(facts, b.fact(n, probe.IPOutDiscards.String(), perSecond(discards), "0: the errors made are dropped on their way out"))
		}
		return b.settle(MTUBlackhole, FragNeededFiltered, n, facts...)
	}
	return b.settle(MTUMismatch, OverlayMTULow, n, facts...)
}

// routeMTU looks for a route with an MTU of its own.
func (b *bench) routeMTU(n int, s *probe.Snapshot) bool {
	for _, m := range b.sample {
		for _, network := range []mesh.Network{mesh.Pod, mesh.Host} {
			r := s.RouteTo(b.addr(m, network), probe.MainTable)
			if r == nil || r.MTU == 0 {
				continue
			}
			if l := s.Link(r.Dev); l != nil && int(r.MTU) < l.MTU {
				b.d.detail.route, b.d.detail.got, b.d.detail.want = r.String(), fmt.Sprint(r.MTU), fmt.Sprint(l.MTU)
				return b.settle(MTUMismatch, RouteMTULow, n, b.fact(n, "MTU of route "+r.String(), b.d.detail.got, b.d.detail.want))
			}
		}
	}
	return false
}

// podMTU looks for pods whose MTU is larger than that of the tunnel.
func (b *bench) podMTU() bool {
	name := b.tunnelName()
	if name == "" {
		return false
	}
	var hit []int
	for _, n := range b.sample {
		l := b.host(n).Link(name)
		pod := b.podLinkMTU(n)
		if l != nil && pod > l.MTU {
			hit = append(hit, n)
			b.d.detail.dev, b.d.detail.got, b.d.detail.want = name, fmt.Sprint(pod), fmt.Sprint(l.MTU)
		}
	}
	if 2*len(hit) <= len(b.sample) {
		return false
	}
	return b.settle(MTUMismatch, PodMTUHigh, -1, Fact{Node: enumerate(b.p.names(hit)), Fact: "MTU of pods over " + name, Value: b.d.detail.got, Expected: "at most " + b.d.detail.want})
}

// podLinkMTU is the MTU of a pod agent's interface: as it says itself, else that of its bridge.
func (b *bench) podLinkMTU(n int) int {
	pod := b.addr(n, mesh.Pod)
	if s, _ := b.snapshot(n, mesh.Pod); s != nil {
		if l := s.Holder(pod); l != nil {
			return l.MTU
		}
	}
	if w, ok := wayTo(b.host(n), pod); ok {
		if l := b.host(n).Link(w.dev); l != nil {
			return l.MTU
		}
	}
	return 0
}

// quality looks for what makes a link lose or delay: a shaping queue, errors.
func (b *bench) quality() bool {
	for _, n := range b.suspects() {
		s := b.host(n)
		if s == nil {
			continue
		}
		for _, l := range s.Links {
			if slices.Contains([]string{"netem", "tbf", "htb", "cake"}, l.Qdisc) && !b.shaped(l.Name, l.Qdisc) {
				b.d.detail.dev, b.d.detail.got = l.Name, l.Qdisc
				return b.settle(b.d.kind, QueueShaped, n, b.fact(n, "queue of "+l.Name, l.Qdisc, "as on other nodes"))
			}
		}
		l := s.Holder(b.addr(n, mesh.Host))
		if l == nil || s.Interval <= 0 || b.d.kind == HighLatency {
			continue
		}
		errors := float64(l.RX.Errors+l.TX.Errors) / s.Interval.Seconds()
		most := 0.0
		for _, m := range b.sample {
			if other := b.host(m).Holder(b.addr(m, mesh.Host)); other != nil && b.host(m).Interval > 0 {
				most = max(most, float64(other.RX.Errors+other.TX.Errors)/b.host(m).Interval.Seconds())
			}
		}
		if errors >= 1 && errors >= 4*most {
			b.d.detail.dev = l.Name
			return b.settle(b.d.kind, NICErrors, n, b.fact(n, "errors of "+l.Name, perSecond(errors), "at most "+perSecond(most)))
		}
	}
	return false
}

// shaped reports whether healthy nodes have the same queue on a link of that name.
func (b *bench) shaped(link, qdisc string) bool {
	same := 0
	for _, m := range b.sample {
		if l := b.host(m).Link(link); l != nil && l.Qdisc == qdisc {
			same++
		}
	}
	return len(b.sample) > 0 && 2*same > len(b.sample)
}
