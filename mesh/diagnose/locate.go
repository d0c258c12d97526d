package diagnose

import (
	"slices"

	"netchecker/mesh"
)

// maxPairs is how many pairs are told apart; maxTold how many become findings of their own.
const (
	maxPairs = 4096
	maxTold  = 24
)

// locate finds the suspects of one class: first what concerns everybody, then splits, then nodes,
// the worst first, and what is left by pairs. Whatever a suspect explains is taken off the rest, so
// that its peers are not blamed for it; a node that healthy paths clear is none.
func (p *picture) locate(c class, x *excuse) (found []suspect) {
	if !p.occurs(c) {
		return p.inside(c, x, nil)
	}
	if c != dead {
		p.count(c, x)
	}
	if s, ok := p.everywhere(c, x); ok {
		found = append(found, s)
		p.count(c, x)
	}
	if s, ok := p.divided(c, x); ok {
		found = append(found, s)
	}
	for p.anyBad(c) {
		chosen := p.worst(c, x)
		if len(chosen) == 0 {
			break
		}
		found = append(found, chosen...)
		p.count(c, x)
	}
	if p.anyBad(c) {
		found = append(found, p.pairs(c, x)...)
	}
	return append(found, p.inside(c, x, found)...)
}

// occurs reports whether there are paths of a class at all; the first count of a round is for the
// dead ones and tells of all others but the quiet, which lie elsewhere.
func (p *picture) occurs(c class) bool {
	switch c {
	case dead:
		p.count(c, newExcuse(len(p.nodes)))
		for c := range p.present {
			p.present[c] = p.anyBad(class(c))
		}
	case quiet:
		return true
	}
	return p.present[c]
}

func (p *picture) anyBad(c class) bool {
	for k := range mesh.PathKind(mesh.PathKinds) {
		if p.total.bad[c][k][out] > 0 {
			return true
		}
	}
	return false
}

// everywhere looks for kinds of path that fail all over the cluster.
func (p *picture) everywhere(c class, x *excuse) (suspect, bool) {
	s := suspect{class: c, scope: ScopeCluster, family: p.family, node: -1, a: -1, b: -1}
	var all [mesh.PathKinds]extent
	for n := range p.nodes {
		own := p.cellsOf(n, c, x)
		for k := range mesh.PathKind(mesh.PathKinds) {
			e, bad, known := &all[k], own.bad[k][out], own.known[k][out]
			if around := bad + own.bad[k][in]; around > e.worst[0] {
				e.worst = [2]int32{around, known + own.known[k][in]}
			}
			if known == 0 {
				continue
			}
			e.sources++
			s.cells.known[k][out] += known
			s.cells.bad[k][out] += bad
			if 10*bad >= 3*known {
				e.hit++
			}
		}
	}
	set := s.wide(c, &all)
	if set == 0 {
		return s, false
	}
	for k := range mesh.PathKind(mesh.PathKinds) {
		if !set.has(k) {
			s.cells.bad[k][out] = 0
			continue
		}
		s.weight += int(s.cells.bad[k][out])
		s.witnesses = max(s.witnesses, all[k].sources)
	}
	x.any = true
	x.all[c] |= set
	if c == dead {
		for other := range x.all {
			x.all[other] |= set
		}
	}
	return s, true
}

// extent says how far a kind of path fails: how many nodes tell of it, at how many of them much of it
// is bad, and the bad and known paths of the node that has most of the bad ones.
type extent struct {
	sources, hit int
	worst        [2]int32
}

// wide are the kinds of path that fail all over the cluster.
func (s *suspect) wide(c class, all *[mesh.PathKinds]extent) (set kinds) {
	few := kinds(0)
	for k, e := range all {
		bad, known := s.cells.bad[k][out], s.cells.known[k][out]
		enough := 10*bad >= 9*known
		if c == weak {
			bad, known := bad-e.worst[0], known-e.worst[1] // what one node explains is not everywhere
			enough = known > 0 && 2*bad >= known && 4*e.hit >= 3*e.sources
		}
		switch {
		case !enough || known == 0:
		case e.sources >= 3 && known >= 6:
			set |= 1 << k
		default:
			few |= 1 << k
		}
	}
	if c == dead && set&overlayKinds != 0 {
		set |= few & overlayKinds // what few are heard to say of the tunnel agrees with the others
	}
	return set
}

