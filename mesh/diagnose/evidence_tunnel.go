package diagnose

import (
	"fmt"

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
