package service

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"netchecker/probe"
)

// Config says how a Watch works. The zero value is usable.
type Config struct {
	// Interval is how often each target is probed; 0 means DefaultInterval, see IntervalFor.
	Interval time.Duration
	// Width is how many probes may be under way at once; 0 means 64. Each is one socket.
	Width int
	// Prober replaces Probe in tests. It must return soon after ctx ends.
	Prober func(ctx context.Context, t Target) Result
}

// Watch probes a set of targets for as long as Run runs, each on its own beat within the interval.
// A result that contradicts the state is confirmed at once: a service is failing when 3 probes in
// a row failed, degraded when 3 in a row are late or lost, and well again after 2 good ones. Its
// methods may be called concurrently.
type Watch struct {
	prober  func(context.Context, Target) Result
	width   int
	begin   float64 // where in the interval the first target has its beat
	changed chan struct{}
	kick    chan struct{} // the targets or the interval changed

	mu       sync.Mutex // guards all below
	interval time.Duration
	targets  []*target     // in the order of SetTargets
	wake     time.Time     // when Run is to wake at the latest; zero before it runs
	slept    time.Duration // how long it has overslept, all in all
	alarms   [2]time.Time  // the last two times at which one target's news had all of them probed
}

// New returns a Watch without targets; it does nothing before Run.
func New(c Config) *Watch {
	w := &Watch{prober: c.Prober, width: c.Width, interval: c.Interval, begin: rand.Float64(),
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
	for i, t := range targets {
		if names[t.Name] || len(next) == MaxTargets {
			continue
		}
		names[t.Name] = true
		known := old[t]
		if known == nil {
			known = &target{Target: t, next: now.Add(w.offset(i))}
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

// SetInterval changes how often each target is probed, from now on.
func (w *Watch) SetInterval(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d <= 0 || d == w.interval {
		return
	}
	w.interval = d
	now := time.Now()
	for i, t := range w.targets {
		t.next = now.Add(w.offset(i))
	}
	notify(w.kick)
}

// offset is the place of target i within the interval: each as far from those before it as can be, by the
// golden section, so that what breaks a few neighbours of the list is seen by one of them soon. Agents
// probe the same servers, each from a beginning of its own.
func (w *Watch) offset(i int) time.Duration {
	const section = 0.6180339887498949
	_, place := math.Modf(w.begin + section*float64(i))
	return time.Duration(place * float64(w.interval))
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

// notify signals a channel of capacity 1; a signal that nobody has taken yet says the same.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
