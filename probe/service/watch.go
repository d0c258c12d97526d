package service

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/probe"
)

// Config says how a Watch works. The zero value is usable.
type Config struct {
	// Interval is how often each target is probed; 0 means DefaultInterval.
	Interval time.Duration
	// Width is how many probes may be under way at once; 0 means 64. Each is one socket.
	Width int
	// Prober replaces Probe in tests. It must return soon after ctx ends.
	Prober func(ctx context.Context, t Target) Result
}

// DefaultInterval is how often a service is probed when nobody says otherwise.
const DefaultInterval = 5 * time.Second

// Watch probes a set of targets for as long as Run runs, each on its own beat within the interval.
// A result that contradicts the state is confirmed at once: a service is failing when 3 probes in
// a row failed, and well again after 2 good ones. Its methods may be called concurrently.
type Watch struct {
	prober  func(context.Context, Target) Result
	width   int
	seed    maphash.Seed // agents probe the same servers, each at moments of its own
	changed chan struct{}
	kick    chan struct{} // the targets or the interval changed

	mu       sync.Mutex // guards all below
	interval time.Duration
	targets  []*target // in the order of SetTargets
}

// outcome is what a probe's goroutine hands back.
type outcome struct {
	target  *target
	regular bool
	result  Result
}

// New returns a Watch without targets; it does nothing before Run.
func New(c Config) *Watch {
	w := &Watch{prober: c.Prober, width: c.Width, interval: c.Interval, seed: maphash.MakeSeed(),
		changed: make(chan struct{}, 1), kick: make(chan struct{}, 1)}
	if w.prober == nil {
		w.prober = Probe
	}
	if w.width <= 0 {
		w.width = 64
	}
	if w.interval <= 0 {
		w.interval = DefaultInterval
	}
	return w
}

// SetTargets replaces the targets; what is known of those that stay is kept. Of two targets with
// one name the first counts, and there are at most MaxTargets.
func (w *Watch) SetTargets(targets []Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := make(map[Target]*target, len(w.targets))
	for _, t := range w.targets {
		old[t.Target] = t
	}
	next := make([]*target, 0, len(targets))
	names := make(map[string]bool, len(targets))
	now := time.Now()
	for _, t := range targets {
		if names[t.Name] || len(next) == MaxTargets {
			continue
		}
		names[t.Name] = true
		known := old[t]
		if known == nil {
			known = &target{Target: t, next: now.Add(w.offset(t))}
		}
		next = append(next, known)
	}
	if slices.Equal(w.targets, next) {
		return
	}
	w.targets = next
	notify(w.kick)
	notify(w.changed)
}

// SetInterval changes how often each target is probed, from its next probe on: in a big mesh the
// servers probed here would otherwise have little else to do.
func (w *Watch) SetInterval(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d <= 0 || d == w.interval {
		return
	}
	w.interval = d
	now := time.Now()
	for _, t := range w.targets {
		if soonest := now.Add(w.offset(t.Target)); t.next.After(soonest) {
			t.next = soonest
		}
	}
	notify(w.kick)
}

// offset is the target's place within the interval.
func (w *Watch) offset(t Target) time.Duration {
	return time.Duration(maphash.Comparable(w.seed, t) % uint64(w.interval))
}

// Changed is signalled after the state or the code of any target, or the set of targets, changed.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Snapshot returns what is known of every target, in the order of SetTargets.
func (w *Watch) Snapshot() []probe.Service {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	out := make([]probe.Service, len(w.targets))
	for i, t := range w.targets {
		out[i] = probe.Service{Name: t.Name, Kind: t.Kind, Address: t.Address, State: t.state, Code: t.code,
			RTT: t.rtt, Loss: t.loss(), Detail: t.detail}
		if !t.since.IsZero() {
			out[i].Age = now.Sub(t.since)
		}
	}
	return out
}

// Run probes until ctx ends, and returns nil when the last probe has ended with it.
func (w *Watch) Run(ctx context.Context) error {
	outcomes := make(chan outcome, w.width)
	var g errgroup.Group
	g.SetLimit(w.width)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-w.kick:
		case o := <-outcomes:
			w.take(o)
		case <-timer.C:
		}
		timer.Reset(w.launch(ctx, &g, outcomes))
	}
}

// launch starts what is due and returns the time until something else is.
func (w *Watch) launch(ctx context.Context, g *errgroup.Group, outcomes chan<- outcome) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	wake := now.Add(w.interval)
	// When more is due than fits, who has waited longest comes first.
	queue := slices.SortedFunc(slices.Values(w.targets), func(a, b *target) int {
		return a.earliest(wake).Compare(b.earliest(wake))
	})
	for _, t := range queue {
		for t.due(now) {
			w.alarm(now)
			regular := !t.confirms(now)
			start := func() error {
				o := outcome{t, regular, w.prober(ctx, t.Target)}
				select {
				case outcomes <- o:
				case <-ctx.Done():
				}
				return nil
			}
			if !g.TryGo(start) {
				return burstGap // all of Width is under way: outcomes will wake us before
			}
			t.started(now, regular, w.interval)
		}
	}
	for _, t := range queue { // after all of them: one's doubt concerns the others
		wake = t.earliest(wake)
	}
	return max(wake.Sub(now), time.Millisecond)
}

// take folds in one outcome.
func (w *Watch) take(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, now := o.target, time.Now()
	t.ended(o.regular)
	if !slices.Contains(w.targets, t) {
		return
	}
	if o.result.State == probe.Unknown { // ctx ended, or the probe cannot be sent
		if o.result.Code == probe.CodeOff {
			t.code, t.detail = probe.CodeOff, o.result.Detail
		}
		return
	}
	if t.add(o.result, now) {
		notify(w.changed)
	}
	n := t.unsettled()
	t.alarmed = t.alarmed || n > 0
	t.confirm(n, now)
	w.alarm(now)
}

// alarm has all targets probed at once, besides their regular beat, when one of them has come into
// doubt: what breaks one way to a service mostly breaks others, and only all of them together tell what
// it was.
func (w *Watch) alarm(now time.Time) {
	alarmed := false
	for _, t := range w.targets {
		alarmed = alarmed || t.alarmed
		t.alarmed = false
	}
	if !alarmed {
		return
	}
	for _, t := range w.targets {
		if t.burst == 0 && t.inFlight == 0 && now.Sub(t.last) >= alarmAfter && !t.last.IsZero() {
			t.confirm(1, now)
		}
	}
}

// notify signals a channel of capacity 1; a signal that nobody has taken yet says the same.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
