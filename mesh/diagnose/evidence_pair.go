package diagnose

import (
	"strings"

	"netchecker/mesh"
	"netchecker/probe"
)

// pair asks both ends of a pair for what the way between them lacks: first the sender of what is
// lost, then the receiver.
func (b *bench) pair() bool {
	orders := [][2]int{{b.d.from, b.d.to}, {b.d.to, b.d.from}}
	if b.d.dir == inOnly {
		orders = [][2]int{{b.d.b, b.d.a}, {b.d.a, b.d.b}}
	} else if b.d.dir == outOnly {
		orders = [][2]int{{b.d.a, b.d.b}, {b.d.b, b.d.a}}
	}
	known := b.d.dir == outOnly || b.d.dir == inOnly
	for i, o := range orders {
		if known && i > 0 {
			break // evidence on the other side would explain the other direction
		}
		if b.pairFrom(o[0], o[1]) {
			b.d.from, b.d.to, b.d.both = o[0], o[1], false
			return true
		}
	}
	for _, n := range []int{b.d.a, b.d.b} { // two nodes alone: a broken node looks like a broken pair
		if len(b.p.nodes) > 2 {
			break
		}
		if s := b.host(n); s != nil && b.lonely(n, s) {
			return true
		}
	}
	return false
}

// pairFrom looks for what is wrong with packets from node n to m.
func (b *bench) pairFrom(n, m int) bool {
	network := mesh.Pod
	if b.d.network == "host" {
		network = mesh.Host
	}
	to := b.addr(m, network)
	if s := b.host(n); s != nil && to.IsValid() {
		if w, ok := wayTo(s, to); ok && b.wrongWay(n, m, w, network) {
			return true
		}
	}
	return b.reverseOf(n, m)
}

// wrongWay settles the cause when a way differs from that to other nodes.
func (b *bench) wrongWay(n, m int, w wayOut, network mesh.Network) bool {
	kind := b.d.kind
	usualDev, asked := b.usualDev(n, m, network)
	what := "route to " + b.name(m)
	if network == mesh.Pod {
		what = "route to pods of " + b.name(m)
	}
	b.d.detail.route, b.d.detail.dev = w.String(), usualDev
	if at := b.addr(m, network); at.IsValid() {
		b.d.detail.addr = at.String()
	}
	switch {
	case w.kind == probe.RouteBlackhole || w.kind == probe.RouteUnreachable || w.kind == probe.RouteProhibit || w.err == probe.CodeInvalid:
		return b.settle(kind, RouteBlackholed, n, b.fact(n, what, w.kind.String()+" "+w.String(), "dev "+usualDev))
	case w.err != probe.CodeNone:
		return b.settle(kind, RouteMissing, n, b.fact(n, what, w.String(), "dev "+usualDev))
	case asked > 0 && (w.dev != usualDev || b.specific(n, m, network)) && (!w.dst.IsValid() || w.dst.Bits() == 0):
		return b.settle(kind, RouteMissing, n, b.fact(n, what, w.String(), "dev "+usualDev))
	case asked > 0 && w.dev != usualDev:
		if b.reverseOf(m, n) { // harmless by itself; strict filtering makes it a fault
			return true
		}
		return b.settle(kind, RouteWrong, n, b.fact(n, what, w.String(), "dev "+usualDev))
	case network == mesh.Pod && usualDev != "" && usualDev == b.tunnelName():
		return b.missingEntry(n, m, w, usualDev)
	case network == mesh.Pod && w.dst.Bits() > 0 && b.routedPast(n, m, w):
		return b.settle(kind, RouteWrong, n, b.fact(n, what, w.String(), "via "+b.addr(m, mesh.Host).String()))
	}
	return false
}

// specific reports whether node n has routes of their own to the pods of nodes other than m, where the
// default route leads by the same device.
func (b *bench) specific(n, m int, network mesh.Network) bool {
	if network != mesh.Pod {
		return false
	}
	have, asked := 0, 0
	for _, other := range b.sample {
		if other == n || other == m {
			continue
		}
		if w, ok := wayTo(b.host(n), b.addr(other, network)); ok && w.err == probe.CodeNone {
			asked++
			if w.dst.Bits() > 0 {
				have++
			}
		}
	}
	return 2*have > asked
}

