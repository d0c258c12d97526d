package diagnose

import (
	"cmp"
	"slices"

	"netchecker/mesh"
)

// parts finds the parts of a split by one kind of path, nil for none.
func (p *picture) parts(c class, k mesh.PathKind, m *misses) [][]int {
	buckets := p.buckets(k, m)
	if len(buckets) < 2 || len(buckets[0].members) < 2 {
		return nil
	}
	if parts := p.two(c, k, buckets); parts != nil {
		return parts
	}
	return p.several(k, buckets, m)
}

// buckets groups the nodes that report trouble by what they fail to reach, the largest first.
func (p *picture) buckets(k mesh.PathKind, m *misses) []bucket {
	byset := map[uint64]*bucket{}
	for n := range p.nodes {
		if m.fails[k][n] == 0 || !p.tells(n, k) {
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

// tells reports whether a node's agent that paths of a kind start from reports.
func (p *picture) tells(n int, k mesh.PathKind) bool {
	from, _ := k.Ends()
	at := p.nodes[n].agent[from]
	return at >= 0 && p.speaks[at]
}

// set is a set of node numbers.
type set []bool

func (p *picture) setOf(list []int) set {
	s := make(set, len(p.nodes))
	for _, n := range list {
		s[n] = true
	}
	return s
}

// two finds two parts, even when some nodes miss a few more or fewer than their part does: the two
// largest buckets say what the parts are, every other node of a part must miss nearly all of the
// other. Nodes that both miss belong to neither: they have a fault of their own.
func (p *picture) two(c class, k mesh.PathKind, buckets []bucket) [][]int {
	first := buckets[0].members
	far := p.setOf(p.missed(c, first[0], k))
	at := slices.IndexFunc(buckets, func(b bucket) bool { return far[b.members[0]] })
	if at < 0 {
		return nil
	}
	second := buckets[at].members
	near := p.setOf(p.missed(c, second[0], k))
	var parts [2][]int
	for n := range p.nodes {
		switch {
		case near[n] && !far[n]:
			parts[0] = append(parts[0], n)
		case far[n] && !near[n]:
			parts[1] = append(parts[1], n)
		}
	}
	if len(parts[0]) == 0 || len(parts[1]) < len(second) || len(second) < 2 && len(parts[1]) < 2 {
		return nil // the far side does not hold together: so many nodes cut off
	}
	p.assign(c, &parts)
	for i, certain := range [2][]int{first, second} {
		if !p.holdsTogether(c, k, parts[i], parts[1-i], certain) {
			return nil
		}
	}
	return parts[:]
}

// holdsTogether checks that two nodes of a part report at least, that the certain members are of
// it, and that each other member misses nearly all of the other part and hardly any of its own.
func (p *picture) holdsTogether(c class, k mesh.PathKind, part, other, certain []int) bool {
	own, far := p.setOf(part), p.setOf(other)
	sure, isSure := 0, p.setOf(certain)
	exceptions := 8 + len(p.nodes)/20
	for _, n := range certain {
		if !own[n] {
			return false
		}
	}
	for _, n := range part {
		if isSure[n] {
			sure++
			continue
		}
		if !p.tells(n, k) {
			continue
		}
		if exceptions--; exceptions < 0 {
			return false
		}
		inside, across := 0, 0
		for _, m := range p.missed(c, n, k) {
			if own[m] {
				inside++
			} else if far[m] {
				across++
			}
		}
		if 10*across < 9*len(other) || 2*inside > len(part) {
			return false
		}
		sure++
	}
	return sure >= 2
}

// assign gives nodes that are in neither part, since they have a fault of their own besides, to the
// one that they belong to by any kind of path that they report.
func (p *picture) assign(c class, parts *[2][]int) {
	placed := p.setOf(slices.Concat(parts[0], parts[1]))
	sides := [2]set{p.setOf(parts[0]), p.setOf(parts[1])}
	sizes := [2]int{len(parts[0]), len(parts[1])}
	tries := 8 + len(p.nodes)/20
	for n := range p.nodes {
		if placed[n] {
			continue
		}
		if tries--; tries < 0 {
			return
		}
		for _, k := range [...]mesh.PathKind{hh, pp, hp, ph} {
			if !p.tells(n, k) {
				continue
			}
			var lost [2]int
			for _, m := range p.missed(c, n, k) {
				for i := range sides {
					if sides[i][m] {
						lost[i]++
					}
				}
			}
			if i := slices.IndexFunc([]int{0, 1}, func(i int) bool { return 10*lost[1-i] >= 9*sizes[1-i] && 2*lost[i] <= sizes[i] }); i >= 0 {
				parts[i] = append(parts[i], n)
				break
			}
		}
	}
}

// several finds three parts or more, which must fit exactly: each misses all others.
func (p *picture) several(k mesh.PathKind, buckets []bucket, m *misses) (parts [][]int) {
	all := buckets[0].own ^ buckets[0].set
	rest := int(m.fails[k][buckets[0].members[0]]) + len(buckets[0].members)
	for _, b := range buckets {
		if b.set^b.own != all {
			continue
		}
		if len(b.members) < 2 {
			return nil
		}
		parts = append(parts, b.members)
		rest -= len(b.members)
	}
	if rest != 0 || len(parts) < 2 {
		return nil
	}
	return parts
}
