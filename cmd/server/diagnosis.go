package server

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

const (
	// diagnoseEvery is how often the matrix is diagnosed.
	diagnoseEvery = time.Second
	// diagnoseShare bounds what diagnosis takes of a core in a big mesh: a round is followed by at
	// least so many times its own duration of rest.
	diagnoseShare = 4
)

// listener is told of every finding when it opens and when it closes, ClosedAt set, and of no
// round in between. It is called by one goroutine, which waits for it: what takes long, or may
// block, must be handed on.
type listener func(f diagnose.Finding)

// diagnosis runs the rounds and holds the findings that are open.
type diagnosis struct {
	s *Server
	// listeners must all be there before run is called.
	listeners []listener
	open      atomic.Pointer[[]diagnose.Finding]
}

// run diagnoses the matrix until ctx ends. It alone touches the tracker.
func (d *diagnosis) run(ctx context.Context) error {
	tracker := diagnose.NewTracker()
	known := map[string]bool{}
	timer := time.NewTimer(diagnoseEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		view := d.s.matrix.View(began)
		d.take(tracker.Round(diagnose.Input{View: view, Evidence: evidenceOf(view), Nodes: d.s.kube.facts(),
			Leaving: d.s.kube.leavers(), Now: began}), known)
		timer.Reset(rest(diagnoseEvery, diagnoseShare, began))
	}
}

// take publishes what a round found and tells of what has opened and closed since the one before.
func (d *diagnosis) take(found []diagnose.Finding, known map[string]bool) {
	var news []diagnose.Finding
	for _, f := range found {
		if f.ClosedAt != nil || !known[f.ID] {
			news = append(news, f)
		}
	}
	open := slices.DeleteFunc(found, func(f diagnose.Finding) bool { return f.ClosedAt != nil })
	d.open.Store(&open) // before anybody is told, so that who is told can look
	clear(known)
	for i := range open {
		known[open[i].ID] = true
	}
	for _, f := range news {
		d.say(&f)
		for _, tell := range d.listeners {
			tell(f)
		}
	}
}

// say logs one line when a finding opens and one when it closes. What is learnt in between, such
// as the cause, stands in the second and in the API.
func (d *diagnosis) say(f *diagnose.Finding) {
	facts := []any{"id", f.ID, "kind", string(f.Kind), "cause", string(f.Cause), "severity", string(f.Severity)}
	if f.ClosedAt != nil {
		d.s.log.Info("finding closed", append(facts, "after", f.ClosedAt.Sub(f.Since).Round(time.Second), "summary", f.Summary)...)
		return
	}
	d.s.log.Warn("finding opened", append(facts, "summary", f.Summary)...)
}

// findings are those that are open.
func (d *diagnosis) findings() []diagnose.Finding {
	if open := d.open.Load(); open != nil {
		return *open
	}
	return nil
}

// evidenceOf is what the agents of a view last read about themselves.
func evidenceOf(view *mesh.View) map[mesh.Key]*probe.Snapshot {
	agents := view.Agents()
	out := make(map[mesh.Key]*probe.Snapshot, len(agents))
	for i := range agents {
		if agents[i].Evidence != nil {
			out[agents[i].Key] = agents[i].Evidence
		}
	}
	return out
}
