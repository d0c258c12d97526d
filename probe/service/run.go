package service

import (
	"context"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/probe"
)

// outcome is what a probe's goroutine hands back.
type outcome struct {
	target *target
	flight *flight
	result Result
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
			w.woke()
		case o := <-outcomes:
			w.woke()
			w.take(o)
		case <-timer.C:
			w.woke()
		}
		timer.Reset(w.launch(ctx, &g, outcomes))
	}
}

// napLimit is how late Run may wake before what it finds may be its own fault: an answer that came
// meanwhile looks like one that came late, or not at all.
const napLimit = 200 * time.Millisecond

// woke notes whether Run was kept from running. While a probe is under way it means to wake at all
// the times that matter to it.
func (w *Watch) woke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if nap := time.Since(w.wake); !w.wake.IsZero() && nap > napLimit {
		w.slept += nap
	}
}

// launch looks at what is under way, starts what is due and returns the time until something else is.
func (w *Watch) launch(ctx context.Context, g *errgroup.Group, outcomes chan<- outcome) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.wake = now.Add(w.interval)
	for _, t := range w.targets {
		if t.look(now, w.slept) {
			notify(w.changed)
		}
	}
	w.alarm(now)
	// When more is due than fits, who has waited longest comes first.
	queue := slices.SortedFunc(slices.Values(w.targets), func(a, b *target) int {
		return a.earliest(w.wake, now, w.slept).Compare(b.earliest(w.wake, now, w.slept))
	})
	for _, t := range queue {
		for t.due(now) {
			f := &flight{sent: now, slept: w.slept, regular: !t.confirms(now)}
			start := func() error {
				o := outcome{t, f, w.prober(f.follow(ctx), t.Target)}
				select {
				case outcomes <- o:
				case <-ctx.Done():
				}
				return nil
			}
			if !g.TryGo(start) {
				w.wake = now.Add(burstGap) // all of Width is under way: outcomes will wake us before
				return burstGap
			}
			t.started(f, now, w.interval)
		}
	}
	for _, t := range queue {
		w.wake = t.earliest(w.wake, now, w.slept)
	}
	return max(w.wake.Sub(now), time.Millisecond)
}

// follow returns a context by which the dialer tells the flight that its connection stands.
func (f *flight) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: func(network, _ string, err error) {
		if err == nil && strings.HasPrefix(network, "tcp") {
			f.connected.Store(true)
		}
	}})
}

// take folds in one outcome.
func (w *Watch) take(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, now := o.target, time.Now()
	t.ended(o.flight, o.result.State == probe.OK)
	t.waiting, t.connected = t.awaited(now, w.slept)
	if !slices.Contains(w.targets, t) {
		return
	}
	if o.result.State == probe.Unknown { // ctx ended, or the probe cannot be sent
		if o.result.Code == probe.CodeOff {
			t.code, t.detail = probe.CodeOff, o.result.Detail
		}
		return
	}
	if w.slept != o.flight.slept && o.result.late() { // we may have slept through its answer
		return
	}
	fold := t.add
	if o.result.late() && !o.flight.sent.After(t.answered) {
		fold = t.addLost
	}
	was := t.state
	if fold(o.result, now) {
		notify(w.changed)
	}
	n := t.unsettled()
	// What loses now and then is no news with each loss.
	t.alarmed = t.alarmed || o.flight.regular && was == probe.OK && n > 0 || was == probe.Failing && t.state == probe.OK
	t.confirm(n, now)
	w.alarm(now)
}

// alarm has all targets probed at once, besides their regular beat, when one of them has come into
// doubt or back: what breaks one way to a service mostly breaks others, and only all of them together tell
// what it was. It sounds twice in an interval at most, or many targets of which each loses a little would
// have all of them probed all the time; and not once only, so that a lost packet does not hide an outage
// that follows.
func (w *Watch) alarm(now time.Time) {
	alarmed := false
	for _, t := range w.targets {
		alarmed = alarmed || t.alarmed
		t.alarmed = false
	}
	if !alarmed || now.Sub(w.alarms[0]) < w.interval || now.Sub(w.alarms[1]) < alarmGap {
		return
	}
	w.alarms = [2]time.Time{w.alarms[1], now}
	for _, t := range w.targets {
		if t.burst == 0 && t.pending() == 0 && !t.last.IsZero() {
			t.burst, t.burstAt = 1, later(now, t.last.Add(alarmGap))
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
