package diagnose

import (
	"net/netip"

	"netchecker/mesh"
	"netchecker/probe"
)

// samePodIP looks for another agent with the suspect's own pod address: one that says it is there,
// or one on whose interface it is by now.
func (b *bench) samePodIP() bool {
	for _, n := range b.suspects() {
		own := b.addr(n, mesh.Pod)
		if !own.IsValid() {
			continue
		}
		for m := range b.p.nodes {
			if m != n && (b.addr(m, mesh.Pod) == own || b.podHolds(m, own)) {
				b.claim(n, m)
				b.d.detail.addr = own.String()
				return b.settle(AddressConflict, DuplicatePodIP, b.d.culprit,
					b.fact(n, "address of the pod agent", own.String(), "its own"), b.fact(m, "address of the pod agent", own.String(), "its own"))
			}
		}
	}
	return false
}

// podHolds reports whether the pod agent of a node has an address on one of its interfaces.
func (b *bench) podHolds(n int, addr netip.Addr) bool {
	s, _ := b.snapshot(n, mesh.Pod)
	return s != nil && s.Holder(addr) != nil
}

// suspects are the nodes that a reading names.
func (b *bench) suspects() []int {
	if b.d.node >= 0 {
		return []int{b.d.node}
	}
	if b.d.a >= 0 {
		return []int{b.d.a, b.d.b}
	}
	return nil
}

// claim says that two nodes share an address or a network.
func (b *bench) claim(n, m int) {
	if b.d.scope == ScopeNode {
		b.d.node, b.d.peer = n, m
	}
}

// podNetwork is the prefix that a node's bridge or tunnel holds and its pods live in; false when
// it has none of its own or it is that of the physical network.
func (b *bench) podNetwork(n int) (netip.Prefix, bool) {
	s, pod, host := b.host(n), b.addr(n, mesh.Pod), b.addr(n, mesh.Host)
	if s == nil || !pod.IsValid() {
		return netip.Prefix{}, false
	}
	for i := range s.Links {
		for _, a := range s.Links[i].Addrs {
			if m := a.Masked(); a.Bits() < a.Addr().BitLen() && m.Contains(pod) && !m.Contains(host) {
				return m, true
			}
		}
	}
	return netip.Prefix{}, false
}

// sameCIDR looks for another node that owns the suspect's pod network as well. The last to write
// its lease looks healthy, the first is unreachable.
func (b *bench) sameCIDR() bool {
	for _, n := range b.suspects() {
		own, ok := b.podNetwork(n)
		if !ok {
			continue
		}
		var twins []int
		for m := range b.p.nodes {
			if m == n || b.host(m) == nil {
				continue
			}
			if _, ok := b.shares(m, own); ok {
				twins = append(twins, m)
			}
		}
		if len(twins) == 0 || len(twins) > 1+len(b.p.nodes)/4 { // one network for all pods is no conflict
			continue
		}
		m := twins[0]
		other, _ := b.shares(m, own)
		b.claim(n, m)
		b.d.detail.addr = own.String()
		return b.settle(AddressConflict, DuplicatePodCIDR, b.d.culprit, b.fact(n, "pod network", own.String(), "its own"), b.fact(m, "pod network", other.String(), "its own"))
	}
	return false
}

// shares returns the network of a node's bridges that overlaps another node's pods. The node's own
// pods may still have their old addresses.
// A node whose pods live in another network has but a bridge too many.
func (b *bench) shares(m int, own netip.Prefix) (netip.Prefix, bool) {
	s := b.host(m)
	if home, ok := b.podNetwork(m); ok && !home.Overlaps(own) {
		return netip.Prefix{}, false
	}
	for i := range s.Links {
		for _, a := range s.Links[i].Addrs {
			if a.Bits() < a.Addr().BitLen() && a.Masked().Overlaps(own) && !a.Masked().Contains(b.addr(m, mesh.Host)) {
				return a.Masked(), true
			}
		}
	}
	return netip.Prefix{}, false
}

