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
	p.each(c == quiet, func(a, b int32, k mesh.PathKind, bad class) {
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

// missed are the nodes that a node fails to reach by a kind of path.
func (p *picture) missed(c class, n int, k mesh.PathKind) (list []int) {
	from, to := k.Ends()
	at := p.nodes[n].agent[from]
	for m := range p.nodes {
		j := p.nodes[m].agent[to]
		if m == n || j < 0 || !p.counts[j] {
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

// goneTogether finds nodes that nobody reaches by any kind of path, that do not report and that went
// at one moment: a split whose far side nobody hears. Where zones are known and a few nodes are no
// whole zone they are so many faults, each of its own.
func (p *picture) goneTogether(c class, x *excuse) [][]int {
	if c != dead {
		return nil
	}
	var gone []moment
	var rest []int
	slack := sameMoment
	for n := range p.nodes {
		switch {
		case !p.mute(n):
			rest = append(rest, n)
		case p.unreached(n, x):
			gone = append(gone, moment{n, time.Time{}})
		}
	}
	if len(gone) < 2 || len(rest) < 2 {
		return nil
	}
	for i := range gone {
		for _, a := range spread(rest, 4) {
			began, interval := p.lostSince(a, gone[i].node)
			slack = max(slack, interval*3/2)
			if !began.IsZero() && (gone[i].at.IsZero() || began.Before(gone[i].at)) {
				gone[i].at = began
			}
		}
	}
	slices.SortFunc(gone, func(a, b moment) int { return cmp.Or(a.at.Compare(b.at), a.node-b.node) })
	from, to := 0, 0 // the most that went within one moment
	for i, j := 0, 0; j < len(gone); j++ {
		for gone[j].at.Sub(gone[i].at) > slack {
			i++
		}
		if j+1-i > to-from {
			from, to = i, j+1
		}
	}
	var list []int
	for _, g := range gone[from:to] {
		list = append(list, g.node)
	}
	if len(list) < 2 || len(list) <= 3 && !p.zonesAgree(list) {
		return nil
	}
	return [][]int{rest, list}
}

// moment is when a node was lost.
type moment struct {
	node int
	at   time.Time
}

// unreached reports whether every known path to a node from others is dead, host paths among them
// where there are any.
func (p *picture) unreached(n int, x *excuse) bool {
	own := p.cellsOf(n, dead, x)
	sum := int32(0)
	for k := range own.known {
		if own.bad[k][in] < own.known[k][in] {
			return false
		}
		sum += own.known[k][in]
	}
	return sum >= 2
}

// lostSince is when the paths from node a to node b died, the zero time when a does not say, and
// the interval of a's rows.
func (p *picture) lostSince(a, b int) (began time.Time, interval time.Duration) {
	for from := range mesh.Network(mesh.Networks) {
		i := p.nodes[a].agent[from]
		if i < 0 || !p.speaks[i] {
			continue
		}
		row, _ := p.view.RowOf(int(i))
		interval = max(interval, row.Interval)
		for _, j := range p.nodes[b].agent {
			if j < 0 {
				continue
			}
			path, ok := p.view.PathBetween(int(i), int(j), p.family)
			if ok && path.State == probe.Failing && !path.Since.IsZero() && (began.IsZero() || path.Since.Before(began)) {
				began = path.Since
			}
		}
	}
	return began, interval
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
