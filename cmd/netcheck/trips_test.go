package main

import (
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
)

// TestAPairIsExplainedWithItsRoundTrips goes over a real server: nothing is said until one is remembered, then a line a path,
// and that a path failed is not lost between the figures.
func TestAPairIsExplainedWithItsRoundTrips(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	if status, out := w.types("explain", "node1", "node3"); status != 0 || strings.Contains(out, "ROUND TRIPS") {
		t.Errorf("nothing is remembered: status %d: %s", status, out)
	}
	for _, broken := range []bool{false, false, true} {
		w.mu.Lock()
		w.now = w.now.Add(mesh.TripsEvery - time.Second)
		w.mu.Unlock()
		w.pass(broken)
		w.trips.Take(w.matrix.View(w.clock()))
	}
	status, out := w.types("explain", "node1", "node3")
	for _, want := range []string{
		"ROUND TRIPS node1 -> node3 in the last 20s, in ms\n",
		"  pod-to-pod           0.292    0.292    0.292  ▁▁x  failing at 1 of 3 moments\n",
		"  host-to-host         0.292    0.292    0.292  ▁▁▁\n",
	} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d, no %q in\n%s", status, want, out)
		}
	}
	if _, out := w.types("explain", "node3"); strings.Contains(out, "ROUND TRIPS") {
		t.Errorf("a node has no round trips of its own:\n%s", out)
	}
}

func TestRoundTripsAreDrawnInALine(t *testing.T) {
	series := func(ms ...float64) *api.TripSeries {
		s := &api.TripSeries{Path: "pod-to-pod", Family: "ipv6"}
		for _, v := range ms {
			var one *api.Millis
			if v > 0 {
				one = new(api.Millis)
				*one = api.Millis(v * float64(time.Millisecond))
			}
			s.RTTMillis = append(s.RTTMillis, one)
		}
		return s
	}
	failing := series(1, 0, 8)
	failing.Failing = []int{1}
	many := series(make([]float64, 360)...)
	peak := api.Millis(9 * time.Millisecond)
	many.RTTMillis[359] = &peak
	for want, s := range map[string]*api.TripSeries{
		"▁▂▃▄▅▆▇█": series(1, 2, 3, 4, 5, 6, 7, 8),
		"▁x█":      failing,
		"▁.█":      series(1, 0, 8),
		"▁▁":       series(0.300, 0.301), // noise is flat
		"...":      series(0, 0, 0),
		strings.Repeat(".", sparkWidth-1) + "▁": many,
	} {
		if got := spark(s, knownTrips(s.RTTMillis)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	text := tripsText(&api.RoundTrips{GeneratedAt: epoch.Add(time.Hour), Times: []time.Time{epoch}, Series: []api.TripSeries{*series(0)}})
	if want := "  pod-to-pod ipv6          -        -        -  .\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}
