package diagnose

import (
	"hash/fnv"
	"slices"

	"netchecker/mesh"
)

// bucket is a set of nodes that fail to reach exactly the same nodes.
type bucket struct {
	members []int
	// own and set are hashes of the members and of the nodes that they fail to reach.
	own, set uint64
}

// misses says of every node, for each kind of path, how many nodes it fails to reach and a hash of
// which.
type misses struct {
	hash  []uint64
	sets  [mesh.PathKinds][]uint64
	fails [mesh.PathKinds][]int32
}

// divided looks for a split: nodes that all fail to reach the same other nodes, and vice versa,
// while each part is well inside. Sets are compared by their hashes, so that half of all paths
// being dead costs one look at each.
func (p *picture) divided(c class, x *excuse) (suspect, bool) {
	if len(p.nodes) < 4 {
		return suspect{}, false
	}
	var m *misses
	for _, k := range [...]mesh.PathKind{hh, pp, hp, ph} {
		if !p.mayDivide(c, k) {
			continue
		}
		if m == nil {
			m = p.misses(c, x)
		}
		if parts := p.parts(c, k, m); parts != nil {
			return p.excuseGroups(parts, false, c, x), true
		}
	}
	if parts := p.goneTogether(c, x); parts != nil {
		return p.excuseGroups(parts, true, c, x), true
	}
	return suspect{}, false
}

// mayDivide reports whether the counts allow a split: if m nodes fail to reach f others each, then
// as many nodes are missed by m. Parts of one size cannot be told apart here, hence the least of
// what m may be; a few nodes may be dead besides.
func (p *picture) mayDivide(c class, k mesh.PathKind) bool {
	alike := map[int32]int32{}
	into := make([]int32, len(p.nodes))
	for n := range p.nodes {
		t := &p.tallies[n]
		into[n] = t.reached(c, k, in)
		if f := t.reached(c, k, out); f >= 2 {
			alike[f]++
		}
	}
	slices.Sort(into)
	for f, m := range alike {
		least := max(f-f/4-2, 2)
		if m >= 2 && into[int32(len(into))-least] >= min(m, f, int32(len(p.nodes))-f) {
			return true
		}
	}
	return false
}

// reached is the number of bad paths that speak for class c in a search for splits.
func (t *tally) reached(c class, k mesh.PathKind, w way) int32 {
	if c == weak {
		return t.bad[weak][k][w] + t.bad[dead][k][w]
	}
	return t.bad[c][k][w]
}

// misses makes one pass over all bad paths.
func (p *picture) misses(c class, x *excuse) *misses {
	m := &misses{hash: make([]uint64, len(p.nodes))}
	for n := range p.nodes {
		m.hash[n] = nameHash(p.nodes[n].name)
	}
	for k := range m.sets {
		m.sets[k], m.fails[k] = make([]uint64, len(p.nodes)), make([]int32, len(p.nodes))
	}
	p.eachOf(c, func(a, b int32, k mesh.PathKind, bad class) {
		if bad != c && (c != weak || bad != dead) || x.any && x.explained(c, k, a, b) {
			return
		}
		m.sets[k][a] ^= m.hash[b]
		m.fails[k][a]++
	})
	return m
}

func nameHash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// missed are the nodes that a node fails to reach by a kind of path.
func (p *picture) missed(c class, n int, k mesh.PathKind) (list []int) {
	from, to := k.Ends()
	at := p.nodes[n].agent[from]
	if at < 0 {
		return nil
	}
	ends := p.ends()
	bad, states, place := p.view.BadOf(int(at))
	for _, col := range bad {
		at := place[col>>2]
		if at == mesh.NoPlace || ends[at] == noEnd || mesh.Network(ends[at]&1) != to || int(ends[at]>>1) == n {
			continue
		}
		if got := badClass(col, states); got == c || c == weak && got == dead {
			list = append(list, int(ends[at]>>1))
		}
	}
	slices.Sort(list)
	return list
}
