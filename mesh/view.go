package mesh

import (
	"iter"
	"math/bits"
	"time"

	"netchecker/probe"
)

// View is the matrix at one moment. It is immutable; any goroutine may read it.
type View struct {
	// Generated is the moment.
	Generated time.Time
	*layout
	entries  []*entry
	reports  []ReportState
	leftBits bitset
	leftCols []int
}

// AgentView is one agent of the roster and what its rows say of itself.
type AgentView struct {
	Member
	Report ReportState
	// LastReport is when the last row came; the zero time when none did.
	LastReport time.Time
	// Via names the agent that relayed the last row; "" when it came directly.
	Via      string
	Doubt    Doubt
	Services []probe.Service
}

// Agents lists the agents that should exist, sorted by key.
func (v *View) Agents() []AgentView {
	out := make([]AgentView, len(v.members))
	for i := range out {
		out[i] = AgentView{Member: v.members[i], Report: v.reports[i]}
		if e := v.entries[i]; e != nil {
			out[i].LastReport, out[i].Via = e.received, e.via
			out[i].Doubt, out[i].Services = e.row.Doubt, e.row.Services
		}
	}
	return out
}

// Counts says how many paths of one kind there are, in all and by state.
type Counts struct {
	Total   int
	ByState [probe.States]int
}

// Counts counts the paths of every kind. N nodes with both agents have 4N²−2N in each family.
func (v *View) Counts() (out [PathKinds]Counts) {
	for i := range v.members {
		from := v.members[i].Network
		counts := v.countsFrom(i)
		for to := range Network(Networks) {
			k := KindOf(from, to)
			for state, n := range counts[to] {
				out[k].ByState[state] += n
				out[k].Total += n
			}
		}
	}
	return out
}

func (v *View) countsFrom(i int) (out [Networks][probe.States]int) {
	if v.reports[i] != Reporting {
		for f := range Family(Families) {
			if v.columnOf[i][f] < 0 {
				continue
			}
			for n := range out {
				out[n][probe.Unknown] += v.columns[f][n]
			}
			out[v.members[i].Network][probe.Unknown]--
		}
		return out
	}
	row := v.entries[i].row
	if row.Table.hash != v.table.hash {
		v.scan(i, v.allowed(i, nil), func(col int, s probe.State) bool {
			out[v.table.dests[col].Network][s]++
			return true
		})
		return out
	}
	for n := range out {
		for s, c := range row.counts[n] {
			out[n][s] = int(c)
		}
		if row.Doubt != 0 {
			out[n][probe.Unknown] += out[n][probe.Degraded] + out[n][probe.Failing]
			out[n][probe.Degraded], out[n][probe.Failing] = 0, 0
		}
		for f := range v.columns {
			if v.columnOf[i][f] < 0 { // no path leads to a family the source does not have
				out[n][probe.Unknown] -= v.columns[f][n]
			}
		}
	}
	for _, col := range v.leftCols {
		if v.agentOf[col] == i || v.columnOf[i][v.table.dests[col].Family] < 0 {
			continue
		}
		n := v.table.dests[col].Network
		s := pathStates[row.planes[col]]
		if row.Doubt != 0 && s >= probe.Degraded {
			s = probe.Unknown
		}
		out[n][s]--
		out[n][probe.Unknown]++
	}
	return out
}

// State is the state of the whole: the worst path. Paths from or to agents that left on purpose
// do not count; with no path at all it is unknown.
func (v *View) State() probe.State {
	worst, any := probe.OK, false
	for i := range v.members {
		if v.reports[i] == ReportLeft {
			continue
		}
		counts := v.countsFrom(i)
		left := 0
		for _, col := range v.leftCols {
			if v.columnOf[i][v.table.dests[col].Family] >= 0 && v.agentOf[col] != i {
				left++
			}
		}
		unknown := -left
		for n := range counts {
			unknown += counts[n][probe.Unknown]
			for s := probe.OK; s <= probe.Failing; s++ {
				if counts[n][s] > 0 {
					worst, any = probe.Worst(worst, s), true
				}
			}
		}
		if unknown > 0 {
			worst, any = probe.Worst(worst, probe.Unknown), true
		}
	}
	if !any {
		return probe.Unknown
	}
	return worst
}

