package mesh

import (
	"slices"
	"sync"
	"time"

	"netchecker/probe"
)

const (
	// TripsSpan is how far back round trips are remembered.
	TripsSpan = time.Hour
	// TripsEvery is the least time between two moments of which they are.
	TripsEvery = 10 * time.Second
	// tripsBytes is what that may take in all, at a byte a path and moment. Of 107 nodes with one
	// address family there is a moment every 10 s, of 264 one a minute, of more nodes none: those
	// of a minute or less would tell nothing.
	tripsBytes = 16 << 20
	// slotBytes is what an agent costs anew when others than before are remembered: its key and its columns.
	slotBytes = 128
	// tripFailing is a byte in place of a round trip: nothing came back. 0 means that nobody knew.
	tripFailing = 255
)

// tripSteps are the times between two moments, of which the first that the budget allows is taken.
var tripSteps = [...]time.Duration{TripsEvery, 15 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute}

// Trips remembers the udp round trips of all paths at moments of the last hour. It looks at views, so
// that taking in rows costs nothing more. Its zero value is ready; any goroutine may use it.
type Trips struct {
	mu      sync.Mutex
	step    time.Duration // 0 while there are too many paths, and before the first Take
	paths   int
	moments []tripMoment // the oldest first
	bytes   int
}

// tripMoment holds the bytes of all paths at a moment: agent by agent, one a column of the table.
type tripMoment struct {
	at    time.Time
	slots *tripSlots
	cells []byte
	cost  int
}

// tripSlots say whose path a byte is of. Moments share them until an agent comes or goes.
type tripSlots struct {
	agents []Key
	table  *Table
}

// Take remembers a view, unless the last one remembered is too near. It is called every TripsEvery or so,
// with views that do not go back in time.
func (t *Trips) Take(v *View) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paths = len(v.members) * v.table.Len()
	t.step = 0
	for _, step := range tripSteps {
		if t.paths*int(TripsSpan/step) <= tripsBytes {
			t.step = step
			break
		}
	}
	if t.step == 0 || len(v.members) == 0 {
		t.moments, t.bytes = nil, 0
		return
	}
	m := tripMoment{at: v.Generated, slots: &tripSlots{table: v.table}}
	if n := len(t.moments); n > 0 {
		last := &t.moments[n-1]
		if v.Generated.Sub(last.at) < t.step-TripsEvery/2 {
			return
		}
		m.slots = last.slots
	}
	if !m.slots.of(v) {
		m.slots = newTripSlots(v)
		m.cost = slotBytes * (len(v.members) + v.table.Len())
	}
	m.cells = tripCells(v)
	m.cost += len(m.cells)
	t.moments = append(t.moments, m)
	t.bytes += m.cost
	t.forget(v.Generated.Add(-TripsSpan))
}

// forget drops the moments that are too old, and as many more as the budget wants.
func (t *Trips) forget(before time.Time) {
	n := 0
	for n < len(t.moments)-1 && (t.moments[n].at.Before(before) || t.bytes > tripsBytes) {
		t.bytes -= t.moments[n].cost
		n++
	}
	t.moments = slices.Delete(t.moments, 0, n)
}

func newTripSlots(v *View) *tripSlots {
	s := &tripSlots{agents: make([]Key, len(v.members)), table: v.table}
	for i := range v.members {
		s.agents[i] = v.members[i].Key
	}
	return s
}

// of reports whether these are the slots of a view.
func (s *tripSlots) of(v *View) bool {
	return s.table.hash == v.table.hash && slices.EqualFunc(s.agents, v.members, func(k Key, m Member) bool { return k == m.Key })
}

// tripCells makes the bytes of a moment.
func tripCells(v *View) []byte {
	n := v.table.Len()
	out := make([]byte, len(v.members)*n)
	for i := range v.members {
		if v.reports[i] != Reporting || v.entries[i].row.Doubt != 0 {
			continue
		}
		row, cells := v.entries[i].row, out[i*n:(i+1)*n]
		have, tr := row.Table.Len(), v.translation(row.Table)
		for col := range cells {
			at := tr.column(col)
			if at < 0 || v.reports[v.agentOf[col]] == ReportLeft {
				continue
			}
			switch probe.State(row.planes[at] >> (2 * probe.UDP) & 3) {
			case probe.Failing:
				cells[col] = tripFailing
			case probe.OK, probe.Degraded:
				cells[col] = min(row.planes[have+at], tripFailing-1)
			}
		}
	}
	return out
}

// TripSeries is the round trips of one path at the moments that Between returns with it.
type TripSeries struct {
	Kind   PathKind
	Family Family
	// RTT is 0 where none is known.
	RTT []time.Duration
	// Failing lists the moments, by index, at which nothing came back.
	Failing []int
}

// TripsKept says what is remembered.
type TripsKept struct {
	// Step is the time between two moments, 0 while nothing is remembered: because there are too many
	// paths, or, while Paths is 0, because nothing has been looked at yet.
	Step time.Duration
	// Paths is how many there were last, and Most how many there may be.
	Paths, Most int
}

// Kept says what is remembered.
func (t *Trips) Kept() TripsKept {
	t.mu.Lock()
	defer t.mu.Unlock()
	return TripsKept{Step: t.step, Paths: t.paths, Most: tripsBytes / int(TripsSpan/tripSteps[len(tripSteps)-1])}
}

// Between returns the moments remembered and the round trips of the paths from one node to another,
// in the order of kind and family; paths of which nothing was ever known are left out.
func (t *Trips) Between(source, destination string) (moments []time.Time, out []TripSeries) {
	t.mu.Lock()
	kept := slices.Clone(t.moments) // their bytes never change
	t.mu.Unlock()
	for _, m := range kept {
		moments = append(moments, m.at)
	}
	for k := range PathKind(PathKinds) {
		from, to := k.Ends()
		for f := range Family(Families) {
			s := TripSeries{Kind: k, Family: f, RTT: make([]time.Duration, len(kept))}
			any := false
			var slots *tripSlots
			place := -1
			for n := range kept {
				if m := &kept[n]; m.slots != slots {
					slots, place = m.slots, m.slots.place(Key{source, from}, Dest{Key{destination, to}, f})
				}
				if place < 0 {
					continue
				}
				switch v := kept[n].cells[place]; v {
				case 0:
				case tripFailing:
					s.Failing, any = append(s.Failing, n), true
				default:
					s.RTT[n], any = unpackRTT(v), true
				}
			}
			if any {
				out = append(out, s)
			}
		}
	}
	return moments, out
}

// place is where the byte of a path stands, -1 for nowhere.
func (s *tripSlots) place(from Key, to Dest) int {
	i, known := slices.BinarySearchFunc(s.agents, from, Key.Compare)
	col, there := s.table.Find(to)
	if !known || !there {
		return -1
	}
	return i*s.table.Len() + col
}
