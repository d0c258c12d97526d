package mesh

import (
	"time"

	"netchecker/probe"
)

// Len is the number of agents; they are numbered from 0 in the order of Agents.
func (v *View) Len() int { return len(v.members) }

// Agent returns agent i.
func (v *View) Agent(i int) *Member { return &v.members[i] }

// Reported returns what is known of the rows of agent i, and when the last one came.
func (v *View) Reported(i int) (ReportState, time.Time) {
	if e := v.entries[i]; e != nil {
		return v.reports[i], e.received
	}
	return v.reports[i], time.Time{}
}

// RowOf returns the last row of agent i and the agent that relayed it; a nil row when none came.
func (v *View) RowOf(i int) (row *Row, via string) {
	if e := v.entries[i]; e != nil {
		return e.row, e.via
	}
	return nil, ""
}

// EvidenceOf returns what agent i last told about its node and when that came; nil when it never did.
func (v *View) EvidenceOf(i int) (*probe.Snapshot, time.Time) {
	if e := v.entries[i]; e != nil {
		return e.evidence, e.evidenceAt
	}
	return nil, time.Time{}
}

// Find returns the number of the agent with the key.
func (v *View) Find(key Key) (int, bool) {
	lo, hi := 0, len(v.members)
	for lo < hi {
		mid := (lo + hi) / 2
		if v.members[mid].Key.Compare(key) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(v.members) && v.members[lo].Key == key
}

// PathBetween returns the path from agent i to agent j in a family; false when there is none.
func (v *View) PathBetween(i, j int, f Family) (Path, bool) {
	col := v.columnOf[j][f]
	if col < 0 || v.columnOf[i][f] < 0 || i == j {
		return Path{}, false
	}
	return v.Path(Ref{int32(i), int32(col), v.stateOf(i, col)}), true
}

// BadOf returns what the row of agent i says is not ok: the columns, each <<2 and with the path's
// state in its lowest bits; the states of every column's probes, as in Cell.States; and where
// each column leads, as agent<<1 | family, NoPlace for nowhere. It takes no account of the row's
// age and doubt, nor of destinations that left. Nothing of it may be changed.
//
// It takes some nanoseconds a path, where Refs would take twenty: diagnosis looks at every bad path
// several times a second.
func (v *View) BadOf(i int) (bad []uint32, states []byte, place []uint32) {
	e := v.entries[i]
	if e == nil {
		return nil, nil, nil
	}
	return e.row.bad, e.row.planes[:e.row.Table.Len()], v.translation(e.row.Table).place
}

// LacksOf returns the places, as BadOf's, that the row of agent i says nothing of: its table is of an
// earlier roster. The agent's own may be among them. Nothing of it may be changed.
func (v *View) LacksOf(i int) []uint32 {
	if e := v.entries[i]; e != nil {
		return v.translation(e.row.Table).lacks
	}
	return nil
}

// QuietOf calls yield with the paths from agent i that are ok although a probe that never decides, icmp,
// is not. A row with more trouble than its details hold is skipped: what is said of icmp there is no news.
func (v *View) QuietOf(i int, yield func(to int, f Family, states uint8)) {
	e := v.entries[i]
	if e == nil || len(e.row.Details) >= MaxDetails {
		return
	}
	loud := int32(0)
	for n := range e.row.counts {
		loud += e.row.counts[n][probe.Degraded] + e.row.counts[n][probe.Failing]
	}
	if len(e.row.Details) <= int(loud) { // every detail is of a path that is not ok
		return
	}
	place := v.translation(e.row.Table).place
	for d := range e.row.Details {
		at := e.row.Details[d].Dest
		states := e.row.planes[at]
		if pathStates[states] == probe.OK && place[at] != NoPlace {
			yield(int(place[at]>>1), Family(place[at]&1), states)
		}
	}
}
