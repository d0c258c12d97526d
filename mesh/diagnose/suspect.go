package diagnose

import "netchecker/mesh"

// suspect is one place that accounts for bad paths of one class.
type suspect struct {
	class  class
	scope  Scope
	family mesh.Family
	// node is the suspect of scope node; a and b those of scope pair, a < b. -1 for none.
	node, a, b int
	// groups are the parts of a split, by node number, the largest first.
	groups [][]int
	// silent says that no agent of the smaller groups reports.
	silent bool
	// cells say how the paths fail: by kind, and out of or into the node (a to b, b to a for a pair).
	cells cells
	// peers are the other ends of bad paths, when only some of the peers are concerned.
	peers []int
	// weight is the number of bad paths, witnesses that of nodes on the other side.
	weight, witnesses int
	// inside says that it is about paths within nodes, those of peers.
	inside bool
	// partial says that healthy paths contradict a part of it.
	partial bool
	facts   sample
}

// cells are the counts of a suspect's paths.
type cells struct {
	bad, known [mesh.PathKinds][ways]int32
	// fresh are those of which only what is new fails.
	fresh [mesh.PathKinds][ways]int32
	// local is the class of the paths inside the node, heard whether anybody knows.
	local [2]class
	heard [2]bool
}

func (c *cells) at(k mesh.PathKind, w way) verdict {
	return judge(int(c.bad[k][w]), int(c.known[k][w]))
}

// broken is the set of kinds that fail in a way.
func (c *cells) broken(w way) (set kinds) {
	for k := range mesh.PathKind(mesh.PathKinds) {
		if c.at(k, w) == broken {
			set |= 1 << k
		}
	}
	return set
}

// touched is the set of kinds of which more than a few paths fail in a way.
func (c *cells) touched(w way) (set kinds) {
	for k := range mesh.PathKind(mesh.PathKinds) {
		if v := c.at(k, w); v == broken || v == mixed {
			set |= 1 << k
		}
	}
	return set
}

func (c *cells) weight() (sum int) {
	for k := range c.bad {
		sum += int(c.bad[k][out] + c.bad[k][in])
	}
	return sum
}

// share is the fraction of bad paths in the cells that fail, and how many those are.
func (c *cells) share() (fraction float64, bad int) {
	known := 0
	for k := range mesh.PathKind(mesh.PathKinds) {
		for w := range way(ways) {
			if c.at(k, w) == broken {
				bad += int(c.bad[k][w])
				known += int(c.known[k][w])
			}
		}
	}
	if known == 0 {
		return 0, 0
	}
	return float64(bad) / float64(known), bad
}

// peers is the largest number of known paths of one kind: how many nodes bear witness.
func (c *cells) peers() (most int) {
	for k := range c.known {
		for w := range c.known[k] {
			if c.bad[k][w] > 0 {
				most = max(most, int(c.known[k][w]))
			}
		}
	}
	return most
}

// effective is the number of bad paths that speak for class c in a cell. Where most paths are dead,
// those that still get something through suffer from the same; where most are lossy, chance makes
// some of them look dead.
func effective(t *tally, c class, k mesh.PathKind, w way) int32 {
	d, l := t.bad[dead][k][w], t.bad[weak][k][w]
	rest := l + t.bad[big][k][w] + t.bad[conn][k][w]
	switch c {
	case dead:
		if d >= rest {
			return d + rest
		}
		if d < l {
			return 0
		}
		return d
	case weak:
		switch n := t.bad[conn][k][w]; {
		case l >= d+n:
			return l + d + n
		case n >= l:
			return 0
		}
		return l
	case conn:
		if n := t.bad[conn][k][w]; n >= l {
			return l + n
		}
		return 0
	}
	return t.bad[c][k][w]
}

// cellsOf counts a node's unexplained paths.
func (p *picture) cellsOf(n int, c class, x *excuse) (out cells) {
	t := &p.tallies[n]
	for k := range mesh.PathKind(mesh.PathKinds) {
		for w := range way(ways) {
			known := int32(p.known(n, k, w, c, x))
			if c > dead && c != weak {
				known -= t.bad[dead][k][w]
			}
			out.known[k][w] = max(known, 0)
			out.bad[k][w] = min(effective(t, c, k, w), out.known[k][w])
			out.fresh[k][w] = t.bad[conn][k][w]
		}
	}
	out.local, out.heard = p.nodes[n].local, p.nodes[n].heard
	return out
}

// pairCells reads the eight paths between two nodes.
func (p *picture) pairCells(a, b int, c class) (out cells) {
	for k := range mesh.PathKind(mesh.PathKinds) {
		from, to := k.Ends()
		for w, ends := range [ways][2]int{{a, b}, {b, a}} {
			i, j := p.nodes[ends[0]].agent[from], p.nodes[ends[1]].agent[to]
			if i < 0 || j < 0 || !p.speaks[i] || !p.counts[j] {
				continue
			}
			states, known := p.states(int(i), int(j))
			if !known {
				continue
			}
			out.known[k][w] = 1
			if got := classOf[states]; got == c || got == dead && c == weak || got == weak && c == dead {
				out.bad[k][w] = 1
			}
		}
	}
	out.local, out.heard = [2]class{fine, fine}, [2]bool{}
	return out
}
