package probe

import "time"

// target is a Target with everything the engine knows about it. Guarded by Engine.mu.
type target struct {
	Target
	gone      bool   // no longer wanted; probes on their way count for nothing
	offset    uint8  // sequence q leaves by source port (q+offset) mod 16
	big       bool   // a tcp probe of 8 KiB failed: confirm with such
	peerBoot  uint64 // life of the peer that answered last
	refreshed time.Duration
	probes    [Kinds]course
	search    mtuSearch
}

// course is one kind of probing of one target.
type course struct {
	win      Window
	wire     uint32        // last sequence on the wire; search probes of the mtu kind count here and not in win
	next     time.Duration // no confirmation before
	muted    time.Duration // losses do not count before: the peer said that it holds none of our keys
	burst    uint8         // confirmations sent since the trouble began
	forced   uint8         // confirmations still wanted whatever the outcomes say
	suspects uint8         // probes on their way that are unanswered for too long
	hot      bool          // listed in Engine.hot
	off      bool          // cannot be sent here
}

// Confirmation: after the first doubt three probes one tick apart, then one each burstGap until 20
// were sent, or 36 where outcomes are mixed: that is two rounds of the 16 source ports and tells a
// dead flow from chance. Afterwards one each slowGap until the target is OK.
const (
	burstFast  = 3
	burstLen   = 20
	burstMixed = 36
	burstGap   = 200 * time.Millisecond
	mixedGap   = 150 * time.Millisecond
	slowGap    = 250 * time.Millisecond
	flowGap    = 300 * time.Millisecond // tcp and icmp: each tcp probe costs the peer a connection
	deadGap    = 500 * time.Millisecond // nothing comes back; the first answer goes over to slowGap
	deadOther  = time.Second
	gapSlack   = Tick / 5 // ticks are not exact
)

// gap returns the time from a probe just sent to the next confirmation of the same kind.
func (c *course) gap(k Kind) time.Duration {
	switch {
	case c.burst < burstFast:
		return Tick - gapSlack
	case c.burst < burstMixed && k == UDP && c.win.Mixed():
		return mixedGap - gapSlack
	case c.burst < burstLen:
		return burstGap - gapSlack
	case c.win.state == Failing && k == UDP:
		return deadGap - gapSlack
	case c.win.state == Failing:
		return deadOther - gapSlack
	case k == TCP || k == ICMP:
		return flowGap - gapSlack
	}
	return slowGap - gapSlack
}

// needs reports whether a course asks for more probes than the regular rounds send.
func (c *course) needs() bool {
	return c.forced > 0 || c.suspects > 0 || c.win.state == Degraded || c.win.state == Failing || c.win.Dirty()
}

// worth reports whether confirming kind k now can tell anything: while udp gets no answer at all the
// other kinds need not say so too.
func (t *target) worth(k Kind) bool {
	udp := &t.probes[UDP]
	return k == UDP || udp.off || udp.win.state != Failing || udp.win.Answering()
}

// flow returns the source port index of the next probe of a kind.
func (t *target) flow(seq uint32) uint8 { return uint8(seq+uint32(t.offset)) & (Flows - 1) }

// status folds everything known about one kind.
func (t *target) status(k Kind, now time.Duration) Status {
	c := &t.probes[k]
	if c.off {
		return Status{Code: CodeOff, Loss: LossUnknown, Forward: LossUnknown, Return: LossUnknown}
	}
	s := c.win.Status(now)
	switch k {
	case UDP:
		s.BadFlows = c.win.BadFlows(t.offset)
	case MTU:
		s.MaxBytes = t.search.found
		if s.State == OK {
			s.MaxBytes = t.Bytes
		}
		s.Forward, s.Return = LossUnknown, LossUnknown
	default:
		s.Forward, s.Return = LossUnknown, LossUnknown
	}
	return s
}
