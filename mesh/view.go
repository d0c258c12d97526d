package mesh

import (
	"iter"
	"math/bits"
	"slices"
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
	// past says that the rows are made of what was kept: they say nothing of what was heard.
	past bool
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
	// Evidence is what the node last told about itself, at EvidenceAt; nil when it never did.
	Evidence   *probe.Snapshot
	EvidenceAt time.Time
}

// Agents lists the agents that should exist, sorted by key.
func (v *View) Agents() []AgentView {
	out := make([]AgentView, len(v.members))
	for i := range out {
		out[i] = AgentView{Member: v.members[i], Report: v.reports[i]}
		if e := v.entries[i]; e != nil {
			out[i].LastReport, out[i].Via = e.received, e.via
			out[i].Doubt, out[i].Services = e.row.Doubt, believed(e.row)
			out[i].Evidence, out[i].EvidenceAt = e.evidence, e.evidenceAt
		}
	}
	return out
}

// believed are the services of a row. What a doubting agent finds wrong with them may be its own fault.
func believed(row *Row) []probe.Service {
	if row.Doubt == 0 {
		return row.Services
	}
	out := slices.Clone(row.Services)
	for i := range out {
		if out[i].State >= probe.Degraded {
			out[i].State, out[i].Age = probe.Unknown, 0
		}
	}
	return out
}

// allowed sets in set the columns that paths from agent i may lead to, narrowed by dests if given.
func (v *View) allowed(i int, dests, set bitset) {
	for w := range set {
		set[w] = 0
		for f := range v.family {
			if v.columnOf[i][f] >= 0 {
				set[w] |= v.family[f][w]
			}
		}
		if dests != nil {
			set[w] &= dests[w]
		}
	}
	for _, col := range v.columnOf[i] {
		if col >= 0 {
			set[col/64] &^= 1 << (col % 64)
		}
	}
}

// scan calls yield with every column of the set whose path is in one of the wanted states, in order.
func (v *View) scan(i int, set bitset, states uint8, yield func(col int, s probe.State) bool) bool {
	var row *Row
	var tr *translation
	if v.reports[i] == Reporting {
		row = v.entries[i].row
		tr = v.translation(row.Table)
		if states&WantState(probe.OK) == 0 && len(v.leftCols) == 0 {
			return v.scanBad(row, tr, set, states, yield)
		}
	}
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			col, s := w*64+bits.TrailingZeros64(word), probe.Unknown
			if row != nil {
				s = v.stateIn(row, tr, col)
			}
			if states&WantState(s) != 0 && !yield(col, s) {
				return false
			}
		}
	}
	return true
}

// scanBad is scan by the row's own list of what is not ok, which takes no look at its planes; the columns
// that the row does not have are unknown.
func (v *View) scanBad(row *Row, tr *translation, set bitset, states uint8, yield func(col int, s probe.State) bool) bool {
	lacks := tr.lacks
	if states&WantState(probe.Unknown) == 0 {
		lacks = nil
	}
	for _, b := range row.bad {
		col, s := int(b>>2), probe.State(b&3)
		if row.Doubt != 0 {
			s = probe.Unknown
		}
		if states&WantState(s) == 0 {
			continue
		}
		if tr.at != nil { // both tables are sorted, and so are the columns that come of it
			if col = v.columnAt(tr.place[col]); col < 0 {
				continue
			}
			for ; len(lacks) > 0 && v.columnAt(lacks[0]) < col; lacks = lacks[1:] {
				if lack := v.columnAt(lacks[0]); set.has(lack) && !yield(lack, probe.Unknown) {
					return false
				}
			}
		}
		if set.has(col) && !yield(col, s) {
			return false
		}
	}
	for _, place := range lacks {
		if lack := v.columnAt(place); set.has(lack) && !yield(lack, probe.Unknown) {
			return false
		}
	}
	return true
}

// stateOf is the state of the path from agent i to the destination of a column.
func (v *View) stateOf(i, col int) probe.State {
	if v.reports[i] != Reporting {
		return probe.Unknown
	}
	row := v.entries[i].row
	return v.stateIn(row, v.translation(row.Table), col)
}

// stateIn is stateOf by a row that counts.
func (v *View) stateIn(row *Row, tr *translation, col int) probe.State {
	at := tr.column(col)
	if at < 0 || v.reports[v.agentOf[col]] == ReportLeft {
		return probe.Unknown
	}
	s := pathStates[row.planes[at]]
	if row.Doubt != 0 && s >= probe.Degraded {
		return probe.Unknown
	}
	return s
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

const allStates = 1<<probe.States - 1

// WantState returns the bit of a state for Filter.States.
func WantState(s probe.State) uint8 { return 1 << s }

// WantKind returns the bit of a path kind for Filter.Kinds.
func WantKind(k PathKind) uint8 { return 1 << k }

// Paths yields the chosen paths in the order of source, destination and family.
func (v *View) Paths(f Filter) iter.Seq[Path] {
	return func(yield func(Path) bool) {
		for ref := range v.Refs(f) {
			if !yield(v.Path(ref)) {
				return
			}
		}
	}
}

// Ref names a path of one View and its state: what there is to know of a path without leaving its
// source's row. Path tells the rest, at the price of a look at the destination's row.
type Ref struct {
	source, column int32
	State          probe.State
}

// Refs yields the chosen paths as Paths does, at some 20 ns each.
func (v *View) Refs(f Filter) iter.Seq[Ref] {
	if f.States == 0 {
		f.States = allStates
	}
	if f.Kinds == 0 {
		f.Kinds = 1<<PathKinds - 1
	}
	return func(yield func(Ref) bool) {
		dests := v.destinations(f)
		set := newBits(v.table.Len())
		for i := range v.members {
			if f.Source != "" && v.members[i].Node != f.Source || v.nothingIn(i, f.States) {
				continue
			}
			v.allowed(i, dests[v.members[i].Network], set)
			if !v.scan(i, set, f.States, func(col int, s probe.State) bool {
				return yield(Ref{int32(i), int32(col), s})
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

// nothingIn reports whether agent i surely has no path in one of the states: most rows are healthy
// and cost a query for what is bad nothing at all.
func (v *View) nothingIn(i int, states uint8) bool {
	if v.reports[i] != Reporting {
		return states&WantState(probe.Unknown) == 0
	}
	row := v.entries[i].row
	if states&WantState(probe.OK) != 0 || len(row.bad) > 0 || len(v.leftCols) > 0 {
		return false
	}
	return states&WantState(probe.Unknown) == 0 || len(v.translation(row.Table).lacks) == 0
}