// sameNodeIP asks the peers which link address the suspect's address has: if it is not that of its
// interface, somebody else has the address too. Where no peer's neighbour is what it should be,
// a router answers for everybody and nothing follows.
func (b *bench) sameNodeIP() bool {
	n := b.d.node
	s, own := b.host(n), b.addr(n, mesh.Host)
	if s == nil || !own.IsValid() {
		return false
	}
	holder := s.Holder(own)
	if holder == nil || holder.MAC.IsZero() {
		return false
	}
	strangers := map[string]int{}
	witness, right := -1, 0
	for _, m := range b.sample {
		right += b.trueNeighbors(m, n)
		if nb := b.host(m).Neighbor(own, ""); nb != nil && !nb.MAC.IsZero() && nb.State.Good() && nb.MAC != holder.MAC {
			strangers[nb.MAC.String()]++
			witness = m
		}
	}
	mac := commonest(strangers)
	if mac == "" || right == 0 && len(b.sample) > 2 {
		return false
	}
	b.d.detail.addr, b.d.detail.got, b.d.detail.want, b.d.detail.dev = own.String(), mac, holder.MAC.String(), holder.Name
	return b.settle(AddressConflict, DuplicateNodeIP, n, b.fact(witness, "link address of "+own.String(), mac, holder.MAC.String()))
}

// trueNeighbors counts the nodes other than n whose link address node m knows rightly.
func (b *bench) trueNeighbors(m, n int) (right int) {
	for _, other := range b.sample {
		if other == m || other == n {
			continue
		}
		addr := b.addr(other, mesh.Host)
		nb := b.host(m).Neighbor(addr, "")
		if l := b.host(other).Holder(addr); nb != nil && l != nil && nb.MAC == l.MAC {
			right++
		}
	}
	return right
}

// strayWay looks for a link of the suspect that takes what belongs to other nodes: a bridge whose
// network covers their addresses, or a route past the interface that they are behind.
func (b *bench) strayWay() bool {
	n := b.d.node
	s, own := b.host(n), b.addr(n, mesh.Host)
	if s == nil || !own.IsValid() {
		return false
	}
	holder := s.Holder(own)
	if holder == nil {
		return false
	}
	asked, stray := 0, map[string]int{}
	last := map[string]wayOut{}
	missing := 0
	var example int
	for _, m := range b.sample {
		w, ok := wayTo(s, b.addr(m, mesh.Host))
		if !ok {
			continue
		}
		asked++
		switch {
		case w.err != probe.CodeNone:
			missing++
		case w.dev != holder.Name && b.unlike(n, w.dev):
			stray[w.dev]++
			last[w.dev] = w
			example = m
		}
	}
	dev := commonest(stray)
	switch {
	case asked == 0:
		return false
	case 10*stray[dev] >= 6*asked:
		w := last[dev]
		b.d.detail.dev, b.d.detail.route, b.d.detail.other = dev, w.String(), holder.Name
		if l := s.Link(dev); l != nil {
			for _, a := range l.Addrs {
				if a.Masked().Contains(b.addr(example, mesh.Host)) {
					b.d.detail.addr = a.String()
				}
			}
		}
		facts := []Fact{b.fact(n, "way to "+b.name(example), w.String(), "dev "+holder.Name)}
		if b.d.detail.addr != "" {
			return b.settle(AddressConflict, BridgeOverlapsNodeNetwork, n, append(facts, b.fact(n, "address of "+dev, b.d.detail.addr, "none that covers the node network"))...)
		}
		return b.settle(NodeUnreachable, RouteWrong, n, facts...)
	case 10*missing >= 6*asked:
		return b.settle(NodeUnreachable, RouteMissing, n, b.fact(n, "route to other nodes", "missing", "dev "+holder.Name))
	}
	return false
}

// unlike reports whether healthy nodes do not send to each other by a device of this name.
func (b *bench) unlike(n int, dev string) bool {
	for _, m := range b.sample {
		for _, to := range b.sample {
			if to == m {
				continue
			}
			if w, ok := wayTo(b.host(m), b.addr(to, mesh.Host)); ok {
				return w.dev != dev
			}
		}
	}
	return true
}
