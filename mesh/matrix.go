package mesh

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"netchecker/probe"
)

// staleAfter is how many of its own intervals a row is believed: it survives one row lost and one late.
const staleAfter = 2.5

// Matrix holds the last row of every agent and the roster. It may be used by many goroutines; a
// row is stored as it came and never changed, so readers share it with no copy and no lock.
type Matrix struct {
	mu      sync.RWMutex
	roster  *Roster
	sources []Key
	entries []*entry
	layout  *layout
}

// entry is a source's last row and what the matrix knows of its coming.
type entry struct {
	row      *Row
	received time.Time
	via      string
	// since holds, for each of the row's details, when the path's state began by the matrix's clock.
	since []time.Time
	// evidence is the last that this run of the agent sent, and when.
	evidence   *probe.Snapshot
	evidenceAt time.Time
}

// NewMatrix returns an empty matrix.
func NewMatrix() *Matrix { return &Matrix{} }

// Put takes in a row that arrived at now, directly (via is "") or relayed by the agent via names.
// A row older than the one already there is refused; one of another run of the agent is taken
// when it started later or is known by another name, or when the earlier one is stale.
func (m *Matrix) Put(row *Row, via string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, known := slices.BinarySearchFunc(m.sources, row.Source.Key, Key.Compare)
	fresh := &entry{row: row, received: now, via: via, evidence: row.Evidence, evidenceAt: now}
	if !known {
		m.sources = slices.Insert(m.sources, at, row.Source.Key)
		m.entries = slices.Insert(m.entries, at, fresh)
		m.layout = nil
		fresh.since = sinceTimes(fresh, nil)
		return nil
	}
	old := m.entries[at]
	if err := supersedes(row, old, now); err != nil {
		return err
	}
	fresh.since = sinceTimes(fresh, old)
	if row.Evidence == nil && old.row.Source.Boot == row.Source.Boot {
		fresh.evidence, fresh.evidenceAt = old.evidence, old.evidenceAt
	}
	m.entries[at] = fresh
	if old.row.Source != row.Source {
		m.layout = nil
	}
	return nil
}

func supersedes(row *Row, old *entry, now time.Time) error {
	was := old.row
	if row.Source.Name == was.Source.Name && row.Source.Boot == was.Source.Boot {
		if row.Sequence <= was.Sequence {
			return fmt.Errorf("row %d of %q: row %d is already here", row.Sequence, row.Source.Name, was.Sequence)
		}
		return nil
	}
	if row.Source.Boot < was.Source.Boot && !was.Leaving && !old.stale(now) {
		return fmt.Errorf("row of %q for %s: a later run, %q, reports", row.Source.Name, row.Source.Key, was.Source.Name)
	}
	return nil
}

func (e *entry) stale(now time.Time) bool { return now.After(e.staleAt()) }

func (e *entry) staleAt() time.Time {
	return e.received.Add(time.Duration(staleAfter * float64(e.row.Interval)))
}

// sinceJitter is how far two estimates of one beginning may lie apart: the age comes in whole
// rows whose way here differs.
const sinceJitter = 3 * time.Second

// sinceTimes dates the details of e by our clock, keeping the date already given to the same spell
// so that `since` does not wander from row to row.
func sinceTimes(e, old *entry) []time.Time {
	if len(e.row.Details) == 0 {
		return nil
	}
	out := make([]time.Time, len(e.row.Details))
	for i := range e.row.Details {
		d := &e.row.Details[i]
		out[i] = e.received.Add(-d.age(e.row.Cell(int(d.Dest))))
		if old == nil || old.row.Table != e.row.Table {
			continue
		}
		if at := old.row.detailIndex(int(d.Dest)); at >= 0 && old.since[at].Sub(out[i]).Abs() < sinceJitter {
			out[i] = old.since[at]
		}
	}
	return out
}

// age is how long the path's state has lasted: the longest age of the probes that make it bad,
// or udp's.
func (d *Detail) age(c Cell) time.Duration {
	longest := d.Probes[probe.UDP].AgeMillis
	if c.ProbeState(probe.UDP) < probe.Degraded {
		longest = 0
		for k := probe.UDP; k <= probe.TCP; k++ {
			if c.ProbeState(k) >= probe.Degraded {
				longest = max(longest, d.Probes[k].AgeMillis)
			}
		}
	}
	return time.Duration(longest) * time.Millisecond
}

// SetRoster tells the matrix which agents should exist. Rows of agents that are in neither the
// roster nor fresh are dropped.
func (m *Matrix) SetRoster(roster *Roster, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roster, m.layout = roster, nil
	m.retain(func(e *entry) bool { return !e.stale(now) && !e.row.Leaving })
}

// Forget drops the rows that came before a moment, but for those of agents in the roster: where there is
// no gossip no roster ever comes.
func (m *Matrix) Forget(before time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retain(func(e *entry) bool { return !e.received.Before(before) })
}

// retain drops the rows of agents that are not in the roster, but for those that keep wants.
func (m *Matrix) retain(keep func(*entry) bool) {
	kept := 0
	for i, key := range m.sources {
		expected := false
		if m.roster != nil {
			_, expected = m.roster.Find(key)
		}
		if expected || keep(m.entries[i]) {
			m.sources[kept], m.entries[kept] = key, m.entries[i]
			kept++
		}
	}
	if kept == len(m.sources) {
		return
	}
	clear(m.entries[kept:])
	m.sources, m.entries, m.layout = m.sources[:kept], m.entries[:kept], nil
}

// View returns the matrix as it stands at now. It is immutable and cheap: rows are shared.
func (m *Matrix) View(now time.Time) *View {
	m.mu.Lock()
	if m.layout == nil {
		m.layout = newLayout(m.roster, m.sources, m.entries)
	}
	v := &View{Generated: now, layout: m.layout, entries: make([]*entry, len(m.layout.members))}
	for i, at := range m.layout.entryOf {
		if at >= 0 {
			v.entries[i] = m.entries[at]
		}
	}
	m.mu.Unlock()
	v.reports = make([]ReportState, len(v.entries))
	for i := range v.entries {
		v.reports[i] = v.report(i)
	}
	v.noteLeft()
	return v
}

// noteLeft notes the columns of agents that left on purpose.
func (v *View) noteLeft() {
	v.leftBits = newBits(v.table.Len())
	for col, agent := range v.agentOf {
		if v.reports[agent] == ReportLeft {
			v.leftBits.set(col)
			v.leftCols = append(v.leftCols, col)
		}
	}
}
