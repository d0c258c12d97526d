package diagnose

import (
	"cmp"
	"slices"

	"netchecker/mesh"
)

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
