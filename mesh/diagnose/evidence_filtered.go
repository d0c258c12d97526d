package diagnose

import (
	"fmt"
	"strings"

	"netchecker/probe"
)

// tunnelFiltered is what remains when nothing is to be seen on either side: packets for the tunnel
// are filtered on their way in, which only the gap in the suspect's counters may show.
func (b *bench) tunnelFiltered() bool {
	n, name := b.d.node, b.tunnelName()
	s := b.host(n)
	if s == nil || name == "" {
		return false
	}
	b.d.detail.dev = name
	var port uint16
	if l := s.Link(name); l != nil && l.VXLAN != nil {
		port = l.VXLAN.Port
	}
	b.d.detail.want = fmt.Sprint(port)
	for _, rule := range b.drops(s) {
		if rule.Proto == "udp" && port != 0 && rule.PortLow <= port && port <= rule.PortHigh {
			return b.settle(OverlayBroken, VXLANPortBlocked, n, b.fact(n, "firewall", rule.String(), "no such rule"))
		}
	}
	if b.d.dir != outOnly && b.stands(n, 2, vanished) && !b.stands(n, 1, growth(probe.IPReversePathFilter)) {
		here, there := b.rates(n, vanished)
		return b.settle(OverlayBroken, VXLANPortBlocked, n, b.fact(n, "packets that came in and were delivered to nobody", perSecond(here), "at most "+perSecond(there)))
	}
	if b.fresh(n) && b.d.dir == inOnly && len(b.sample) > 1 {
		return b.remain(OverlayBroken, VXLANPortBlocked, b.fact(n, "device, routes, neighbours and forwarding entries, here and on peers", "right", "right"))
	}
	return false
}

// overlayEverywhere keeps the verdict on a filtered tunnel only where evidence does not contradict.
func (b *bench) overlayEverywhere() bool {
	if b.d.kind != OverlayBroken {
		return false
	}
	name := b.tunnelName()
	down, asked := 0, 0
	for _, n := range b.sample {
		s := b.host(n)
		if l := s.Link(name); name != "" && (l == nil || !l.Up) {
			down++
		}
		asked++
	}
	if asked == 0 {
		return false
	}
	b.d.detail.dev = name
	if 2*down > asked {
		return b.settle(OverlayBroken, OverlayDeviceDown, -1, Fact{Node: enumerate(b.p.names(b.sample)), Fact: "link " + name, Value: "down", Expected: "up"})
	}
	for _, n := range b.sample {
		s := b.host(n)
		for i := range s.Links {
			if v := s.Links[i].VXLAN; v != nil && b.d.detail.want == "" {
				b.d.detail.want = fmt.Sprint(v.Port)
			}
		}
	}
	b.d.facts = append(b.d.facts, Fact{Node: "all nodes", Fact: strings.TrimSpace("device " + name), Value: "up, the same everywhere", Expected: "up"})
	return true
}

// toldOfTunnel takes what senders are told at once: "port unreachable" for the tunnel means that
// nobody listens at the other end.
func (b *bench) toldOfTunnel() bool {
	n, name := b.d.node, b.tunnelName()
	s := b.host(n)
	if s == nil || name == "" {
		return false
	}
	l := s.Link(name)
	if l == nil || l.VXLAN == nil || s.Listens("udp", l.VXLAN.Port) || len(s.Listeners) == 0 {
		return false
	}
	b.d.detail.dev = name
	return b.settle(OverlayBroken, OverlayDeviceDown, n, b.fact(n, fmt.Sprintf("listener on udp port %d", l.VXLAN.Port), "none", "the kernel's, for "+name))
}
