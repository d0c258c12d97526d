package diagnose

import "slices"

// fold drops readings that are consequences of another one. What evidence shows at one place may
// break paths of a second one that the counts alone cannot tell from a fault of its own: a node that
// took another's pod network has lost the way to its own pods as well. So a cause that is shown
// explains whatever stays unexplained at the nodes that it names. The consequences are returned with the
// numbers of what explains them in all.
func fold(all []reading) (kept []reading, explained map[int]int) {
	explained = map[int]int{}
	for i := range all {
		d := &all[i]
		if at := slices.IndexFunc(kept, func(by reading) bool { return by.same(d) }); at >= 0 {
			kept[at].weight += d.weight
			continue
		}
		if by := slices.IndexFunc(all, func(by reading) bool { return by.accounts(d) }); by >= 0 {
			explained[i] = by
			continue
		}
		kept = append(kept, *d)
	}
	return kept, explained
}

// same reports whether d is r once more: chance or time made some of the paths fail in another way.
func (r *reading) same(d *reading) bool {
	return r.kind == d.kind && r.cause == d.cause && r.scope == d.scope && len(r.places()) > 0 && slices.Equal(r.places(), d.places())
}

// accounts reports whether d is a consequence of r, of which evidence shows the cause.
func (r *reading) accounts(d *reading) bool {
	switch {
	case r.suspect == d.suspect || r.symptom() || r.network == "pod" && d.network == "host":
		return false
	case r.kind == AddressConflict && r.shown && d.kind != AddressConflict: // whatever was written for one owner is wrong for the other
		return r.at(d)
	case (r.kind == MTUBlackhole || r.kind == MTUMismatch) && d.class == conn && !d.shown: // connections hang once they send much
		return r.at(d)
	case !r.shown && !r.walls() || d.shown && !d.symptom() || r.class > d.class && !r.byChance():
		return false
	case r.scope == ScopeCluster:
		return d.scope == ScopeCluster
	}
	return r.at(d)
}

// at reports whether d is about nodes that r names: about these alone, or about a path of such a node
// that is left over. What is wrong between two nodes says nothing of all the others.
func (r *reading) at(d *reading) bool {
	own, others := r.places(), d.places()
	named := func(n int) bool { return slices.Contains(own, n) }
	switch {
	case len(others) == 0 || r.scope == ScopePair && d.scope != ScopePair:
		return false
	case d.scope == ScopePair && r.scope == ScopeNode:
		return slices.ContainsFunc(others, named)
	}
	return !slices.ContainsFunc(others, func(n int) bool { return !named(n) })
}

// symptom reports whether a cause that evidence shows may itself be the consequence of another: the
// kernel's reverse path check drops packets wherever addresses or routes are wrong.
func (r *reading) symptom() bool { return r.cause == RPFilterDrop }

// byChance reports whether a cause hits some packets and spares others, so that its paths look as chance
// will have it.
func (r *reading) byChance() bool {
	switch r.cause {
	case ConntrackFull, NeighborTableFull, QueueShaped, NICErrors:
		return true
	}
	return false
}

// walls reports whether a reading is of a firewall that lets nothing new in: single ports and
// protocols need no explanation then.
func (r *reading) walls() bool { return r.kind == PortBlocked && r.shape == shapeWall }

// places are the nodes that a reading names.
func (r *reading) places() (list []int) {
	switch {
	case r.scope == ScopePair:
		list = []int{r.a, r.b}
	case r.scope == ScopeNode && r.peer >= 0:
		list = []int{r.node, r.peer}
	case r.scope == ScopeNode:
		list = []int{r.node}
	}
	return list
}
