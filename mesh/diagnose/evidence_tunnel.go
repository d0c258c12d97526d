package diagnose

import (
	"fmt"
	"net/netip"
	"strings"

	"netchecker/mesh"
	"netchecker/probe"
)

// tunnelName is the device by which most nodes send to pods of other nodes, "" when that is the
// physical one or not known.
func (b *bench) tunnelName() string {
	name, have, asked := usual(b, func(n int, s *probe.Snapshot) (string, bool) {
		counts := map[string]int{}
		for _, m := range b.sample {
			if m == n || !b.addr(m, mesh.Pod).IsValid() {
				continue
			}
			if w, ok := wayTo(s, b.addr(m, mesh.Pod)); ok && w.err == probe.CodeNone {
				counts[w.dev]++
			}
		}
		if len(counts) == 0 { // the only other nodes are suspects themselves: any tunnel will do
			for i := range s.Links {
				if s.Links[i].VXLAN != nil {
					return s.Links[i].Name, true
				}
			}
			return "", false
		}
		dev := commonest(counts)
		if l := s.Link(dev); l == nil || l.Kind == "" || l.Kind == "bridge" || l == s.Holder(b.addr(n, mesh.Host)) {
			return "", true // a bond, a VLAN or a veth may be the physical interface, too
		}
		return dev, true
	})
	if 2*have <= asked {
		return ""
	}
	return name
}

// tunnel compares the tunnel device of the suspect with those of healthy nodes.
func (b *bench) tunnel() bool {
	s, name := b.host(b.d.node), b.tunnelName()
	if s == nil || name == "" {
		return false
	}
	return b.tunnelOf(b.d.node, s, name)
}

func (b *bench) tunnelOf(n int, s *probe.Snapshot, name string) bool {
	b.d.detail.dev = name
	port, _, _ := usual(b, func(_ int, s *probe.Snapshot) (uint16, bool) {
		l := s.Link(name)
		if l == nil || l.VXLAN == nil {
			return 0, false
		}
		return l.VXLAN.Port, true
	})
	id, _, _ := usual(b, func(_ int, s *probe.Snapshot) (uint32, bool) {
		l := s.Link(name)
		if l == nil || l.VXLAN == nil {
			return 0, false
		}
		return l.VXLAN.ID, true
	})
	l := s.Link(name)
	switch {
	case l == nil && !b.readable(s, "links"):
		return false
	case l == nil:
		return b.settle(OverlayBroken, OverlayDeviceMissing, n, b.fact(n, "link "+name, "does not exist", "up, as on other nodes"))
	case !l.Up:
		return b.settle(OverlayBroken, OverlayDeviceDown, n, b.fact(n, "link "+name, "down", "up"))
	case l.VXLAN != nil && port != 0 && l.VXLAN.Port != port:
		b.d.detail.got, b.d.detail.want = fmt.Sprint(l.VXLAN.Port), fmt.Sprint(port)
		return b.settle(OverlayBroken, VXLANPortMismatch, n, b.fact(n, name+" UDP port", b.d.detail.got, b.d.detail.want))
	case l.VXLAN != nil && id != 0 && l.VXLAN.ID != id:
		b.d.detail.got, b.d.detail.want = fmt.Sprint(l.VXLAN.ID), fmt.Sprint(id)
		return b.settle(OverlayBroken, VXLANIDMismatch, n, b.fact(n, name+" VNI", b.d.detail.got, b.d.detail.want))
	}
	return b.tunnelRoutes(n, s, name)
}

// readable reports whether a part of a snapshot was read.
func (b *bench) readable(s *probe.Snapshot, part string) bool {
	for _, m := range s.Missing {
		if m.Part == part {
			return false
		}
	}
	return true
}