// oneAtATime is up to how many nodes suspects are taken one by one: in small clusters each suspect
// changes the picture of the others.
const oneAtATime = 64

// worst returns the most suspicious nodes and excuses what they explain.
func (p *picture) worst(c class, x *excuse) (chosen []suspect) {
	best, bestBad := 0.0, 0
	for n := range p.nodes {
		if p.tallies[n].empty(c) {
			continue
		}
		s := suspect{class: c, scope: ScopeNode, family: p.family, node: n, a: -1, b: -1, cells: p.cellsOf(n, c, x)}
		share, bad := s.cells.share()
		if share < 0.8 || !p.plausible(&s) {
			continue
		}
		s.weight, s.witnesses = s.cells.weight(), s.cells.peers()
		switch {
		case len(p.nodes) > oneAtATime:
			chosen = append(chosen, s)
		case share > best || share == best && bad > bestBad:
			best, bestBad, chosen = share, bad, []suspect{s}
		}
	}
	for i := range chosen {
		p.excuseNode(&chosen[i], x)
	}
	return chosen
}

// plausible reports whether a node may be suspected on its own. With a single witness both ends of
// a path look alike, unless the kinds of path that fail tell them apart.
func (p *picture) plausible(s *suspect) bool {
	if s.cells.peers() >= 2 {
		return true
	}
	return s.class == dead && (oneSided(&s.cells) || p.mute(s.node))
}

// mute reports whether no agent of a node reports any more.
func (p *picture) mute(n int) bool {
	for _, at := range p.nodes[n].agent {
		if at >= 0 && p.speaks[at] {
			return false
		}
	}
	return true
}

func (p *picture) excuseNode(s *suspect, x *excuse) {
	x.any = true
	m := &x.mask[s.node]
	for w := range way(ways) {
		set := s.cells.touched(w)
		if s.class == dead { // what gets through to a half-dead node suffers from the same
			for c := range m {
				m[c][w] |= set
			}
		}
		m[s.class][w] |= set
		if s.class == conn { // flows that fail one by one look like loss for a while
			m[weak][w] |= set
		}
	}
}

func (t *tally) empty(c class) bool {
	for k := range t.bad[c] {
		if t.bad[c][k][out]+t.bad[c][k][in] > 0 {
			return false
		}
	}
	return true
}

// inside finds nodes of which only the paths within are bad.
func (p *picture) inside(c class, x *excuse, found []suspect) (more []suspect) {
	for n := range p.nodes {
		node := &p.nodes[n]
		if node.local[0] != c && node.local[1] != c || x.mask[n][dead][out]|x.mask[n][dead][in] != 0 ||
			slices.ContainsFunc(found, func(s suspect) bool { return s.node == n }) {
			continue
		}
		s := suspect{class: c, scope: ScopeNode, family: p.family, node: n, a: -1, b: -1, cells: p.cellsOf(n, c, x), witnesses: 1}
		for _, l := range node.local {
			if l == c {
				s.weight++
			}
		}
		more = append(more, s)
	}
	if len(more) >= 3 && 2*len(more) > len(p.nodes) {
		return []suspect{p.allInside(c, more)}
	}
	return more
}

// allInside makes one suspect of most nodes.
func (p *picture) allInside(c class, list []suspect) suspect {
	s := suspect{class: c, scope: ScopeCluster, family: p.family, node: -1, a: -1, b: -1, inside: true}
	for i := range list {
		s.weight += list[i].weight
		s.witnesses++
		for k, kind := range [2]mesh.PathKind{hp, ph} {
			if list[i].cells.local[k] == c {
				s.cells.bad[kind][out]++
			}
			if list[i].cells.heard[k] {
				s.cells.known[kind][out]++
			}
		}
		s.peers = append(s.peers, list[i].node)
	}
	return s
}
