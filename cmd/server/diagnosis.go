package server

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"netchecker/api"
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

// diagnosis runs the rounds and holds the findings that are open.
type diagnosis struct {
	s    *Server
	open atomic.Pointer[[]diagnose.Finding]
}

// run diagnoses the matrix until ctx ends. It alone touches the tracker.
func (d *diagnosis) run(ctx context.Context) error {
	tracker := diagnose.NewTracker()
	known := map[string]string{}
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
		found := tracker.Round(diagnose.Input{View: view, Evidence: evidenceOf(view), Now: began})
		d.say(found, known)
		open := slices.DeleteFunc(found, func(f diagnose.Finding) bool { return f.ClosedAt != nil })
		d.open.Store(&open)
		timer.Reset(max(diagnoseEvery, diagnoseShare*time.Since(began)))
	}
}

// say logs one line when a finding opens, when it comes to say something else, and when it closes.
func (d *diagnosis) say(found []diagnose.Finding, known map[string]string) {
	current := map[string]bool{}
	for i := range found {
		f := &found[i]
		current[f.ID] = true
		switch said, there := known[f.ID]; {
		case f.ClosedAt != nil:
			d.s.log.Info("finding closed", "id", f.ID, "kind", string(f.Kind), "after", f.ClosedAt.Sub(f.Since).Round(time.Second), "summary", f.Summary)
			delete(known, f.ID)
		case !there:
			d.s.log.Warn("finding opened", "id", f.ID, "kind", string(f.Kind), "cause", string(f.Cause), "severity", string(f.Severity), "summary", f.Summary)
			known[f.ID] = f.Summary
		case said != f.Summary:
			d.s.log.Warn("finding changed", "id", f.ID, "kind", string(f.Kind), "cause", string(f.Cause), "summary", f.Summary)
			known[f.ID] = f.Summary
		}
	}
	maps.DeleteFunc(known, func(id, _ string) bool { return !current[id] })
}

// findings are those that are open, as the API encodes them.
func (d *diagnosis) findings(time.Time) []api.Finding {
	open := d.open.Load()
	if open == nil {
		return nil
	}
	out := make([]api.Finding, len(*open))
	for i := range *open {
		out[i] = &(*open)[i]
	}
	return out
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
