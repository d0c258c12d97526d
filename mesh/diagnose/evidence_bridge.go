package diagnose

import (
	"netchecker/mesh"
	"netchecker/probe"
)

// bridge looks at what joins the suspect's pods to their node: the bridge that healthy nodes have,
// or the pod's own link.
func (b *bench) bridge() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	name, have, asked := usual(b, func(m int, s *probe.Snapshot) (string, bool) {
		w, ok := wayTo(s, b.addr(m, mesh.Pod))
		return w.dev, ok
	})
	if 2*have <= asked || asked == 0 {
		return b.podLink(s)
	}
	b.d.detail.dev = name
	l := s.Link(name)
	switch {
	case l == nil && b.readable(s, "links"):
		return b.settle(PodAttachmentBroken, BridgeMissing, n, b.fact(n, "link "+name, "does not exist", "up, as on other nodes"))
	case l == nil:
		return false
	case !l.Up:
		return b.settle(PodAttachmentBroken, BridgeDown, n, b.fact(n, "link "+name, "down", "up"))
	case !b.numbered(l) && b.readable(s, "addresses"):
		return b.settle(PodAttachmentBroken, BridgeAddressMissing, n, b.fact(n, "address of "+name, "none", "the gateway of the node's pods"))
	}
	return b.podLink(s)
}

// numbered reports whether a link has an address of the picture's family.
func (b *bench) numbered(l *probe.Link) bool {
	for _, a := range l.Addrs {
		if a.Addr().Is4() == (b.p.family == mesh.IPv4) && !a.Addr().IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// podLink looks at the way from the node to its own pod.
func (b *bench) podLink(s *probe.Snapshot) bool {
	n := b.d.node
	to := b.addr(n, mesh.Pod)
	if !to.IsValid() {
		return false
	}
	w, ok := wayTo(s, to)
	switch l := s.Link(w.dev); {
	case !ok:
		return false
	case w.err != probe.CodeNone:
		return b.settle(PodAttachmentBroken, PodLinkDown, n, b.fact(n, "way to its own pod "+to.String(), w.String(), "the pod's link"))
	case l != nil && l.Kind == "veth" && !(l.Up && l.LowerUp):
		b.d.detail.dev = l.Name
		return b.settle(PodAttachmentBroken, PodLinkDown, n, b.fact(n, "link "+l.Name, "down", "up"))
	}
	if nb := s.Neighbor(to, ""); nb != nil && !nb.State.Good() {
		b.d.detail.dev = nb.Dev
		return b.settle(PodAttachmentBroken, PodLinkDown, n, b.fact(n, "neighbour "+to.String(), nb.State.String(), "reachable"))
	}
	return false
}