// usualDev is the device by which node n sends to nodes other than m.
func (b *bench) usualDev(n, m int, network mesh.Network) (string, int) {
	counts, asked := map[string]int{}, 0
	for _, other := range b.sample {
		if other == n || other == m {
			continue
		}
		if w, ok := wayTo(b.host(n), b.addr(other, network)); ok && w.err == probe.CodeNone {
			counts[w.dev]++
			asked++
		}
	}
	if asked == 0 {
		return b.tunnelName(), 0
	}
	return commonest(counts), asked
}

// missingEntry looks behind a route by a tunnel: its neighbour, its forwarding entry, its end.
func (b *bench) missingEntry(n, m int, w wayOut, dev string) bool {
	s := b.host(n)
	lack := b.lacks(s, m, w, dev)
	switch {
	case strings.HasPrefix(lack, "neighbour"):
		return b.settle(b.d.kind, NeighborEntryMissing, n, b.fact(n, lack+" on "+dev, "missing", "permanent"))
	case lack != "":
		return b.settle(b.d.kind, FDBEntryMissing, n, b.fact(n, lack+" on "+dev, "missing", "dst "+b.addr(m, mesh.Host).String()))
	}
	end, mac := b.tunnelEnd(n, m, w, dev)
	switch {
	case end != "":
		b.d.detail.got, b.d.detail.want = end, b.addr(m, mesh.Host).String()
		return b.settle(b.d.kind, VTEPAddressWrong, n, b.fact(n, "tunnel end of "+b.name(m), end, b.d.detail.want))
	case mac != "":
		b.d.detail.got = mac
		return b.settle(b.d.kind, VTEPMACWrong, n, b.fact(n, "link address of "+b.name(m)+"'s tunnel", mac, "that of its "+dev))
	}
	return false
}

// reverseOf reports whether node m drops what n's pods send because its own way back leads by
// another link: strict reverse path filtering.
func (b *bench) reverseOf(n, m int) bool {
	s := b.host(m)
	if s == nil || !strict(s) || !b.stands(m, 0.3, growth(probe.IPReversePathFilter)) {
		return false
	}
	back, ok := wayTo(s, b.addr(n, mesh.Pod))
	dev, asked := b.usualDev(m, n, mesh.Pod)
	if !ok || asked > 0 && back.dev == dev {
		return false
	}
	here, there := b.rates(m, growth(probe.IPReversePathFilter))
	b.d.detail.route, b.d.detail.dev = back.String(), dev
	return b.settle(b.d.kind, RPFilterDrop, m, b.fact(m, probe.IPReversePathFilter.String(), perSecond(here), "at most "+perSecond(there)),
		b.fact(m, "route to pods of "+b.name(n), back.String(), "dev "+dev))
}

// reversePath is reverseOf for a node that drops what comes from all others.
func (b *bench) reversePath() bool {
	n := b.d.node
	if s := b.host(n); s == nil || !strict(s) || !b.stands(n, 0.5, growth(probe.IPReversePathFilter)) {
		return false
	}
	here, there := b.rates(n, growth(probe.IPReversePathFilter))
	return b.settle(b.d.kind, RPFilterDrop, n, b.fact(n, probe.IPReversePathFilter.String(), perSecond(here), "at most "+perSecond(there)))
}

// strict reports whether some interface filters by strict reverse path, or nobody knows. In loose mode
// the counter grows too, where an interface has no address: that is another fault.
func strict(s *probe.Snapshot) bool {
	all, known := s.Sysctl("net.ipv4.conf.all.rp_filter")
	if !known {
		return true
	}
	for name, v := range s.Sysctls {
		dev, ok := strings.CutPrefix(name, "net.ipv4.conf.")
		dev, is := strings.CutSuffix(dev, ".rp_filter")
		if ok && is && dev != "all" && dev != "default" && dev != "lo" && max(v, all) == 1 {
			return true
		}
	}
	return false
}

// lonely looks for a broken node in a pair that has no peers to compare with: a device that is
// down or a setting that is off needs no comparison.
func (b *bench) lonely(n int, s *probe.Snapshot) bool {
	if b.d.network == "host" {
		if l := s.Holder(b.addr(n, mesh.Host)); l != nil && !l.Up {
			b.d.detail.dev = l.Name
			return b.settle(b.d.kind, NICDown, n, b.fact(n, "link "+l.Name, "down", "up"))
		}
		return false
	}
	for i := range s.Links {
		if l := &s.Links[i]; l.VXLAN != nil && !l.Up {
			b.d.detail.dev = l.Name
			return b.settle(OverlayBroken, OverlayDeviceDown, n, b.fact(n, "link "+l.Name, "down", "up"))
		}
	}
	return false
}
