package probe

import "time"

const (
	// lagLimit is how late a tick may be before the engine doubts itself.
	lagLimit = 500 * time.Millisecond
	// lateLimit is how late a tick may be before a tcp probe's time-out says nothing: its time passed while we slept.
	lateLimit = 4 * Tick
	// doubtTime is how long a doubt lasts after its cause was seen.
	doubtTime = 10 * time.Second
	// stepLimit is how far the two clocks may part within one tick. Slewing moves both alike, so
	// that anything more is a step of the wall clock (or a preemption between the two readings).
	stepLimit = int64(500 * time.Microsecond)
)

// selfCheck remembers the engine's own trouble.
type selfCheck struct {
	last     Instant
	pace     time.Duration // how long the engine meant to sleep
	stepped  time.Duration // when the wall clock was last seen to have been set
	late     time.Duration // when a tick was last late enough to be unfair to probes that need several
	lagged   time.Duration // until when lag is a reason for doubt
	dropping time.Duration // until when drops are
	asked    time.Duration // when the transport's health was last looked at
	dropped  uint64
	maxLag   time.Duration
	deaf     int // checks in a row without loopback
}

func (s *selfCheck) start(now Instant) { s.last, s.stepped, s.late, s.pace = now, -1, -1, Tick }

// tick notes how late this tick is and whether the wall clock was set since the last.
func (s *selfCheck) tick(now Instant) {
	elapsed := now.Mono - s.last.Mono
	lag := elapsed - s.pace
	s.maxLag = max(s.maxLag, lag)
	if lag > lateLimit {
		s.late = now.Mono
	}
	if lag > lagLimit {
		s.lagged = now.Mono + doubtTime
	}
	if drift := now.Wall - s.last.Wall - int64(elapsed); drift > stepLimit || drift < -stepLimit {
		s.stepped = now.Mono
	}
	s.last = now
}

// check looks at the transport's health once a second.
func (s *selfCheck) check(now time.Duration, health func() Health) {
	if now-s.asked < time.Second {
		return
	}
	s.asked = now
	h := health()
	if h.Dropped > s.dropped {
		s.dropping = now + doubtTime
	}
	s.dropped = h.Dropped
	s.deaf++
	if h.Loopback {
		s.deaf = 0
	}
}

func (s *selfCheck) doubt(now time.Duration) (d Doubt) {
	if s.deaf >= 3 {
		d |= DoubtLoopback
	}
	if now < s.lagged {
		d |= DoubtLag
	}
	if now < s.dropping {
		d |= DoubtDrops
	}
	return d
}
