package probe

import (
	"math/rand/v2"
	"time"
)

// pending is one probe that has left.
type pending struct {
	t      *target
	cookie uint64
	wall   int64 // when it left, both clocks
	mono   time.Duration
	seq    uint32 // its sequence in the window, or its place in the mtu search
	size   uint16
	kind   Kind
	flow   uint8
	class  uint8 // which of suspectAfter applies
	flags  pendingFlags
}

type pendingFlags uint8

const (
	pendingDone    pendingFlags = 1 << iota // answered, failed or of no interest any more
	pendingSuspect                          // unanswered for longer than usual
	pendingSearch                           // belongs to the mtu search, not to the window
	pendingBig                              // a tcp probe of 8 KiB
)

// suspectAfter are the waits after which an unanswered probe makes its target suspect; a target's
// class is the first that is three of its usual round trips or more.
var suspectAfter = [...]time.Duration{200 * time.Millisecond, 450 * time.Millisecond, 700 * time.Millisecond}

// pendings is a ring of the probes on their way, in the order they left. All have the same time-out,
// so the oldest expires first. The low bits of a cookie are the place in the ring, the rest is random.
type pendings struct {
	slots   []pending
	head    uint64 // oldest, counted from the start
	tail    uint64 // one past the newest
	cursors [len(suspectAfter)]uint64
	random  *rand.PCG
}

func newPendings(rate int) pendings {
	size := 256
	for size < 2*rate { // time-out plus the burst of a late tick
		size *= 2
	}
	return pendings{slots: make([]pending, size), random: rand.NewPCG(rand.Uint64(), rand.Uint64())}
}

// full reports that no further probe can be kept.
func (p *pendings) full() bool { return p.tail-p.head == uint64(len(p.slots)) }

// cookie returns the cookie of the next probe.
func (p *pendings) cookie() uint64 {
	mask := uint64(len(p.slots) - 1)
	return p.random.Uint64()&^mask | p.tail&mask
}

func (p *pendings) push(probe pending) {
	p.slots[p.tail&uint64(len(p.slots)-1)] = probe
	p.tail++
}

// find returns the probe of a cookie; nil when there is none.
func (p *pendings) find(cookie uint64) *pending {
	mask := uint64(len(p.slots) - 1)
	i := p.head + (cookie-p.head)&mask
	if i >= p.tail {
		return nil
	}
	if probe := &p.slots[i&mask]; probe.cookie == cookie {
		return probe
	}
	return nil
}

// newest returns the newest unanswered probe to t on one source port that satisfies match, for errors that do not carry the cookie.
func (p *pendings) newest(match func(*pending) bool) *pending {
	for i := p.tail; i > p.head; i-- {
		probe := &p.slots[(i-1)&uint64(len(p.slots)-1)]
		if probe.flags&pendingDone == 0 && match(probe) {
			return probe
		}
	}
	return nil
}

// expire hands over every probe that left at or before the deadline and is not done, oldest first.
func (p *pendings) expire(deadline time.Duration, lost func(*pending)) {
	for p.head < p.tail {
		probe := &p.slots[p.head&uint64(len(p.slots)-1)]
		if probe.flags&pendingDone == 0 {
			if probe.mono > deadline {
				return
			}
			lost(probe)
		}
		probe.t = nil
		p.head++
	}
}

// suspects hands over every unanswered probe that is older than its class allows, once.
func (p *pendings) suspects(now time.Duration, suspect func(*pending)) {
	for class, wait := range suspectAfter {
		cursor := max(p.cursors[class], p.head)
		for ; cursor < p.tail; cursor++ {
			probe := &p.slots[cursor&uint64(len(p.slots)-1)]
			if probe.mono+wait > now {
				break
			}
			if probe.flags&pendingDone == 0 && int(probe.class) == class {
				suspect(probe)
			}
		}
		p.cursors[class] = cursor
	}
}
