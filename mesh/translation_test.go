package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"netchecker/probe"
)

// BenchmarkOldTables asks for the state of 5,000 nodes right after one more joined: the view has a new table,
// and every row is still of the old one, as it stays until each agent has sent its next.
func BenchmarkOldTables(b *testing.B) {
	c := newCluster(b, 5000)
	sample := c.row(c.agents[0], nil, nil)
	for i, a := range c.agents {
		row := NewRow(a, c.table)
		row.Sequence, row.Interval = uint64(i+1), time.Minute
		copy(row.planes, sample.planes)
		row.planes[0], row.planes[i] = row.planes[1], 0
		if i%10 == 0 { // one path of a thousandth of all is down
			s := lost(time.Second)
			row.Set((i+c.n)%len(c.agents), &s)
		}
		row.Seal()
		c.put(row, epoch)
	}
	c.join(c.n + 1)
	for name, ask := range map[string]func(v *View){
		"State":  func(v *View) { v.State() },
		"Counts": func(v *View) { v.Counts() },
		"Failing": func(v *View) {
			for range v.Refs(Filter{States: WantState(probe.Failing)}) {
			}
		},
		"Unknown": func(v *View) {
			for range v.Refs(Filter{States: WantState(probe.Unknown)}) {
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ask(c.matrix.View(epoch))
			}
		})
	}
}

// join adds a node that no row knows of yet.
func (c *cluster) join(node int) {
	registry := NewRegistry(24*time.Hour, 2*time.Minute)
	for _, a := range append(slices.Clone(c.agents), testAgent(node, Pod, 0), testAgent(node, Host, 0)) {
		registry.Alive(a, epoch)
	}
	c.setRoster(registry.Roster())
}

// lookedUp is the state of a path by the words of its definition, column by column.
func (v *View) lookedUp(i, col int) probe.State {
	if v.reports[i] != Reporting || v.reports[v.agentOf[col]] == ReportLeft {
		return probe.Unknown
	}
	row := v.entries[i].row
	at, known := row.Table.Find(v.table.dests[col])
	if !known {
		return probe.Unknown
	}
	if s := row.Cell(at).State(); row.Doubt == 0 || s < probe.Degraded {
		return s
	}
	return probe.Unknown
}

// agrees compares everything that a view says of states with what looking it up column by column says.
func agrees(v *View) error {
	for _, f := range []Filter{{}, {States: WantState(probe.Failing)}, {States: WantState(probe.Unknown)},
		{States: allStates &^ WantState(probe.OK)}, {States: WantState(probe.OK) | WantState(probe.Degraded)}} {
		var want []Ref
		counts := make([][Networks][probe.States]int, v.Len())
		worst, any := probe.OK, false
		for i := range v.members {
			for col, to := range v.agentOf {
				d := v.table.dests[col]
				if to == i || v.columnOf[i][d.Family] < 0 {
					continue
				}
				s := v.lookedUp(i, col)
				counts[i][d.Network][s]++
				if v.reports[i] != ReportLeft && v.reports[to] != ReportLeft {
					worst, any = probe.Worst(worst, s), true
				}
				if f.States == 0 || f.States&WantState(s) != 0 {
					want = append(want, Ref{int32(i), int32(col), s})
				}
			}
		}
		if got := slices.Collect(v.Refs(f)); !slices.Equal(got, want) {
			return fmt.Errorf("states %b: %d paths %v, want %d %v", f.States, len(got), got, len(want), want)
		}
		for i := range counts {
			if got := v.CountsFrom(i); got != counts[i] {
				return fmt.Errorf("%s counts %v, want %v", v.members[i].Key, got, counts[i])
			}
			if f.States == allStates&^WantState(probe.OK) {
				from := slices.DeleteFunc(slices.Clone(want), func(r Ref) bool { return int(r.source) != i })
				if got := slices.Collect(v.BadFrom(i)); !slices.Equal(got, from) {
					return fmt.Errorf("bad from %s: %v, want %v", v.members[i].Key, got, from)
				}
			}
		}
		if !any {
			worst = probe.Unknown
		}
		if got := v.State(); got != worst {
			return fmt.Errorf("state %s, want %s", got, worst)
		}
	}
	return placesAgree(v)
}

