package diagnose

import (
	"netchecker/mesh"
	"netchecker/probe"
)

// wall asks whether what is broken is but a part of it: where new connections to the node itself fail
// as well, its firewall lets in nothing new, neither packets of the tunnel nor what it would forward.
// Flows from before it was raised live on, so that the node's own small probes die one by one.
func (b *bench) wall() bool {
	c := &b.d.cells
	if !fresh(c, hh, in) || fresh(c, hh, out) || c.at(hh, in) == broken {
		return false
	}
	b.d.shape, b.d.network = shapeWall, "host"
	cause := HostFirewallDrop
	if here, there := b.rates(b.d.node, growth(probe.ICMPOutDestUnreachs)); here >= 1 && here >= 4*there || b.rejected() {
		cause = HostFirewallReject
	}
	if cause == HostFirewallReject {
		b.settle(PortBlocked, cause, b.d.node)
	} else {
		b.remain(PortBlocked, cause)
	}
	b.filterRule()
	return true
}

// fresh reports whether most paths of a kind and way let nothing new through.
func fresh(c *cells, k mesh.PathKind, w way) bool {
	return c.fresh[k][w] > 0 && 10*c.fresh[k][w] >= 7*(c.known[k][w]-c.bad[k][w])
}

// rejected reports whether some peer is told at once that the suspect's host is prohibited.
func (b *bench) rejected() bool {
	if b.d.suspect.facts.any(in, probe.CodeHostUnreachable) {
		return true
	}
	for m := range b.p.nodes {
		for from := range mesh.Network(mesh.Networks) {
			i, j := b.p.nodes[m].agent[from], b.p.nodes[b.d.node].agent[mesh.Host]
			if m == b.d.node || i < 0 || j < 0 || !b.p.speaks[i] {
				continue
			}
			path, ok := b.p.view.PathBetween(int(i), int(j), b.p.family)
			if ok && (path.Probes[probe.UDP].Code == probe.CodeHostUnreachable || path.Probes[probe.TCP].Code == probe.CodeHostUnreachable) {
				return true
			}
		}
	}
	return false
}