// tunnelRoutes counts the peers to whose pods the suspect has no way by the tunnel: no route, or no
// neighbour or forwarding entry behind it.
func (b *bench) tunnelRoutes(n int, s *probe.Snapshot, name string) bool {
	asked, routes, entries := 0, 0, 0
	var route, entry Fact
	for _, m := range b.sample {
		to := b.addr(m, mesh.Pod)
		w, ok := wayTo(s, to)
		if !to.IsValid() || !ok {
			continue
		}
		asked++
		if w.err != probe.CodeNone || w.dev != name {
			routes++
			route = b.fact(n, "route to pods of "+b.name(m), w.String(), "dev "+name)
			continue
		}
		if lack := b.lacks(s, m, w, name); lack != "" {
			entries++
			entry = b.fact(n, lack+" for "+b.name(m)+" on "+name, "missing", "permanent")
		}
	}
	switch {
	case asked == 0:
	case 10*routes >= 7*asked:
		return b.settle(OverlayBroken, OverlayRoutesMissing, n, route, b.fact(n, "link "+name, "up", "up"))
	case 10*entries >= 7*asked:
		return b.settle(OverlayBroken, OverlayPeersMissing, n, entry)
	}
	return false
}

// lacks names what is missing between a route by the tunnel and the peer it should reach: the
// neighbour of the next hop, or its place in the forwarding table; "" for nothing.
func (b *bench) lacks(s *probe.Snapshot, m int, w wayOut, name string) string {
	if !w.via.IsValid() || !b.wrote(name) {
		return ""
	}
	nb := s.Neighbor(w.via, name)
	if nb == nil || !nb.State.Good() {
		if b.readable(s, "neighbors") {
			return "neighbour " + w.via.String()
		}
		return ""
	}
	l := s.Link(name)
	if l == nil || l.VXLAN == nil || l.VXLAN.Learning || nb.MAC.IsZero() || !b.readable(s, "fdb") {
		return ""
	}
	if len(s.Behind(nb.MAC, name)) == 0 {
		return "forwarding entry " + nb.MAC.String()
	}
	return ""
}

// wrote reports whether healthy nodes have the permanent entries of a tunnel that somebody writes;
// a tunnel that finds its ends by itself lacks none.
func (b *bench) wrote(name string) bool {
	permanent, _, asked := usual(b, func(_ int, s *probe.Snapshot) (bool, bool) {
		for _, nb := range s.Neighbors {
			if nb.Dev == name && nb.State == probe.NeighborPermanent {
				return true, true
			}
		}
		return false, true
	})
	return permanent || asked == 0
}

// tunnelPeers asks the other nodes where they send what goes to the suspect: to which tunnel end,
// and to which link address.
func (b *bench) tunnelPeers() bool {
	n, name := b.d.node, b.tunnelName()
	to := b.addr(n, mesh.Pod)
	if name == "" || !to.IsValid() {
		return false
	}
	asked := 0
	wrongEnd, wrongMAC, noRoute, noEntry := map[string]int{}, map[string]int{}, 0, 0
	var witness int
	for _, m := range b.sample {
		w, ok := wayTo(b.host(m), to)
		if !ok {
			continue
		}
		asked++
		switch {
		case w.dev != name:
			noRoute++
		case b.lacks(b.host(m), n, w, name) != "":
			noEntry++
		default:
			end, mac := b.tunnelEnd(m, n, w, name)
			if end != "" {
				wrongEnd[end]++
				witness = m
			}
			if mac != "" {
				wrongMAC[mac]++
				witness = m
			}
		}
	}
	end, mac := commonest(wrongEnd), commonest(wrongMAC)
	b.d.detail.dev = name
	switch {
	case asked == 0:
	case 10*wrongEnd[end] >= 6*asked:
		b.d.detail.got, b.d.detail.want = end, b.addr(n, mesh.Host).String()
		return b.settle(OverlayBroken, VTEPAddressWrong, n, b.fact(witness, "tunnel end of "+b.name(n), end, b.d.detail.want))
	case 10*wrongMAC[mac] >= 6*asked:
		b.d.detail.got = mac
		return b.settle(OverlayBroken, VTEPMACWrong, n, b.fact(witness, "link address of "+b.name(n)+"'s tunnel", mac, "that of its "+name))
	case 10*noEntry >= 6*asked, 10*noRoute >= 6*asked && !b.pathsByNIC(to):
		b.d.detail.other = "peers"
		return b.settle(OverlayBroken, OverlayPeersMissing, n, Fact{Node: enumerate(b.p.names(b.sample)), Fact: "way to pods of " + b.name(n) + " by " + name, Value: "missing", Expected: "route, neighbour and forwarding entry"})
	}
	return false
}

