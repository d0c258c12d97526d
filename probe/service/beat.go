package service

import (
	"slices"
	"sync/atomic"
	"time"

	"netchecker/probe"
)

const (
	// overdue is when a probe without an answer is doubted, at the earliest: its target is probed again
	// at once, without waiting for the time-out.
	overdue = 300 * time.Millisecond
	// burstGap parts the probes that confirm a doubt.
	burstGap = 100 * time.Millisecond
	// alarmGap parts the last probe of a target from the one that it is sent for another's doubt.
	alarmGap = 500 * time.Millisecond
	// maxExtra bounds the probes of a target that follow a regular one before the next: all agents of a
	// mesh see a server's trouble at once, and what they ask besides must not make it worse. It is what an
	// outage between two regular probes takes: an alarm and two that confirm it, the alarm at its end and
	// one that confirms that. With less, what has come back waits for its regular probe.
	maxExtra = 5
	// maxInFlight bounds the probes of one target under way, so that a dead one with a long limit
	// does not take all of Width.
	maxInFlight = 4
)

// target is one watched target: what is known of it and when it is probed next. It is pure, time
// is an argument; the Watch's mutex guards it.
type target struct {
	Target
	record
	next     time.Time // when the next regular probe is due
	burst    int       // confirmations still to send
	burstAt  time.Time // when the next of them is due
	extra    int       // probes sent since the last regular one
	flights  []*flight // in the order in which they were sent
	last     time.Time // when the last probe was sent
	answered time.Time // when the last probe was sent that was answered well
	doubted  bool      // an overdue answer has had confirmations sent since the last regular probe
	alarmed  bool      // news that has the others probed, and has not yet
}

// flight is one probe under way.
type flight struct {
	sent    time.Time
	regular bool // neither a confirmation nor for another's news
	// slept is how long the Watch had overslept when it was sent.
	slept time.Duration
	// connected says that a TCP connection stands; the probe's own goroutine sets it.
	connected atomic.Bool
}

// waits is how long a probe has been under way while we were awake to see its answer.
func (f *flight) waits(now time.Time, slept time.Duration) time.Duration {
	return now.Sub(f.sent) - (slept - f.slept)
}

// bursts reports whether confirmations are to be sent before the next regular probe.
func (t *target) bursts() bool { return t.burst > 0 && t.extra < maxExtra }

// confirms reports whether a confirmation is due.
func (t *target) confirms(now time.Time) bool { return t.bursts() && !t.burstAt.After(now) }

// due reports whether a probe is to be sent now.
func (t *target) due(now time.Time) bool {
	return len(t.flights) < maxInFlight && (t.confirms(now) || !t.next.After(now))
}

// look doubts the first probe that is overdue and notes those that are late by now; it reports whether
// the state or its code changed.
func (t *target) look(now time.Time, slept time.Duration) (changed bool) {
	waiting, connected := t.awaited(now, slept)
	return t.wait(waiting, connected, now)
}

// awaited counts the probes whose answer is late by now, and says whether one of them is connected. The
// first that is overdue has others sent at once, and the other targets probed if all was well so far. One
// after which another was answered is lost and no longer awaited.
func (t *target) awaited(now time.Time, slept time.Duration) (late int, connected bool) {
	for _, f := range t.flights {
		if !f.sent.After(t.answered) {
			continue
		}
		waits := f.waits(now, slept)
		if waits >= t.overdue() && t.doubtful() {
			t.doubted = true
			t.alarmed = t.alarmed || f.regular && t.state == probe.OK
			t.confirm(failAfter, now) // the overdue one is the first of them
		}
		if waits >= SlowAfter {
			late++
			connected = connected || f.connected.Load()
		}
	}
	return late, connected
}

// overdue is when an answer is overdue: later than this target is used to answer.
func (t *target) overdue() time.Duration { return min(max(overdue, 2*t.rtt), SlowAfter) }

// doubtful reports whether an overdue answer would be news.
func (t *target) doubtful() bool { return !t.doubted && t.state != probe.Failing && t.slow == 0 }

// confirm asks for n results at once, of which those under way are a part that are not lost; 0 calls
// off what is not yet sent.
func (t *target) confirm(n int, now time.Time) {
	if n == 0 {
		t.burst = 0
	} else if missing := n - t.pending(); missing > t.burst {
		if t.burst == 0 {
			t.burstAt = now
		}
		t.burst = missing
	}
}

// pending is how many probes under way are not lost.
func (t *target) pending() (n int) {
	for _, f := range t.flights {
		if f.sent.After(t.answered) {
			n++
		}
	}
	return n
}

// started notes that a probe was sent.
func (t *target) started(f *flight, now time.Time, interval time.Duration) {
	t.flights = append(t.flights, f)
	t.last = now
	if !f.regular {
		t.burst--
		t.extra++
		t.burstAt = now.Add(burstGap)
		return
	}
	t.extra, t.doubted = 0, false
	if behind := now.Sub(t.next); behind >= interval { // we slept: what was missed is not made up for
		t.next = t.next.Add(behind / interval * interval)
	}
	t.next = t.next.Add(interval)
}

// ended notes that a probe is over, well or not.
func (t *target) ended(f *flight, well bool) {
	t.flights = slices.DeleteFunc(t.flights, func(other *flight) bool { return other == f })
	if well && f.sent.After(t.answered) {
		t.answered = f.sent
	}
}

// earliest returns wake, or the moment before it at which this target has something to do.
func (t *target) earliest(wake, now time.Time, slept time.Duration) time.Time {
	sooner := func(at time.Time) {
		if at.Before(wake) {
			wake = at
		}
	}
	if len(t.flights) < maxInFlight {
		sooner(t.next)
		if t.bursts() {
			sooner(t.burstAt)
		}
	}
	for _, f := range t.flights {
		for _, after := range [...]time.Duration{t.overdue(), SlowAfter} {
			if left := after - f.waits(now, slept); left > 0 {
				sooner(now.Add(left))
			}
		}
	}
	return wake
}
