package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/mesh/diagnose"
)

// TestAFindingIsToldOnceWhenItOpensAndOnceWhenItCloses also has it reworded in between, which
// nobody is told.
func TestAFindingIsToldOnceWhenItOpensAndOnceWhenItCloses(t *testing.T) {
	var text bytes.Buffer
	var told []string
	d := &diagnosis{s: &Server{log: slog.New(slog.NewTextHandler(&text, nil))}}
	d.listeners = append(d.listeners, func(f diagnose.Finding) {
		told = append(told, fmt.Sprint(f.ID, " ", f.Cause, " ", f.ClosedAt != nil, " ", len(d.findings())))
	})
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := began.Add(90 * time.Second)
	finding := func(id string, cause diagnose.Cause, closed *time.Time) diagnose.Finding {
		return diagnose.Finding{ID: id, Kind: diagnose.OverlayBroken, Severity: diagnose.Critical, Cause: cause, Since: began, ClosedAt: closed,
			Summary: "node3 " + string(cause)}
	}
	known := map[string]bool{}
	for _, round := range [][]diagnose.Finding{
		{},
		{finding("a", "", nil)},
		{finding("a", "", nil)},
		{finding("a", diagnose.VXLANPortBlocked, nil), finding("b", "", nil)},
		{finding("b", "", nil), finding("a", diagnose.VXLANPortBlocked, &end)},
		{finding("c", "", &end)}, // opened and closed between two looks
		{},
		{finding("a", "", nil)}, // it comes back under its name
	} {
		d.take(round, known)
	}
	want := []string{"a  false 1", "b  false 2", "a vxlan_port_blocked true 1", "c  true 0", "a  false 1"}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%q\nwant\n%q", told, want)
	}
	log := text.String()
	for part, n := range map[string]int{"finding opened": 3, "finding closed": 2, "\n": 5, "after=1m30s": 2, "cause=vxlan_port_blocked": 1, "level=WARN": 3} {
		if got := strings.Count(log, part); got != n {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", part, got, n, log)
		}
	}
}
