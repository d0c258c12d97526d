package diagnose

import (
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// picture is one view in one address family, read for diagnosis: which agents may be believed, and
// how many paths of each class lead from and to each node.
type picture struct {
	view   *mesh.View
	family mesh.Family
	nodes  []node
	nodeOf []int32
	// speaks and counts say of each agent whether its row, and paths to it, may be believed.
	speaks, counts []bool
	tallies        []tally
	// eligible counts the agents that paths of a kind may start from or lead to, by group.
	eligible [mesh.PathKinds][ways][]int32
	total    tally
	sources  int
	// endOf is made by ends. present says which classes occur at all.
	endOf   []uint32
	present [classes]bool
}

// node is a node and its agents' numbers, -1 for none.
type node struct {
	name, zone string
	agent      [mesh.Networks]int32
	// local is the class of the paths inside the node: host to pod, and pod to host.
	local [2]class
	heard [2]bool
}

// tally counts paths that leave or reach a node.
type tally struct {
	bad     [classes][mesh.PathKinds][ways]int32
	unknown [mesh.PathKinds][ways]int32
}

// gate says which agents are of no account: those that left, that were just replaced, whose node
// is gone. It is the part of the tracker's memory that a picture needs.
type gate interface {
	ignored(i int) bool
}

func newPicture(view *mesh.View, family mesh.Family, g gate) *picture {
	p := &picture{view: view, family: family, nodeOf: make([]int32, view.Len()),
		speaks: make([]bool, view.Len()), counts: make([]bool, view.Len())}
	for i := range view.Len() {
		m := view.Agent(i)
		if n := len(p.nodes); n == 0 || p.nodes[n-1].name != m.Node {
			p.nodes = append(p.nodes, node{name: m.Node, zone: m.Zone, agent: [mesh.Networks]int32{-1, -1}, local: [2]class{fine, fine}})
		}
		at := len(p.nodes) - 1
		p.nodeOf[i] = int32(at)
		if !m.Addr(family).IsValid() {
			continue
		}
		p.nodes[at].agent[m.Network] = int32(i)
		state, last := view.Reported(i)
		ignored := g.ignored(i) || state == mesh.ReportLeft
		row, _ := view.RowOf(i)
		doubts := state == mesh.Reporting && row.Doubt != 0
		p.counts[i] = !ignored && !doubts
		p.speaks[i] = p.counts[i] && state == mesh.Reporting && view.Generated.Sub(last) <= overdue(row.Interval)
		if p.speaks[i] {
			p.sources++
		}
	}
	p.tallies = make([]tally, len(p.nodes))
	p.locals()
	return p
}

// overdue is the age from which a row says nothing about now. It is less than what makes the row
// stale: one that did not come is the first sign that its node is cut off, and what the last one
// said was before that.
func overdue(interval time.Duration) time.Duration { return interval*8/5 + 300*time.Millisecond }

// locals reads the paths inside nodes.
func (p *picture) locals() {
	for n := range p.nodes {
		node := &p.nodes[n]
		for k, ends := range [2][2]mesh.Network{{mesh.Host, mesh.Pod}, {mesh.Pod, mesh.Host}} {
			from, to := node.agent[ends[0]], node.agent[ends[1]]
			if from < 0 || to < 0 || !p.speaks[from] || !p.counts[to] {
				continue
			}
			if states, known := p.states(int(from), int(to)); known {
				node.heard[k], node.local[k] = true, classOf[states]
			}
		}
	}
}

// states are those of the path between two agents; false when its state is unknown.
func (p *picture) states(from, to int) (uint8, bool) {
	path, ok := p.view.PathBetween(from, to, p.family)
	if !ok || path.State == probe.Unknown {
		return 0, false
	}
	var states uint8
	for k := range path.Probes {
		states |= uint8(path.Probes[k].State) << (2 * k)
	}
	return states, true
}

// excuse says which paths are already explained while the rest is counted.
type excuse struct {
	// mask holds the kinds explained by a node, by class and way.
	mask [][classes][ways]kinds
	// group numbers the parts of a split, -1 for nodes outside it; between are the kinds that fail
	// between parts.
	group   []int16
	groups  int
	between [classes]kinds
	// all are the kinds explained wherever they are.
	all [classes]kinds
	// pairs are explained whatever the class.
	pairs map[[2]int32]bool
	// any says that something is explained.
	any bool
}

func newExcuse(nodes int) *excuse {
	x := &excuse{mask: make([][classes][ways]kinds, nodes), group: make([]int16, nodes)}
	for i := range x.group {
		x.group[i] = -1
	}
	return x
}

func (x *excuse) explained(c class, k mesh.PathKind, a, b int32) bool {
	return (x.mask[a][c][out] | x.mask[b][c][in] | x.all[c]).has(k) || x.split(c, k, a, b) ||
		len(x.pairs) > 0 && x.pairs[[2]int32{min(a, b), max(a, b)}]
}

func (x *excuse) split(c class, k mesh.PathKind, a, b int32) bool {
	return x.groups > 0 && x.between[c].has(k) && x.group[a] != x.group[b] && x.group[a] >= 0 && x.group[b] >= 0
}

// endInfo says of an agent, or of a family of it, what a path to it needs: its node<<1 | network,
// noEnd when paths to it do not count.
const noEnd = 1<<32 - 1

func (p *picture) ends() []uint32 {
	if p.endOf == nil {
		p.endOf = make([]uint32, 2*p.view.Len())
		for i := range p.endOf {
			p.endOf[i] = noEnd
			if p.counts[i>>1] && mesh.Family(i&1) == p.family {
				p.endOf[i] = uint32(p.nodeOf[i>>1])<<1 | uint32(p.view.Agent(i>>1).Network)
			}
		}
	}
	return p.endOf
}

// each calls yield with every bad path between two nodes that may be believed; class fine stands
// for one whose state is unknown. In a split cluster these are half of all paths, so that this
// loop is most of what a round costs.
func (p *picture) each(yield func(a, b int32, k mesh.PathKind, c class)) {
	ends := p.ends()
	for i := range p.view.Len() {
		if !p.speaks[i] {
			continue
		}
		a, from := p.nodeOf[i], p.view.Agent(i).Network
		towards := [mesh.Networks]mesh.PathKind{mesh.KindOf(from, mesh.Pod), mesh.KindOf(from, mesh.Host)}
		bad, states, place := p.view.BadOf(i)
		for _, col := range bad {
			at := place[col>>2]
			if at == mesh.NoPlace {
				continue
			}
			end := ends[at]
			b := int32(end >> 1)
			if end == noEnd || b == a {
				continue
			}
			yield(a, b, towards[end&1], badClass(col, states))
		}
	}
}

// eachOf is each for what concerns a class: quiet paths are not bad, and lie elsewhere.
func (p *picture) eachOf(c class, yield func(a, b int32, k mesh.PathKind, c class)) {
	if c != quiet {
		p.each(yield)
		return
	}
	for i := range p.view.Len() {
		if !p.speaks[i] {
			continue
		}
		a, from := p.nodeOf[i], p.view.Agent(i).Network
		p.view.QuietOf(i, func(to int, f mesh.Family, states uint8) {
			if b := p.nodeOf[to]; f == p.family && b != a && p.counts[to] {
				yield(a, b, mesh.KindOf(from, p.view.Agent(to).Network), classOf[states])
			}
		})
	}
}

// badClass is the class of a path that a scan calls bad: it fails if, and only if, its small probes do.
func badClass(col uint32, states []byte) class {
	switch probe.State(col & 3) {
	case probe.Unknown:
		return fine
	case probe.Degraded:
		return classOf[states[col>>2]]
	}
	return dead
}

// count fills the tallies with what is not explained yet under the excuse for class c.
func (p *picture) count(c class, x *excuse) {
	if c == quiet { // what is bad has been counted
		for n := range p.tallies {
			p.tallies[n].bad[quiet] = [mesh.PathKinds][ways]int32{}
		}
	} else {
		clear(p.tallies)
	}
	p.eachOf(c, func(a, b int32, k mesh.PathKind, bad class) {
		if x.any && x.explained(c, k, a, b) {
			return
		}
		if bad == fine {
			p.tallies[a].unknown[k][out]++
			p.tallies[b].unknown[k][in]++
			return
		}
		p.tallies[a].bad[bad][k][out]++
		p.tallies[b].bad[bad][k][in]++
	})
	p.sum()
	p.eligibles(c, x)
}

// sum adds up the tallies.
func (p *picture) sum() {
	p.total = tally{}
	for n := range p.tallies {
		for c := range p.total.bad {
			for k := range p.total.bad[c] {
				p.total.bad[c][k][out] += p.tallies[n].bad[c][k][out]
			}
		}
	}
}

// eligibles counts who takes part in paths of each kind, by group: column 0 is for nodes outside.
func (p *picture) eligibles(c class, x *excuse) {
	for k := range p.eligible {
		from, to := mesh.PathKind(k).Ends()
		for w := range p.eligible[k] {
			p.eligible[k][w] = slices.Grow(p.eligible[k][w][:0], x.groups+1)[:x.groups+1]
			clear(p.eligible[k][w])
		}
		for n := range p.nodes {
			if at := p.nodes[n].agent[from]; at >= 0 && p.speaks[at] && !x.mask[n][c][out].has(mesh.PathKind(k)) {
				p.eligible[k][out][x.group[n]+1]++
			}
			if at := p.nodes[n].agent[to]; at >= 0 && p.counts[at] && !x.mask[n][c][in].has(mesh.PathKind(k)) {
				p.eligible[k][in][x.group[n]+1]++
			}
		}
	}
}

// known is how many unexplained paths of a kind and way a node has whose state is known.
func (p *picture) known(n int, k mesh.PathKind, w way, c class, x *excuse) int {
	from, to := k.Ends()
	own, peer := from, to
	takes, peers := p.speaks, p.counts
	if w == in {
		own, peer = to, from
		takes, peers = p.counts, p.speaks
	}
	at := p.nodes[n].agent[own]
	if at < 0 || !takes[at] || x.mask[n][c][w].has(k) || x.all[c].has(k) {
		return 0
	}
	sum := int32(0)
	for g, count := range p.eligible[k][1-w] {
		if !x.between[c].has(k) || g == 0 || x.group[n] < 0 || g == int(x.group[n])+1 {
			sum += count
		}
	}
	if other := p.nodes[n].agent[peer]; other >= 0 && peers[other] && !x.mask[n][c][1-w].has(k) {
		sum-- // itself
	}
	return int(sum - p.tallies[n].unknown[k][w])
}