// placesAgree is agrees for the columns of rows.
func placesAgree(v *View) error {
	for i, e := range v.entries {
		if e == nil {
			continue
		}
		var lacks []uint32
		for col, d := range v.table.dests {
			if _, known := e.row.Table.Find(d); !known {
				lacks = append(lacks, uint32(v.agentOf[col])<<1|uint32(d.Family))
			}
		}
		if got := v.LacksOf(i); !slices.Equal(got, lacks) {
			return fmt.Errorf("%s lacks %v, want %v", v.members[i].Key, got, lacks)
		}
		_, _, place := v.BadOf(i)
		for at, d := range e.row.Table.dests {
			want := uint32(NoPlace)
			if col, known := v.table.Find(d); known {
				want = uint32(v.agentOf[col])<<1 | uint32(d.Family)
			}
			if place[at] != want {
				return fmt.Errorf("column %d of %s leads to %d, want %d", at, v.members[i].Key, place[at], want)
			}
		}
	}
	return nil
}

// churn returns a mesh whose agents came, went, changed their families, doubt or leave, and whose rows are
// of the rosters that they have seen of all that.
func churn(t *testing.T, rng *rand.Rand) *cluster {
	c := &cluster{t: t, matrix: NewMatrix()}
	now := epoch
	for range 3 + rng.IntN(4) {
		registry := NewRegistry(24*time.Hour, 2*time.Minute)
		c.agents = nil
		for node := 1 + rng.IntN(2); node <= 3+rng.IntN(4); node++ {
			for network := range Network(Networks) {
				a := testAgent(node, network, 0)
				if rng.IntN(3) > 0 {
					a.IPv6 = netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(network), 15: byte(node)})
				}
				if a.IPv6.IsValid() && rng.IntN(4) == 0 {
					a.IPv4 = netip.Addr{}
				}
				if rng.IntN(8) > 0 {
					c.agents = append(c.agents, a)
					registry.Alive(a, epoch)
				}
			}
		}
		c.setRoster(registry.Roster())
		for _, a := range c.agents {
			if rng.IntN(3) == 0 {
				continue // its row stays of an earlier table
			}
			if a.IPv4.IsValid() && rng.IntN(6) == 0 {
				a.IPv6 = netip.Addr{} // it has lost one that its roster still shows
			}
			row := c.row(a, func(Key) [probe.Kinds]probe.Status {
				if s := lost(time.Second); rng.IntN(3) == 0 {
					s[probe.UDP].State = probe.State(rng.IntN(int(probe.States)))
					return s
				}
				return good()
			}, nil)
			row.Leaving = rng.IntN(10) == 0
			if rng.IntN(6) == 0 {
				row.Doubt = 1
			}
			c.put(row, now.Add(-time.Duration(rng.IntN(4))*time.Second))
		}
	}
	return c
}

func TestWhatIsTranslatedIsWhatIsLookedUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	moved, lacking, gone, odd := 0, 0, 0, 0
	for n := range 400 {
		v := churn(t, rng).matrix.View(epoch)
		var g sync.WaitGroup
		for range 3 { // of which all want the same translations first
			g.Go(func() {
				if err := agrees(v); err != nil {
					t.Errorf("mesh %d: %v", n, err)
				}
			})
		}
		if g.Wait(); t.Failed() {
			return
		}
		for _, tr := range v.moved {
			moved, lacking, gone = moved+1, lacking+len(tr.lacks), gone+len(tr.gone)
		}
		for i, e := range v.entries {
			if e != nil && v.odd(i) {
				odd++
			}
		}
	}
	if moved < 100 || lacking < 100 || gone < 100 || odd < 100 {
		t.Errorf("%d translations, in which %d columns lack and %d are gone, and %d odd rows: too few to prove anything", moved, lacking, gone, odd)
	}
}

// Each of many agents may have a table of its own.
func TestTranslationsKeptAreBounded(t *testing.T) {
	c := newCluster(t, 3)
	v := c.matrix.View(epoch)
	for n := range 3 * maxTables {
		table, err := NewTable([]Dest{{Key{fmt.Sprintf("node%d", n), Pod}, IPv4}})
		if err != nil {
			t.Fatal(err)
		}
		if tr := v.translation(table); len(tr.place) != 1 {
			t.Fatalf("%+v", tr)
		}
		if len(v.moved) > maxTables {
			t.Fatalf("%d translations are kept", len(v.moved))
		}
	}
}
