package service

import "time"

const (
	// overdue is when a probe without an answer is doubted: its target is probed again at once,
	// without waiting for the time-out.
	overdue = 300 * time.Millisecond
	// burstGap parts the probes that confirm a doubt.
	burstGap = 100 * time.Millisecond
	// alarmAfter is how old the last probe of a target must be for the doubt of another to have it
	// probed besides.
	alarmAfter = time.Second
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
	inFlight int
	doubtAt  time.Time // when the regular probe under way becomes overdue; zero when that does not matter
	last     time.Time // when the last probe was sent
	alarmed  bool      // a first doubt that the others have not been told of
}

// confirms reports whether a confirmation is due.
func (t *target) confirms(now time.Time) bool { return t.burst > 0 && !t.burstAt.After(now) }

// due reports whether a probe is to be sent now.
func (t *target) due(now time.Time) bool {
	if !t.doubtAt.IsZero() && !t.doubtAt.After(now) {
		t.doubtAt = time.Time{}
		t.confirm(failAfter, now) // the overdue one is the first of them
		t.alarmed = true
	}
	return t.inFlight < maxInFlight && (t.confirms(now) || !t.next.After(now))
}

// confirm asks for n results at once, of which those under way are a part; 0 calls off what is
// not yet sent.
func (t *target) confirm(n int, now time.Time) {
	if n == 0 {
		t.burst = 0
	} else if missing := n - t.inFlight; missing > t.burst {
		if t.burst == 0 {
			t.burstAt = now
		}
		t.burst = missing
	}
}

// started notes that a probe was sent.
func (t *target) started(now time.Time, regular bool, interval time.Duration) {
	t.inFlight++
	t.last = now
	if !regular {
		t.burst--
		t.burstAt = now.Add(burstGap)
		return
	}
	if behind := now.Sub(t.next); behind >= interval { // we slept: what was missed is not made up for
		t.next = t.next.Add(behind / interval * interval)
	}
	t.next = t.next.Add(interval)
	if t.bad < failAfter {
		t.doubtAt = now.Add(overdue)
	}
}

// ended notes that a probe is over.
func (t *target) ended(regular bool) {
	t.inFlight--
	if regular {
		t.doubtAt = time.Time{}
	}
}

// earliest returns wake, or the moment before it at which this target has something to do.
func (t *target) earliest(wake time.Time) time.Time {
	times := [...]struct {
		at  time.Time
		may bool
	}{
		{t.doubtAt, !t.doubtAt.IsZero()},
		{t.burstAt, t.burst > 0 && t.inFlight < maxInFlight},
		{t.next, t.inFlight < maxInFlight},
	}
	for _, x := range times {
		if x.may && x.at.Before(wake) {
			wake = x.at
		}
	}
	return wake
}
