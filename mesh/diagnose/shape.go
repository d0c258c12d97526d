package diagnose

import "netchecker/mesh"

// shape is the part of a node whose failure explains which kinds of path fail. It is read off the
// kinds alone, before any evidence.
type shape uint8

const (
	shapeless    shape = iota
	shapeCut           // nothing reaches the node or leaves it
	shapeOverlay       // between its pods and other nodes, by the tunnel; its pods do reach other hosts
	shapeForward       // nothing is forwarded to or from its pods; its own traffic passes
	shapeAttach        // the same, and its pods do not reach even their own node
	shapePodIn         // nothing new gets into its pods
	shapePodOut        // its pods open nothing
	shapeHostIn        // nothing new gets to the node itself
	shapeHostOut       // the node itself opens nothing
	shapeWall          // nothing new gets in, neither to the node nor to its pods
	shapeRouting       // only paths inside the node, or only from the node to pods elsewhere
)

// bads is which cells of a node fail. Mixed ones count: a fault need not hit every flow.
type bads struct {
	hhIn, hhOut, ppIn, ppOut, hpIn, hpOut, phIn, phOut bool
	// deaf says that the pod agent's row is missing, mute that the host agent's is.
	deaf, mute bool
	// toPod and toHost are the paths inside the node.
	toPod, toHost bool
}

func badsOf(c *cells) bads {
	is := func(k mesh.PathKind, w way) bool { v := c.at(k, w); return v == broken || v == mixed }
	return bads{
		hhIn: is(hh, in), hhOut: is(hh, out), ppIn: is(pp, in), ppOut: is(pp, out),
		hpIn: is(hp, in), hpOut: is(hp, out), phIn: is(ph, in), phOut: is(ph, out),
		deaf: c.known[pp][out]+c.known[ph][out] == 0, mute: c.known[hh][out]+c.known[hp][out] == 0,
		toPod: c.heard[0] && c.local[0] == dead, toHost: c.heard[1] && c.local[1] == dead,
	}
}

// shapeOf names the part of a node that its cells speak of.
func shapeOf(c *cells) shape {
	b := badsOf(c)
	pods := b.ppIn || b.hpIn || b.ppOut
	switch {
	case b.hhIn && (b.hhOut || b.mute) && (pods || c.known[pp][in]+c.known[hp][in] == 0):
		return shapeCut
	case b.hhIn && !b.hhOut && (pods || b.phOut):
		if b.ppIn && b.hpIn || b.ppOut {
			return shapeWall
		}
		return shapeHostIn
	case b.hhIn:
		return shapeHostIn
	case b.hhOut:
		return shapeHostOut
	}
	return podShape(c, &b)
}

// podShape is shapeOf where the physical network is well.
func podShape(c *cells, b *bads) shape {
	into, outof := b.ppIn && b.hpIn, b.ppOut || b.phOut
	switch {
	case b.hpOut && (b.ppIn || b.hpIn || b.ppOut) && !(b.phOut && !b.ppIn):
		if !b.ppIn && !b.hpIn {
			return shapePodOut
		}
		return shapeOverlay
	case into && (b.toPod || b.toHost) && (outof || b.deaf):
		return shapeAttach
	case into && (outof || b.deaf):
		return shapeForward
	case b.ppIn && b.ppOut:
		return shapeOverlay
	case b.ppIn || b.hpIn:
		return shapePodIn
	case outof:
		return shapePodOut
	case b.hpOut && c.known[pp][in]+c.known[pp][out]+c.known[hp][in] == 0: // its pods are unheard of just now
		return shapeOverlay
	case b.hpOut:
		return shapeRouting
	case b.phIn:
		return shapeHostIn
	case c.local[0] != fine || c.local[1] != fine:
		return shapeRouting
	}
	return shapeless
}

// oneSided reports whether the kinds that fail name one end even with a single witness: seen from
// the other end they make no shape.
func oneSided(c *cells) bool {
	b := badsOf(c)
	b.deaf, b.mute, b.toPod, b.toHost = false, false, false, false
	switch b {
	case bads{hhIn: true, ppIn: true, ppOut: true, hpIn: true, hpOut: true, phIn: true, phOut: true}: // a wall
		return true
	case bads{ppIn: true, ppOut: true, hpIn: true, phOut: true}, // forwarding or attachment
		bads{ppIn: true, hpIn: true}, bads{ppOut: true, phOut: true}, // pods
		bads{hhIn: true, phIn: true}, bads{hhOut: true, hpOut: true}: // the node itself
		return true
	}
	return false
}