// pathsByNIC reports whether some peer sends to an address by a route of its own on another
// device: that is an overlap, and not something missing.
func (b *bench) pathsByNIC(to netip.Addr) bool {
	for _, m := range b.sample {
		if w, ok := wayTo(b.host(m), to); ok && w.err == probe.CodeNone && w.dst.Bits() > 0 {
			return true
		}
	}
	return false
}

// tunnelEnd is where node m sends what goes to n by a tunnel if that is not n: another address, or
// a link address that n's tunnel does not have.
func (b *bench) tunnelEnd(m, n int, w wayOut, name string) (end, mac string) {
	s, own := b.host(m), b.host(n)
	if !w.via.IsValid() {
		return "", ""
	}
	nb := s.Neighbor(w.via, name)
	if nb == nil || nb.MAC.IsZero() {
		return "", ""
	}
	for _, e := range s.Behind(nb.MAC, name) {
		if e.Dst.IsValid() && !b.holds(n, e.Dst) {
			end = e.Dst.String()
		}
	}
	if own != nil {
		if l := own.Link(name); l != nil && !l.MAC.IsZero() && l.MAC != nb.MAC {
			return "", nb.MAC.String() // whose end that is says nothing of ours
		}
	}
	return end, ""
}

// holds reports whether an address is one of a node's own.
func (b *bench) holds(n int, addr netip.Addr) bool {
	at := b.p.nodes[n].agent[mesh.Host]
	if at >= 0 {
		if a := b.p.view.Agent(int(at)); a.IPv4 == addr || a.IPv6 == addr {
			return true
		}
	}
	s := b.host(n)
	return s != nil && s.Holder(addr) != nil
}

// lanRoute looks for a route on the peers that wins over the one to the suspect's pods: past the
// tunnel, or where there is none past the suspect.
func (b *bench) lanRoute() bool {
	n, name := b.d.node, b.tunnelName()
	to := b.addr(n, mesh.Pod)
	if !to.IsValid() {
		return false
	}
	var hit []int
	var stray wayOut
	for _, m := range b.sample {
		w, ok := wayTo(b.host(m), to)
		if !ok || w.err != probe.CodeNone || w.dst.Bits() <= 0 {
			continue
		}
		if name != "" && w.dev != name || name == "" && b.routedPast(m, n, w) {
			hit = append(hit, m)
			stray = w
		}
	}
	if len(hit) == 0 || 2*len(hit) < len(b.sample) {
		return false
	}
	want := "dev " + name
	if name == "" {
		want, name = "via "+b.addr(n, mesh.Host).String(), "the route to "+b.name(n)
	}
	b.d.detail.dev, b.d.detail.route, b.d.detail.addr = name, stray.String(), to.String()
	b.d.detail.other = enumerate(b.p.names(hit))
	return b.settle(AddressConflict, PodCIDROverlapsLAN, n, Fact{Node: b.d.detail.other, Fact: "route to pods of " + b.name(n), Value: stray.String(), Expected: want})
}

// routedPast reports whether node m sends what is for pods of n to somebody else, although it sends
// what is for pods of other nodes to these themselves.
func (b *bench) routedPast(m, n int, w wayOut) bool {
	if !w.via.IsValid() || w.via == b.addr(n, mesh.Host) {
		return false
	}
	for _, other := range b.sample {
		if other == m {
			continue
		}
		way, ok := wayTo(b.host(m), b.addr(other, mesh.Pod))
		if ok && way.err == probe.CodeNone && way.via == b.addr(other, mesh.Host) {
			return true
		}
	}
	return false
}

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
