package diagnose

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
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
// being dead costs one look at each. Nodes that nobody reaches are set aside if they hide it.
func (p *picture) divided(c class, x *excuse) (suspect, bool) {
	if len(p.nodes) < 4 {
		return suspect{}, false
	}
	var whole *misses
	for _, k := range [...]mesh.PathKind{hh, pp, hp, ph} {
		if !p.mayDivide(c, k) {
			continue
		}
		if whole == nil {
			whole = p.misses(c, x, nil)
		}
		parts, silent, ok := p.parts(c, k, whole, nil)
		if !ok {
			if aside := p.unreached(c, k, x); aside != nil {
				parts, silent, ok = p.parts(c, k, p.misses(c, x, aside), aside)
			}
		}
		if ok && (!silent || p.together(c, k, parts)) {
			return p.excuseGroups(parts, silent, c, x), true
		}
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

// misses makes one pass over all bad paths. Nodes that are set aside neither miss nor are missed.
func (p *picture) misses(c class, x *excuse, aside []bool) *misses {
	m := &misses{hash: make([]uint64, len(p.nodes))}
	for n := range p.nodes {
		m.hash[n] = nameHash(p.nodes[n].name)
	}
	for k := range m.sets {
		m.sets[k], m.fails[k] = make([]uint64, len(p.nodes)), make([]int32, len(p.nodes))
	}
	p.each(c == quiet, func(a, b int32, k mesh.PathKind, bad class) {
		if bad != c && (c != weak || bad != dead) || x.any && x.explained(c, k, a, b) || aside != nil && (aside[a] || aside[b]) {
			return
		}
		m.sets[k][a] ^= m.hash[b]
		m.fails[k][a]++
	})
	return m
}

// unreached are the nodes to which every known path of a kind is bad, nil for none.
func (p *picture) unreached(c class, k mesh.PathKind, x *excuse) (aside []bool) {
	for n := range p.nodes {
		own := p.cellsOf(n, c, x)
		if own.known[k][in] < 2 || own.bad[k][in] < own.known[k][in] || own.bad[k][out] < own.known[k][out] {
			continue
		}
		if aside == nil {
			aside = make([]bool, len(p.nodes))
		}
		aside[n] = true
	}
	return aside
}

func nameHash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// parts finds the parts of a split by one kind of path. silent parts are made of nodes that do not
// report: whether they are well inside nobody knows.
func (p *picture) parts(c class, k mesh.PathKind, m *misses, aside []bool) (parts [][]int, silent, ok bool) {
	buckets := p.buckets(k, m, aside)
	if len(buckets) == 0 || len(buckets[0].members) < 2 || m.fails[k][buckets[0].members[0]] < 2 {
		return nil, false, false
	}
	return p.match(c, k, buckets, m, aside)
}

// buckets groups the nodes that report trouble by what they fail to reach, the largest first.
func (p *picture) buckets(k mesh.PathKind, m *misses, aside []bool) []bucket {
	from, _ := k.Ends()
	byset := map[uint64]*bucket{}
	for n := range p.nodes {
		at := p.nodes[n].agent[from]
		if at < 0 || !p.speaks[at] || m.fails[k][n] == 0 || aside != nil && aside[n] {
			continue
		}
		b := byset[m.sets[k][n]]
		if b == nil {
			b = &bucket{set: m.sets[k][n]}
			byset[m.sets[k][n]] = b
		}
		b.members = append(b.members, n)
		b.own ^= m.hash[n]
	}
	out := make([]bucket, 0, len(byset))
	for _, b := range byset {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b bucket) int {
		return cmp.Or(len(b.members)-len(a.members), a.members[0]-b.members[0])
	})
	return out
}

// match checks that the buckets fit together: each part fails to reach all others and nothing else.
func (p *picture) match(c class, k mesh.PathKind, buckets []bucket, m *misses, aside []bool) (parts [][]int, silent, ok bool) {
	first := &buckets[0]
	inside := make([]bool, len(p.nodes))
	for _, n := range first.members {
		inside[n] = true
	}
	from, _ := k.Ends()
	var mute []int
	muteHash, rest := uint64(0), int(m.fails[k][first.members[0]])
	for _, n := range p.missed(c, first.members[0], k, aside) {
		if inside[n] {
			return nil, false, false
		}
		if at := p.nodes[n].agent[from]; at < 0 || !p.speaks[at] {
			mute = append(mute, n)
			muteHash ^= m.hash[n]
		}
	}
	all := first.own ^ first.set
	parts = [][]int{first.members}
	for i := 1; i < len(buckets); i++ {
		b := &buckets[i]
		if b.set^b.own != all && b.set^b.own^muteHash != all {
			continue
		}
		parts = append(parts, b.members)
		rest -= len(b.members)
	}
	switch {
	case rest != len(mute):
		return nil, false, false
	case len(parts) == 1:
		silent = true
		parts = append(parts, mute)
	case len(mute) > 0: // they belong to one of the parts that do report; nobody knows to which
		parts[1] = append(slices.Clone(parts[1]), mute...)
	}
	for _, part := range parts {
		if len(part) < 2 {
			return nil, false, false
		}
	}
	return parts, silent, true
}

// missed are the nodes that a node fails to reach by a kind of path.
func (p *picture) missed(c class, n int, k mesh.PathKind, aside []bool) (list []int) {
	from, to := k.Ends()
	at := p.nodes[n].agent[from]
	for m := range p.nodes {
		j := p.nodes[m].agent[to]
		if m == n || j < 0 || !p.counts[j] || aside != nil && aside[m] {
			continue
		}
		if states, known := p.states(int(at), int(j)); known && (classOf[states] == c || c == weak && classOf[states] == dead) {
			list = append(list, m)
		}
	}
	return list
}

// excuseGroups makes a split a suspect and excuses the paths between its parts.
func (p *picture) excuseGroups(parts [][]int, silent bool, c class, x *excuse) suspect {
	for _, part := range parts {
		slices.Sort(part)
	}
	slices.SortFunc(parts, func(a, b []int) int { return cmp.Or(len(b)-len(a), slices.Compare(a, b)) })
	s := suspect{class: c, scope: ScopeGroups, family: p.family, node: -1, a: -1, b: -1, groups: parts, silent: silent}
	group := make([]int, len(p.nodes))
	for i := range group {
		group[i] = -1
	}
	for g, part := range parts {
		for _, n := range part {
			group[n] = g
		}
	}
	for k := range mesh.PathKind(mesh.PathKinds) {
		known, each := p.across(k, group, len(parts))
		for n, g := range group {
			if g >= 0 { // what fails inside the parts as well is counted, but no more than there are
				s.cells.bad[k][out] += min(effective(&p.tallies[n], c, k, out), each[g])
			}
		}
		s.cells.known[k][out] = known
		if s.cells.at(k, out) != good {
			s.weight += int(s.cells.bad[k][out])
			x.between[c] |= 1 << k
		}
	}
	if c == dead {
		for other := range x.between {
			x.between[other] |= x.between[c]
		}
	}
	for n, g := range group {
		x.group[n] = int16(g)
	}
	x.groups, x.any = len(parts), true
	s.witnesses = len(parts[0])
	p.recount(c, group, x)
	return s
}

// recount takes the paths between the parts off the tallies: by arithmetic where they are all that
// a node misses, which spares another look at half of all paths.
func (p *picture) recount(c class, group []int, x *excuse) {
	for k := range mesh.PathKind(mesh.PathKinds) {
		_, each := p.across(k, group, x.groups)
		from, _ := k.Ends()
		for n, g := range group {
			t := &p.tallies[n]
			lost := int32(0)
			for other := range t.bad {
				lost += t.bad[other][k][out]
			}
			at := p.nodes[n].agent[from]
			exact := g >= 0 && x.between[c].has(k) && at >= 0 && p.speaks[at] && t.bad[c][k][out] == each[g] && lost == each[g] && t.unknown[k][out] == 0
			if !exact && lost > 0 {
				p.count(c, x)
				return
			}
		}
	}
	clear(p.tallies)
	p.sum()
	p.eligibles(c, x)
}

// across is how many paths of a kind lead from one part to another in all, and from each node that
// reports by the part that it is in.
func (p *picture) across(k mesh.PathKind, group []int, parts int) (sum int32, each []int32) {
	from, to := k.Ends()
	sources, dests := make([]int32, parts), make([]int32, parts)
	all := int32(0)
	for n, g := range group {
		if g < 0 {
			continue
		}
		if at := p.nodes[n].agent[from]; at >= 0 && p.speaks[at] {
			sources[g]++
		}
		if at := p.nodes[n].agent[to]; at >= 0 && p.counts[at] {
			dests[g]++
			all++
		}
	}
	each = make([]int32, parts)
	for g := range parts {
		each[g] = all - dests[g]
		sum += sources[g] * each[g]
	}
	return sum, each
}

// together reports whether silent nodes went at one moment and, where zones are known, go with
// them: else they are so many faults, each of its own.
func (p *picture) together(c class, k mesh.PathKind, parts [][]int) bool {
	if c != dead {
		return true
	}
	mute := parts[len(parts)-1]
	from, to := k.Ends()
	var first, last time.Time
	slack := sameMoment
	for _, a := range spread(parts[0], 4) {
		i := p.nodes[a].agent[from]
		if i < 0 || !p.speaks[i] {
			continue
		}
		row, _ := p.view.RowOf(int(i))
		slack = max(slack, row.Interval*3/2)
		for _, b := range mute {
			j := p.nodes[b].agent[to]
			if j < 0 {
				continue
			}
			path, ok := p.view.PathBetween(int(i), int(j), p.family)
			if !ok || path.Since.IsZero() || path.State != probe.Failing {
				continue
			}
			if first.IsZero() || path.Since.Before(first) {
				first = path.Since
			}
			if path.Since.After(last) {
				last = path.Since
			}
		}
	}
	return last.Sub(first) <= slack && (len(mute) > 3 || p.zonesAgree(mute))
}

// sameMoment is how far apart the beginnings of one event may be seen.
const sameMoment = 3 * time.Second

// zonesAgree reports whether the nodes are whole zones, or zones are not known.
func (p *picture) zonesAgree(list []int) bool {
	inside := map[string]int{}
	for _, n := range list {
		inside[p.nodes[n].zone]++
	}
	all, zones := map[string]int{}, 0
	for n := range p.nodes {
		if all[p.nodes[n].zone] == 0 {
			zones++
		}
		all[p.nodes[n].zone]++
	}
	if zones < 2 {
		return true
	}
	for zone, n := range inside {
		if all[zone] != n {
			return false
		}
	}
	return true
}