// allowed is the set of columns that paths from agent i may lead to, narrowed by dests if given.
func (v *View) allowed(i int, dests bitset) bitset {
	out := newBits(v.table.Len())
	for w := range out {
		for f := range v.family {
			if v.columnOf[i][f] >= 0 {
				out[w] |= v.family[f][w]
			}
		}
		if dests != nil {
			out[w] &= dests[w]
		}
	}
	for _, col := range v.columnOf[i] {
		if col >= 0 {
			out[col/64] &^= 1 << (col % 64)
		}
	}
	return out
}

// scan calls yield with every column in the set and the state of the path to it.
func (v *View) scan(i int, set bitset, yield func(col int, s probe.State) bool) bool {
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			col := w*64 + bits.TrailingZeros64(word)
			if !yield(col, v.stateOf(i, col)) {
				return false
			}
		}
	}
	return true
}

// stateOf is the state of the path from agent i to the destination of a column.
func (v *View) stateOf(i, col int) probe.State {
	if v.reports[i] != Reporting || v.reports[v.agentOf[col]] == ReportLeft {
		return probe.Unknown
	}
	row := v.entries[i].row
	at := v.columnIn(row.Table, col)
	if at < 0 {
		return probe.Unknown
	}
	s := pathStates[row.planes[at]]
	if row.Doubt != 0 && s >= probe.Degraded {
		return probe.Unknown
	}
	return s
}

// columnIn translates a column of the view's table to one of a row's, -1 when the row has none.
func (v *View) columnIn(t *Table, col int) int {
	if t.hash == v.table.hash {
		return col
	}
	if at, ok := t.Find(v.table.dests[col]); ok {
		return at
	}
	return -1
}

// Filter chooses paths. Its zero value chooses every path.
type Filter struct {
	// States has bit s set for every wanted state; 0 wants all.
	States uint8
	// Kinds has bit k set for every wanted path kind; 0 wants all.
	Kinds uint8
	// Source and Destination are names of nodes; "" wants all.
	Source, Destination string
}

// WantState returns the bit of a state for Filter.States.
func WantState(s probe.State) uint8 { return 1 << s }

// WantKind returns the bit of a path kind for Filter.Kinds.
func WantKind(k PathKind) uint8 { return 1 << k }

// Paths yields the chosen paths in the order of source, destination and family.
func (v *View) Paths(f Filter) iter.Seq[Path] {
	if f.States == 0 {
		f.States = 1<<probe.States - 1
	}
	if f.Kinds == 0 {
		f.Kinds = 1<<PathKinds - 1
	}
	return func(yield func(Path) bool) {
		dests := v.destinations(f)
		for i := range v.members {
			if f.Source != "" && v.members[i].Node != f.Source {
				continue
			}
			if !v.scan(i, v.candidates(i, f, &dests), func(col int, s probe.State) bool {
				return f.States&WantState(s) == 0 || yield(v.path(i, col, s))
			}) {
				return
			}
		}
	}
}

// destinations are the columns a filter wants from each network, nil for all.
func (v *View) destinations(f Filter) (out [Networks]bitset) {
	for from := range Network(Networks) {
		set := newBits(v.table.Len())
		for w := range set {
			for to := range Network(Networks) {
				if f.Kinds&WantKind(KindOf(from, to)) != 0 {
					set[w] |= v.network[to][w]
				}
			}
		}
		if f.Destination != "" {
			for col, d := range v.table.dests {
				if d.Node != f.Destination {
					set[col/64] &^= 1 << (col % 64)
				}
			}
		}
		out[from] = set
	}
	return out
}

// candidates narrows the columns to those that can be in a wanted state, by the row's own index:
// of 10,000 columns a healthy row leaves none, and they cost 157 words to skip.
func (v *View) candidates(i int, f Filter, dests *[Networks]bitset) bitset {
	if v.reports[i] != Reporting {
		if f.States&WantState(probe.Unknown) == 0 {
			return nil
		}
		return v.allowed(i, dests[v.members[i].Network])
	}
	row := v.entries[i].row
	if f.States&WantState(probe.OK) != 0 || row.Table.hash != v.table.hash {
		return v.allowed(i, dests[v.members[i].Network])
	}
	if !row.anyNotOK && len(v.leftCols) == 0 {
		return nil
	}
	out := v.allowed(i, dests[v.members[i].Network])
	for w := range out {
		out[w] &= row.notOK[w] | v.leftBits[w]
	}
	return out
}
