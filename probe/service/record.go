package service

import (
	"math/bits"
	"time"

	"netchecker/probe"
)

// The thresholds of a service's state.
const (
	failAfter    = 3  // bad results in a row
	recoverAfter = 2  // good ones in a row
	slowAfter    = 2  // late ones in a row
	lateAfter    = 3  // lost, late or long awaited ones in a row
	window       = 20 // results that loss is counted over
	lossyAfter   = 3  // bad ones in the window …
	lossyOf      = 10 // … of at least so many
)

// record is what the last probes of one target said. It is pure: time is an argument.
type record struct {
	state             probe.State
	code              probe.Code
	detail            string
	since             time.Time
	rtt               time.Duration // of the last answer
	bad, good, slow   int           // in a row
	poor              int           // bad or slow ones in a row
	waiting           int           // probes under way whose answers are late, after the last good one
	connected         bool          // one of those has a TCP connection
	outcomes          uint32        // bit 0 is the newest; set: bad
	count             int           // of outcomes that count
	lastBad, lastSlow Result
}

// addLost folds in a probe that was lost, or answered late, before another that was sent after it was
// answered well: it counts as loss, but not in a row with those that follow.
func (r *record) addLost(res Result, now time.Time) (changed bool) {
	r.note(res.State == probe.Failing)
	if res.State == probe.Failing {
		r.lastBad = res
	}
	return r.settle(now)
}

// note counts one outcome.
func (r *record) note(bad bool) {
	r.outcomes = r.outcomes<<1&(1<<window-1) | b2u(bad)
	r.count = min(r.count+1, window)
}

// add folds in one result and reports whether the state or its code changed.
func (r *record) add(res Result, now time.Time) (changed bool) {
	bad := res.State == probe.Failing
	r.note(bad)
	switch {
	case bad:
		r.bad, r.good, r.slow, r.poor = r.bad+1, 0, 0, r.poor+1
		r.lastBad = res
	case res.State == probe.Degraded:
		r.bad, r.good, r.slow, r.poor = 0, 0, r.slow+1, r.poor+1
		r.lastSlow, r.rtt = res, res.RTT
	default:
		r.bad, r.good, r.slow, r.poor = 0, r.good+1, 0, 0
		r.rtt = res.RTT
	}
	return r.settle(now)
}

// wait notes how many probes are late by now, and whether one of them is connected; it reports whether
// the state or its code changed. What is late is slow or lost, and it is not known which: the service is
// degraded until the probes have ended.
func (r *record) wait(waiting int, connected bool, now time.Time) (changed bool) {
	if waiting == r.waiting && connected == r.connected {
		return false
	}
	r.waiting, r.connected = waiting, connected
	if r.unanswered() {
		r.good = 0 // it takes several good answers to be well again
	}
	if r.since.IsZero() && r.next() == probe.Unknown {
		return false // nothing has been known so far
	}
	return r.settle(now)
}

func (r *record) settle(now time.Time) (changed bool) {
	was, wasCode := r.state, r.code
	r.state = r.next()
	if was == probe.Failing && r.state != probe.Failing { // what was lost while it was down is no loss now
		r.outcomes, r.count = 0, max(r.good, r.slow)
	}
	r.code, r.detail = r.reason()
	if r.state != was || r.since.IsZero() {
		r.since = now
	}
	return r.state != was || r.code != wasCode
}

func (r *record) next() probe.State {
	switch {
	case r.bad >= failAfter:
		return probe.Failing
	case r.slow >= slowAfter:
		return probe.Degraded
	case r.state == probe.Failing && r.good < recoverAfter:
		return probe.Failing
	case r.unanswered() || r.state != probe.Failing && r.lossy():
		return probe.Degraded
	case r.state == probe.Degraded && r.good < recoverAfter:
		return probe.Degraded
	case r.state == probe.Unknown && r.good == 0:
		return probe.Unknown
	}
	return probe.OK
}

// lossy reports whether the window lost too much. What it lost decides as long as it is in there.
func (r *record) lossy() bool {
	return r.count >= lossyOf && bits.OnesCount32(r.outcomes) >= lossyAfter
}

// unanswered reports whether no good answer has come to several probes in a row, some of which may still be awaited.
func (r *record) unanswered() bool { return r.state != probe.Failing && r.poor+r.waiting >= lateAfter }

// reason returns the class and the words for the state.
func (r *record) reason() (probe.Code, string) {
	switch {
	case r.state == probe.Failing:
		return r.lastBad.Code, r.lastBad.Detail
	case r.state != probe.Degraded:
		return probe.CodeNone, ""
	case r.slow >= slowAfter || r.unanswered() && r.slow > 0:
		return r.lastSlow.Code, r.lastSlow.Detail
	case r.unanswered() && r.bad > 0:
		return r.lastBad.Code, r.lastBad.Detail
	case r.unanswered() && r.connected:
		return probe.CodeHung, "connected, no answer yet"
	case r.unanswered():
		return probe.CodeWaiting, "no answer yet"
	case r.lossy():
		return probe.CodeLoss, r.lastBad.Detail
	}
	return r.code, r.detail // what it was until enough good answers have come
}

// unsettled returns how many more results like the last one would change the state, when that one
// contradicts it: they are asked for at once. 0 means that the last result agrees.
func (r *record) unsettled() int {
	switch {
	case r.bad > 0 && r.state != probe.Failing:
		return failAfter - r.bad
	case r.slow > 0 && r.state != probe.Degraded:
		return slowAfter - r.slow
	case r.good > 0 && r.state != probe.OK:
		return max(0, recoverAfter-r.good)
	}
	return 0
}

func (r *record) loss() probe.Loss { return probe.LossOf(bits.OnesCount32(r.outcomes), r.count) }

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
