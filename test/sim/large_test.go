//go:build !race

package sim_test

import (
	"fmt"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
	. "netchecker/test/sim"
)

func TestAHundredAgentsAreHealthyForAMinute(t *testing.T) {
	t.Parallel()
	start := time.Now()
	l := healthy(t, Config{Nodes: 50, Zones: 3, Seed: 20})
	l.stays(time.Minute, Healthy)
	v := l.View()
	for kind, c := range v.Counts() {
		t.Logf("%s: %+v", mesh.PathKind(kind), c)
	}
	if v.State() != probe.OK {
		t.Errorf("the whole is %s", v.State())
	}
	t.Logf("%v of virtual time took %v; peak %d probes/s; %s", l.Now(), time.Since(start).Round(time.Millisecond), l.Peak(), l.Rows())
}

// others is a truth about what all but a part of the cluster say; what that part says does not matter.
func others(but func(Place) bool, truth Truth) Truth {
	return func(s, d Place, f mesh.Family) uint8 {
		if but(s) {
			return OK | Unknown | Degraded | Failing
		}
		return truth(s, d, f)
	}
}

// At this size an agent many of whose paths break at once has no budget to look at all of them as
// closely as it would like: 98 targets × 4 kinds × 20 probes are 20 s of its whole budget. What the
// healthy rest says of it is in time; where a whole zone is split off there is no such rest, and
// the 3 s and 10 s that smaller faults keep to are missed.
func TestAHundredAgentsSeeAFaultInTime(t *testing.T) {
	one := func(p Place) bool { return p.Node == 1 }
	for _, r := range []struct {
		name        string
		fault       Fault
		truth       Truth
		sick        func(Place) bool
		within      time.Duration
		gone, clean time.Duration // as the others and as everybody says
	}{
		{"one way between two nodes is cut", OneWayCut(1, 2), pairFails(1, 2), func(Place) bool { return false }, soon, gone, gone},
		{"a node is cut off", CutNode(1), touching(1, OK, Failing), one, soon, gone, clean},
		{"a zone is split off", ZoneSplit(1), splitZone, func(p Place) bool { return p.Zone == 1 }, soon + 2*time.Second, gone + 5*time.Second, clean},
		{"the pod network of a node is down", PodNetworkDown(1), podsFail(1), one, soon, gone, clean},
		{"30 % of what goes to a node is lost", Loss(1, 0.3, 7), touching(1, OK, Degraded|Failing), one, chance + 5*time.Second, clean, clean},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Nodes: 50, Zones: 3, Seed: 21})
			l.Break("fault", r.fault)
			found := l.until(r.within, others(r.sick, r.truth), Healthy)
			l.stays(10*time.Second, others(r.sick, r.truth))
			l.Heal("fault")
			start := l.Now()
			healed := l.until(r.gone, others(r.sick, Healthy), others(r.sick, r.truth))
			l.until(r.clean, Healthy, others(r.sick, Healthy))
			all := l.Now() - start
			l.stays(10*time.Second, Healthy)
			t.Logf("found after %v; after the repair the others said ok after %v, all after %v; peak %d probes/s", found, healed, all, l.Peak())
		})
	}
}

func TestAHundredAgentsAreUpdatedUnnoticed(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Nodes: 50, Zones: 3, Seed: 22, NewsDelay: slowNews})
	for node := 0; node < 15; node += 5 { // maxUnavailable 10 %
		for i := range 5 {
			l.Replace(l.Agent(l.Place(node+i, mesh.Pod)))
		}
		l.stays(15*time.Second, quiet(func(p Place) bool { return p.Node >= node-5 && p.Node < node+5 }))
	}
	l.settle(20 * time.Second)
	l.stays(10*time.Second, Healthy)
}

// BenchmarkVirtualMinute is one virtual minute of a healthy cluster.
func BenchmarkVirtualMinute(b *testing.B) {
	for _, size := range []int{12, 50, 100, 200} {
		b.Run(fmt.Sprintf("%d agents", mesh.Networks*size), func(b *testing.B) {
			c, err := New(Config{Nodes: size, Zones: 3, Seed: 30})
			if err != nil {
				b.Fatal(err)
			}
			c.Run(10 * time.Second)
			before := c.Sent()
			for b.Loop() {
				c.Run(time.Minute)
			}
			if wrong := c.Compare(c.View(), Healthy); len(wrong) > 0 {
				b.Error(list(wrong))
			}
			b.ReportMetric(float64(c.Sent()-before)/float64(b.N), "probes/op")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(c.Sent()-before), "ns/probe")
		})
	}
}
