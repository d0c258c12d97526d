package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"netchecker/api"
)

const (
	sparks     = "▁▂▃▄▅▆▇█"
	sparkWidth = 30
	// sparkLeast is the least round trip between the ends of a line's scale: a few microseconds more
	// or less are no mountains.
	sparkLeast = 50 * time.Microsecond
)

// tripsOf asks for the round trips of the last hour and lays them out. They come on top of an explanation: that they
// cannot be had is said in it and is no error.
func tripsOf(ctx context.Context, s *asker, query url.Values) string {
	var t api.RoundTrips
	if err := s.read(ctx, "/api/v1/latency/history", query, &t); err != nil {
		return fmt.Sprintf("ROUND TRIPS of the last hour\n  cannot be told: %s\n\n", clean(err.Error()))
	}
	return tripsText(&t)
}

// tripsText lays round trips out, a line a path; "" where none are remembered.
func tripsText(t *api.RoundTrips) string {
	if len(t.Times) == 0 || len(t.Series) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ROUND TRIPS %s -> %s in the last %s, in ms\n", clean(t.Source), clean(t.Destination), ago(t.GeneratedAt.Sub(t.Times[0])))
	fmt.Fprintf(&b, "  %-17s %8s %8s %8s\n", "", "least", "median", "largest")
	for i := range t.Series {
		s := &t.Series[i]
		path := s.Path
		if s.Family != "ipv4" {
			path += " " + s.Family
		}
		known := knownTrips(s.RTTMillis)
		fmt.Fprintf(&b, "  %-17s", path)
		if n := len(known); n == 0 {
			fmt.Fprintf(&b, " %8s %8s %8s", "-", "-", "-")
		} else {
			fmt.Fprintf(&b, " %8s %8s %8s", millis(known[0]), millis(known[n/2]), millis(known[n-1]))
		}
		b.WriteString("  " + spark(s, known))
		if len(s.Failing) > 0 {
			fmt.Fprintf(&b, "  failing at %d of %d moments", len(s.Failing), len(t.Times))
		}
		b.WriteByte('\n')
	}
	return b.String() + "\n"
}

// knownTrips are the round trips that are known, the least first.
func knownTrips(all []*api.Millis) (out []time.Duration) {
	for _, ms := range all {
		if ms != nil {
			out = append(out, time.Duration(*ms))
		}
	}
	slices.Sort(out)
	return out
}

func millis(d time.Duration) string {
	if d >= 100*time.Millisecond {
		return fmt.Sprint(d.Milliseconds())
	}
	return fmt.Sprintf("%.3g", float64(d)/float64(time.Millisecond))
}

// spark draws round trips in a line, the earliest first and several moments a place where there are many: the
// longest of them, x where one of them failed, a dot where nothing is known.
func spark(s *api.TripSeries, known []time.Duration) string {
	moments := len(s.RTTMillis)
	places := min(moments, sparkWidth)
	longest, failed := make([]time.Duration, places), make([]bool, places)
	for n, ms := range s.RTTMillis {
		if at := n * places / moments; ms != nil {
			longest[at] = max(longest[at], time.Duration(*ms))
		}
	}
	for _, n := range s.Failing {
		failed[n*places/moments] = true
	}
	marks := []rune(sparks)
	var low, span time.Duration
	if len(known) > 0 {
		low = known[0]
		span = max(known[len(known)-1]-low, sparkLeast)
	}
	out := make([]rune, places)
	for i, d := range longest {
		switch {
		case failed[i]:
			out[i] = 'x'
		case d == 0:
			out[i] = '.'
		default:
			out[i] = marks[(d-low)*time.Duration(len(marks)-1)/span]
		}
	}
	return string(out)
}
