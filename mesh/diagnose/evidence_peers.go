package diagnose

import (
	"net/netip"

	"netchecker/mesh"
	"netchecker/probe"
)

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
