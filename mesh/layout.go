package mesh

import (
	"slices"
	"sync"
	"time"
)

// layout is what views share until the roster or the set of sources changes: the agents in order
// and the table of all destinations.
type layout struct {
	members []Member
	// entryOf is the index of each member's entry in the matrix, or -1.
	entryOf []int
	table   *Table
	// agentOf is the index in members of each column's agent.
	agentOf []int
	// columnOf is each agent's column in each family, or -1.
	columnOf [][Families]int
	// family and network have a bit for each column of that family or network.
	family  [Families]bitset
	network [Networks]bitset
	// columns counts the columns by family and network.
	columns [Families][Networks]int
	// same is the translation of table itself.
	same translation

	mu    sync.Mutex                 // guards moved
	moved map[TableHash]*translation // of the other tables that rows were found to have
}

func newLayout(roster *Roster, sources []Key, entries []*entry) *layout {
	l := &layout{}
	if roster != nil {
		l.members = slices.Clone(roster.Agents)
	}
	for i, key := range sources {
		if _, known := (&Roster{Agents: l.members}).Find(key); !known {
			at, _ := slices.BinarySearchFunc(l.members, key, func(m Member, k Key) int { return m.Key.Compare(k) })
			l.members = slices.Insert(l.members, at, Member{Agent: entries[i].row.Source, Life: Alive, Since: entries[i].received})
		}
	}
	l.index(sources)
	return l
}

func (l *layout) index(sources []Key) {
	var dests []Dest
	l.entryOf = make([]int, len(l.members))
	l.columnOf = make([][Families]int, len(l.members))
	for i, m := range l.members {
		at, ok := slices.BinarySearchFunc(sources, m.Key, Key.Compare)
		l.entryOf[i] = at
		if !ok {
			l.entryOf[i] = -1
		}
		l.columnOf[i] = [Families]int{-1, -1}
		for _, d := range appendDests(nil, m.Agent) {
			if len(dests) == MaxDests { // the others have no column, as who has no address
				break
			}
			l.columnOf[i][d.Family] = len(dests)
			l.agentOf = append(l.agentOf, i)
			dests = append(dests, d)
		}
	}
	// Members are sorted and unique and so are dests: NewTable has nothing to refuse.
	l.table, _ = NewTable(dests)
	for f := range l.family {
		l.family[f] = newBits(len(dests))
	}
	for n := range l.network {
		l.network[n] = newBits(len(dests))
	}
	l.same.place = make([]uint32, len(dests))
	for col, d := range dests {
		l.same.place[col] = uint32(l.agentOf[col])<<1 | uint32(d.Family)
		l.family[d.Family].set(col)
		l.network[d.Network].set(col)
		l.columns[d.Family][d.Network]++
	}
}

// ReportState is what the server knows of an agent's rows.
type ReportState uint8

const (
	// ReportAbsent agents are expected but never sent a row.
	ReportAbsent ReportState = iota
	// Reporting agents sent a row within 2.5 of their intervals.
	Reporting
	// ReportStale agents did once but no longer do.
	ReportStale
	// ReportLeft agents said that they go.
	ReportLeft
)

// String returns the state as it stands in JSON and metrics.
func (s ReportState) String() string {
	return [...]string{"absent", "reporting", "stale", "left"}[min(s, ReportLeft)]
}

// report judges the row of agent i. A row of an earlier run than the roster's counts for nothing:
// its successor has not spoken yet.
func (v *View) report(i int) ReportState {
	m, e := &v.members[i], v.entries[i]
	if e != nil && e.row.Source.Name != m.Name && e.row.Source.Boot < m.Boot {
		e = nil
	}
	switch {
	case m.Life == Left && (e == nil || e.row.Source.Name == m.Name), e != nil && e.row.Leaving:
		return ReportLeft
	case e == nil:
		return ReportAbsent
	case e.stale(v.Generated):
		return ReportStale
	}
	return Reporting
}

// unknownSince is when the paths from agent i became unknown, the zero time when nobody can say.
func (v *View) unknownSince(i int) time.Time {
	if v.reports[i] == ReportStale {
		return v.entries[i].staleAt()
	}
	if v.reports[i] == ReportLeft || v.reports[i] == ReportAbsent {
		return v.members[i].Since
	}
	return time.Time{}
}

// bitset has one bit a column.
type bitset []uint64

func newBits(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) set(i int) { b[i/64] |= 1 << (i % 64) }

func (b bitset) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }
