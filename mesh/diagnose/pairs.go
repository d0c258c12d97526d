package diagnose

import (
	"slices"

	"netchecker/mesh"
)

// pairs makes suspects of what is left. Many pairs of one node are one suspect, that node; too many
// pairs to tell apart are one suspect without a place.
func (p *picture) pairs(c class, x *excuse) (found []suspect) {
	met := map[[2]int32]int{}
	weight := 0
	p.eachOf(c, func(a, b int32, k mesh.PathKind, bad class) {
		if bad != c && !(c == weak && bad == dead) || x.explained(c, k, a, b) {
			return
		}
		weight++
		key := [2]int32{min(a, b), max(a, b)}
		if _, seen := met[key]; seen || len(met) < maxPairs {
			met[key]++
		}
	})
	keys := make([][2]int32, 0, len(met))
	for key := range met {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b [2]int32) int { return slices.Compare(a[:], b[:]) })
	if len(met) < maxPairs {
		stars, rest := p.stars(c, x, keys)
		found, keys = stars, rest
	}
	if len(keys) > maxTold {
		return append(found, suspect{class: c, scope: ScopeCluster, family: p.family, node: -1, a: -1, b: -1, weight: weight, partial: true,
			cells: p.scattered(c)})
	}
	for _, key := range keys {
		s := suspect{class: c, scope: ScopePair, family: p.family, node: -1, a: int(key[0]), b: int(key[1]), witnesses: 1}
		s.cells = p.pairCells(s.a, s.b, c)
		s.weight = s.cells.weight()
		if (c == dead || c == conn) && p.lossy(&s, c) {
			continue // chance makes some paths of a lossy pair look dead
		}
		if c == dead {
			if x.pairs == nil {
				x.pairs = map[[2]int32]bool{}
			}
			x.pairs[key], x.any = true, true
		}
		found = append(found, s)
	}
	return found
}

// lossy reports whether more paths of a pair are lossy than of class c.
func (p *picture) lossy(s *suspect, c class) bool {
	only := [classes]int{}
	for k := range mesh.PathKind(mesh.PathKinds) {
		from, to := k.Ends()
		for _, ends := range [ways][2]int{{s.a, s.b}, {s.b, s.a}} {
			i, j := p.nodes[ends[0]].agent[from], p.nodes[ends[1]].agent[to]
			if i < 0 || j < 0 || !p.speaks[i] || !p.counts[j] {
				continue
			}
			if states, known := p.states(int(i), int(j)); known && classOf[states] != fine {
				only[classOf[states]]++
			}
		}
	}
	return only[weak] > only[c]
}

// scattered is the share of bad paths of each kind in all.
func (p *picture) scattered(c class) (all cells) {
	for k := range mesh.PathKind(mesh.PathKinds) {
		all.bad[k][out] = p.total.bad[c][k][out]
		all.known[k][out] = max(all.bad[k][out], 1)
	}
	return all
}

// stars finds nodes that have trouble with three peers at least and with half of all.
func (p *picture) stars(c class, x *excuse, keys [][2]int32) (found []suspect, rest [][2]int32) {
	for {
		degree := make(map[int32]int, len(keys))
		for _, key := range keys {
			degree[key[0]]++
			degree[key[1]]++
		}
		best, most := int32(-1), 2
		for n := range int32(len(p.nodes)) {
			if d := degree[n]; d > most && 2*d >= len(p.nodes)-1 {
				best, most = n, d
			}
		}
		if best < 0 {
			return found, keys
		}
		s := suspect{class: c, scope: ScopeNode, family: p.family, node: int(best), a: -1, b: -1, partial: true, witnesses: most}
		keys = slices.DeleteFunc(keys, func(key [2]int32) bool {
			if key[0] != best && key[1] != best {
				return false
			}
			peer := int(key[0] + key[1] - best)
			s.peers = append(s.peers, peer)
			s.cells = s.cells.plus(p.pairCells(int(best), peer, c))
			return true
		})
		s.cells.local, s.cells.heard = p.nodes[best].local, p.nodes[best].heard
		s.weight = s.cells.weight()
		found = append(found, s)
	}
}

func (c cells) plus(other cells) cells {
	for k := range c.bad {
		for w := range c.bad[k] {
			c.bad[k][w] += other.bad[k][w]
			c.known[k][w] += other.known[k][w]
		}
	}
	return c
}
