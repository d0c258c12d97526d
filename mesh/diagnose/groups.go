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

// divided looks for a split: nodes that all fail to reach the same other nodes, and vice versa,
// while each part is well inside. Sets are compared by their hashes, so that half of all paths
// being dead costs one look at each. Nodes that nobody reaches are set aside if they hide it.
func (p *picture) divided(c class, x *excuse) (suspect, bool) {
	if len(p.nodes) < 4 {
		return suspect{}, false
	}
	for _, k := range [...]mesh.PathKind{hh, pp, hp, ph} {
		if p.total.bad[c][k][out]+p.total.bad[weak][k][out] < 4 {
			continue
		}
		parts, silent, ok := p.parts(c, k, x, nil)
		if aside := p.unreached(c, k, x); !ok && aside != nil {
			parts, silent, ok = p.parts(c, k, x, aside)
		}
		if ok && (!silent || p.together(c, k, parts)) {
			return p.excuseGroups(parts, silent, c, x), true
		}
	}
	return suspect{}, false
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
func (p *picture) parts(c class, k mesh.PathKind, x *excuse, aside []bool) (parts [][]int, silent, ok bool) {
	hashes, sets, fails := make([]uint64, len(p.nodes)), make([]uint64, len(p.nodes)), make([]int, len(p.nodes))
	for n := range p.nodes {
		hashes[n] = nameHash(p.nodes[n].name)
	}
	p.each(c == quiet, func(a, b int32, kind mesh.PathKind, bad class, known bool) {
		if kind != k || !known || bad != c && !(c == weak && bad == dead) || x.explained(c, k, a, b) || aside != nil && (aside[a] || aside[b]) {
			return
		}
		sets[a] ^= hashes[b]
		fails[a]++
	})
	buckets := p.buckets(k, hashes, sets, fails, aside)
	if len(buckets) == 0 || len(buckets[0].members) < 2 || fails[buckets[0].members[0]] < 2 {
		return nil, false, false
	}
	return p.match(c, k, buckets, hashes, fails, aside)
}

// buckets groups the nodes that report trouble by what they fail to reach, the largest first.
func (p *picture) buckets(k mesh.PathKind, hashes, sets []uint64, fails []int, aside []bool) []bucket {
	from, _ := k.Ends()
	byset := map[uint64]*bucket{}
	for n := range p.nodes {
		at := p.nodes[n].agent[from]
		if at < 0 || !p.speaks[at] || fails[n] == 0 || aside != nil && aside[n] {
			continue
		}
		b := byset[sets[n]]
		if b == nil {
			b = &bucket{set: sets[n]}
			byset[sets[n]] = b
		}
		b.members = append(b.members, n)
		b.own ^= hashes[n]
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
func (p *picture) match(c class, k mesh.PathKind, buckets []bucket, hashes []uint64, fails []int, aside []bool) (parts [][]int, silent, ok bool) {
	first := &buckets[0]
	inside := make([]bool, len(p.nodes))
	for _, n := range first.members {
		inside[n] = true
	}
	from, _ := k.Ends()
	var mute []int
	muteHash, rest := uint64(0), fails[first.members[0]]
	for _, n := range p.missed(c, first.members[0], k, aside) {
		if inside[n] {
			return nil, false, false
		}
		if at := p.nodes[n].agent[from]; at < 0 || !p.speaks[at] {
			mute = append(mute, n)
			muteHash ^= hashes[n]
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
	i := int(p.nodes[n].agent[from])
	visit := func(j int, f mesh.Family, states uint8) {
		b := int(p.nodeOf[j])
		if f != p.family || b == n || !p.counts[j] || p.view.Agent(j).Network != to || aside != nil && aside[b] {
			return
		}
		if got := classOf[states]; got == c || c == weak && got == dead {
			list = append(list, b)
		}
	}
	p.scan.Bad(i, visit)
	if c == quiet {
		p.scan.Quiet(i, visit)
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
	between := func(a, b int) bool { return group[a] >= 0 && group[b] >= 0 && group[a] != group[b] }
	p.each(c == quiet, func(a, b int32, k mesh.PathKind, bad class, known bool) {
		if known && between(int(a), int(b)) && (bad == c || c == dead && bad == weak || c == weak && bad == dead) {
			s.cells.bad[k][out]++
		}
	})
	for k := range mesh.PathKind(mesh.PathKinds) {
		s.cells.known[k][out] = p.across(k, group, len(parts))
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
	x.groups = len(parts)
	s.witnesses = len(parts[0])
	return s
}

// across is how many paths of a kind lead from one part to another.
func (p *picture) across(k mesh.PathKind, group []int, parts int) int32 {
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
	sum := int32(0)
	for g := range parts {
		sum += sources[g] * (all - dests[g])
	}
	return sum
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
