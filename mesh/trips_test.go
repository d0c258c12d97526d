package mesh

import (
	"fmt"
	"testing"
	"time"

	"netchecker/probe"
)

// told says what is remembered of the paths between two nodes: for each its kind and, moment by
// moment, microseconds, "x" for failing or "-" for nothing known.
func told(t *Trips, from, to string) (out []string) {
	moments, series := t.Between(from, to)
	for _, s := range series {
		text, failing := s.Kind.String(), s.Failing
		for n := range moments {
			switch {
			case len(failing) > 0 && failing[0] == n:
				text, failing = text+" x", failing[1:]
			case s.RTT[n] == 0:
				text += " -"
			default:
				text += fmt.Sprintf(" %d", s.RTT[n].Round(100*time.Microsecond).Microseconds())
			}
		}
		out = append(out, text)
	}
	return out
}

func TestTripsRememberWhatCameBackAndWhatDidNot(t *testing.T) {
	c, trips, now := newCluster(t, 3), &Trips{}, epoch
	round := func(verdict func(to Key) [probe.Kinds]probe.Status, silent int) {
		for _, a := range c.agents {
			if a.Node != fmt.Sprintf("node%d", silent) {
				c.put(c.row(a, verdict, nil), now)
			}
		}
		trips.Take(c.matrix.View(now))
		trips.Take(c.matrix.View(now.Add(time.Second))) // too near
		now = now.Add(TripsEvery)
	}
	round(nil, 0)
	round(func(to Key) [probe.Kinds]probe.Status {
		s := good()
		if s[probe.UDP].RTT = 900 * time.Microsecond; to == (Key{"node2", Pod}) {
			s = lost(time.Second)
		}
		return s
	}, 0)
	round(nil, 1)
	round(nil, 0)
	want := []string{"pod-to-pod 300 x - 300", "host-to-pod 300 x - 300", "pod-to-host 300 900 - 300", "host-to-host 300 900 - 300"}
	if got := told(trips, "node1", "node2"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("from node1 to node2: %q, want %q", got, want)
	}
	if got := told(trips, "node1", "node1"); len(got) != 2 {
		t.Errorf("from node1 to itself: %q, want its two paths", got)
	}
	if got := told(trips, "node1", "nobody"); got != nil {
		t.Errorf("to a node that is not there: %q", got)
	}
}

func TestTripsOutliveAChangeOfTheRoster(t *testing.T) {
	c, trips := newCluster(t, 3), &Trips{}
	c.putAll(epoch)
	trips.Take(c.matrix.View(epoch))
	registry := NewRegistry(24*time.Hour, 2*time.Minute)
	var kept []Agent
	for _, a := range append(c.agents, testAgent(4, Pod, 0)) {
		if a.Node != "node1" {
			registry.Alive(a, epoch)
			kept = append(kept, a)
		}
	}
	later := epoch.Add(TripsEvery)
	old := c.row(testAgent(2, Pod, 0), nil, nil) // by the table without node4, with node1
	c.setRoster(registry.Roster())
	c.put(old, later)
	for _, a := range kept[1:] {
		if a.Key != old.Source.Key {
			c.put(c.row(a, nil, nil), later)
		}
	}
	trips.Take(c.matrix.View(later))
	for path, want := range map[[2]string]string{
		{"node2", "node3"}: "[pod-to-pod 300 300 host-to-pod 300 300 pod-to-host 300 300 host-to-host 300 300]",
		{"node1", "node3"}: "[pod-to-pod 300 - host-to-pod 300 - pod-to-host 300 - host-to-host 300 -]",
		{"node3", "node4"}: "[pod-to-pod - 300 host-to-pod - 300]",
		{"node2", "node4"}: "[host-to-pod - 300]",
	} {
		if got := fmt.Sprint(told(trips, path[0], path[1])); got != want {
			t.Errorf("%v: %s, want %s", path, got, want)
		}
	}
}

func TestTripsStayWithinTheirBudget(t *testing.T) {
	for nodes, step := range map[int]time.Duration{4: 10 * time.Second, 107: 10 * time.Second, 108: 15 * time.Second, 264: time.Minute, 265: 0} {
		c, trips := newCluster(t, nodes), &Trips{}
		v := c.matrix.View(epoch)
		trips.Take(v)
		if kept := trips.Kept(); kept.Step != step || kept.Paths != 4*nodes*nodes || (kept.Paths > kept.Most) != (step == 0) {
			t.Errorf("%d nodes: %+v, want a step of %v", nodes, kept, step)
		}
		if step == 0 {
			if moments, _ := trips.Between("node1", "node2"); len(moments) != 0 {
				t.Errorf("%d nodes: %d moments", nodes, len(moments))
			}
			continue
		}
		for at := time.Duration(0); at < 2*TripsSpan; at += step {
			v := *v
			v.Generated = epoch.Add(at)
			trips.Take(&v)
		}
		held := 0
		for _, m := range trips.moments {
			held += cap(m.cells)
		}
		if n := len(trips.moments); held > tripsBytes || trips.bytes > tripsBytes || n < int(TripsSpan/step)-2 || n > int(TripsSpan/step)+1 {
			t.Errorf("%d nodes: %d moments of %d bytes (%d counted), want an hour's in at most %d", nodes, n, held, trips.bytes, tripsBytes)
		}
	}
}

func BenchmarkTripsTake264Nodes(b *testing.B) {
	c := newCluster(b, 264)
	c.putAll(epoch)
	v := c.matrix.View(epoch)
	b.ReportAllocs()
	for b.Loop() {
		tripCells(v)
	}
}
