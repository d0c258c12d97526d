package mesh

import (
	"iter"
	"slices"
	"time"

	"netchecker/probe"
)

// Ends returns the numbers of the agents that a path of this view leads from and to, and its family.
func (v *View) Ends(ref Ref) (from, to int, f Family) {
	return int(ref.source), v.agentOf[ref.column], v.table.dests[ref.column].Family
}

// BadFrom yields the paths from agent i that are not ok, in the order of their destinations.
func (v *View) BadFrom(i int) iter.Seq[Ref] {
	const bad = allStates &^ (1 << probe.OK)
	return func(yield func(Ref) bool) {
		if v.nothingIn(i, bad) {
			return
		}
		set := newBits(v.table.Len())
		v.allowed(i, nil, set)
		v.scan(i, set, bad, func(col int, s probe.State) bool { return yield(Ref{int32(i), int32(col), s}) })
	}
}

// PastAgent is an agent at a moment gone by.
type PastAgent struct {
	Agent
	Report ReportState
	// Since is when Report began.
	Since time.Time
	Doubt Doubt
}

// PastPath is a path that was not ok at a moment gone by. Its probes say what was known then;
// their Age is not used.
type PastPath struct {
	Dest
	// Since is when the path's state began.
	Since  time.Time
	Probes [probe.Kinds]probe.Status
}

// PastView returns the matrix as it stood at a moment: agents, sorted by key and unique, and for each
// of them, by its number, the paths that were not ok. All other paths of agents that reported were
// ok, without round trips and with icmp unknown, since nobody keeps those. Rows with nothing bad
// share their memory.
func PastView(at time.Time, agents []PastAgent, bad func(i int) []PastPath) *View {
	members := make([]Member, len(agents))
	for i, a := range agents {
		members[i] = Member{Agent: a.Agent, Since: a.Since}
		if a.Report == ReportLeft {
			members[i].Life = Left
		}
	}
	v := &View{Generated: at, layout: newLayout(&Roster{Agents: members}, nil, nil), past: true,
		entries: make([]*entry, len(agents)), reports: make([]ReportState, len(agents))}
	good := goodPlanes(v.table.Len())
	for i := range agents {
		v.reports[i] = agents[i].Report
		if v.reports[i] == Reporting || v.reports[i] == ReportStale {
			v.entries[i] = v.pastEntry(&agents[i], good, bad(i))
		}
	}
	v.noteLeft()
	return v
}

// goodPlanes are those of a row whose paths are all ok.
func goodPlanes(n int) []byte {
	var ok [probe.Kinds]probe.Status
	for k := range ok {
		ok[k].Loss = probe.LossUnknown
		if probe.Kind(k) != probe.ICMP {
			ok[k].State = probe.OK
		}
	}
	c, planes := PackCell(&ok), make([]byte, rowPlanes*n)
	for i := range n {
		planes[i] = c.States
		planes[(1+rttPlanes)*n+i] = uint8(c.Loss)
	}
	return planes
}

// pastInterval makes the last row of a stale agent as old as it must be.
const pastInterval = time.Second

func (v *View) pastEntry(a *PastAgent, good []byte, bad []PastPath) *entry {
	row := &Row{Source: a.Agent, Sequence: 1, Interval: pastInterval, Doubt: a.Doubt, Table: v.table, planes: good}
	lacks := false
	for f := range Family(Families) {
		lacks = lacks || v.table.families[f] > 0 && !a.Addr(f).IsValid()
	}
	if len(bad) > 0 || lacks {
		row.planes = slices.Clone(good)
	}
	e := &entry{row: row, received: v.Generated}
	if a.Report == ReportStale {
		e.received = a.Since.Add(-time.Duration(staleAfter * float64(pastInterval)))
	}
	bad = slices.Clone(bad)
	slices.SortFunc(bad, func(a, b PastPath) int { return a.Dest.Compare(b.Dest) })
	for i := range bad {
		col, ok := v.table.Find(bad[i].Dest)
		if !ok {
			continue
		}
		if row.Set(col, &bad[i].Probes); len(row.Details) > len(e.since) { // it needed a detail
			e.since = append(e.since, bad[i].Since)
		}
	}
	row.Seal()
	return e
}
