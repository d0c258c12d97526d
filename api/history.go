package api

import (
	"context"
	"fmt"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// History is what is remembered of earlier: a *history.History. Its methods may be called by many
// goroutines. What they return is immutable.
type History interface {
	// Kept says of which time anything is remembered; zero times when of none.
	Kept() (since, until time.Time)
	// View returns the matrix as it stood at a moment. NotKept is the error when nobody knows.
	View(ctx context.Context, at time.Time) (*mesh.View, error)
	// Findings returns what was found and lasted at a moment; errors as View.
	Findings(at time.Time) ([]diagnose.Finding, error)
	// FindingsSince returns the findings that were open at some time in between, ClosedAt set for those
	// that have closed since, the latest first.
	FindingsSince(since, until time.Time) []diagnose.Finding
	// Changes returns a page of what changed, the earliest first.
	Changes(ctx context.Context, q ChangeQuery) (ChangePage, error)
	// Err says what keeps the history from being kept, nil when it works.
	Err() error
}

// NotKept says that nothing is remembered of a moment, and of which time something is.
type NotKept struct {
	At           time.Time
	Since, Until time.Time
	// GapFrom and GapTo, when set, are the ends of the time around At in which no server watched.
	GapFrom, GapTo time.Time
}

func (e NotKept) Error() string {
	form := func(t time.Time) string { return t.UTC().Format(timeForm) }
	if e.Until.IsZero() {
		return fmt.Sprintf("%s: nothing is remembered yet", form(e.At))
	}
	text := fmt.Sprintf("%s: remembered is what happened from %s to %s", form(e.At), form(e.Since), form(e.Until))
	if !e.GapTo.IsZero() {
		text += fmt.Sprintf(", but for %s to %s, when no server watched", form(e.GapFrom), form(e.GapTo))
	}
	return text
}

// ChangeQuery chooses changes.
type ChangeQuery struct {
	// Since and Until bound the time, both included.
	Since, Until time.Time
	// Filter chooses paths as for the matrix; a state is wanted when the path entered or left it.
	Filter mesh.Filter
	// After is the Next of the page before; "" begins at Since.
	After string
	// Limit is the most changes of a page.
	Limit int
}

// PathChange is a path that changed its state at a moment. Path says what was known of it then.
type PathChange struct {
	At   time.Time
	Was  probe.State
	Path mesh.Path
}

// AgentChange is an agent that the server began or ceased to hear of. Paths from an agent that
// does not report are unknown, which is not listed for each of them.
type AgentChange struct {
	At       time.Time
	Agent    mesh.Key
	Name     string
	Was, Now mesh.ReportState
	// Appeared and Gone say that the roster had it from then on or no more.
	Appeared, Gone bool
}

// ChangePage is a page of changes.
type ChangePage struct {
	Paths  []PathChange
	Agents []AgentChange
	// Next continues behind this page; "" when there is no more. A page may be empty and yet not the
	// last: the search for what is asked stops after a while.
	Next string
	// LeftOut says that at some time in between more paths were not ok than can be remembered.
	LeftOut bool
}

// BadCursor is an After that no page gave.
type BadCursor string

func (e BadCursor) Error() string {
	return fmt.Sprintf("after %q: want the next of the page before", clip(string(e)))
}
