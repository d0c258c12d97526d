package probe

import (
	"math/bits"
	"time"
)

// Window holds the outcomes of the last 64 probes of one kind to one target, in the order they were
// sent, and judges them. It is pure: time comes in as an argument, a monotonic reading.
type Window struct {
	last  uint32 // sequence of the newest probe, from 1; bit i of the sets below is sequence last-i
	first uint32 // sequence of the first loss of the present trouble; 0 when there is none
	done  uint64 // outcome known
	lost  uint64 // outcome is a loss; subset of done
	heard uint64 // the peer received it
	limit uint32 // highest sequence that the peer's reports speak of
	known uint8  // how many of the newest sequences the peer's present life can speak of

	state     State
	code      Code
	lossCode  Code  // class of the last losses
	lossAge   uint8 // losses since lossCode was seen
	slow      uint8 // slow answers in a row
	brisk     uint8 // answers in a row that were not slow
	relapses  uint8 // doubles what counts as clean
	since     time.Duration
	healed    time.Duration // when the state last became OK after trouble
	bad       uint16        // slots (sequence mod 16) that lose everything, see BadFlows
	rtts      minimum
	baselines minimum
	epoch     time.Duration // when baselines last turned
}

const (
	// verdictWindow is over how many of the newest outcomes loss is judged.
	verdictWindow = 20
	// goodRun is how many answers in a row precede OK.
	goodRun = 5
	// baselineAge is how long a baseline is kept at least: a faster path of yesterday is no reason for alarm today.
	baselineAge = 12 * time.Hour
	// slowFactor and slowExtra bound a round trip: 5 × baseline + 20 ms.
	slowFactor, slowExtra = 5, 20 * time.Millisecond
	// flapTime is how soon after OK a new fault counts as a relapse.
	flapTime = time.Minute
	// cleanMax bounds how many clean outcomes a flapping path needs: 28 take 7 s, so that a fault that
	// comes twice within a minute is gone 10 s after its second repair, too.
	cleanMax = 28
)

// NewWindow returns a window whose first probe has the sequence after base.
func NewWindow(base uint32) Window { return Window{last: base, limit: base} }

// Next returns the sequence that the next probe will have.
func (w *Window) Next() uint32 { return w.last + 1 }

// Send enters the next probe and returns its sequence.
func (w *Window) Send() uint32 {
	w.last++
	w.done, w.lost, w.heard = w.done<<1, w.lost<<1, w.heard<<1
	w.known = min(w.known+1, 64)
	return w.last
}

// Good enters an answer to sequence seq; rtt is 0 where it could not be measured.
func (w *Window) Good(seq uint32, rtt, now time.Duration) {
	bit, ok := w.bit(seq)
	if !ok {
		return
	}
	w.done |= bit
	w.lost &^= bit
	w.heard |= bit
	if rtt > 0 {
		w.measure(rtt, now)
	}
	w.judge(now)
}

// Lost enters a loss of sequence seq.
func (w *Window) Lost(seq uint32, code Code, now time.Duration) {
	bit, ok := w.bit(seq)
	if !ok {
		return
	}
	w.done |= bit
	w.lost |= bit
	if w.first == 0 {
		w.first = seq
	}
	// A time-out says less than an error does, and errors come for some of the lost probes only
	// (the kernel reports a failed ARP once in three seconds): one stays said for 16 losses.
	w.lossAge++
	if code != CodeTimeout || w.lossCode == CodeNone || w.lossAge > 16 {
		w.lossCode, w.lossAge = code, 0
	}
	w.judge(now)
}

// Heard enters the peer's report of what it received: bit i of received is sequence highest-i.
func (w *Window) Heard(highest uint32, received uint64) {
	shift := w.last - highest
	if highest > w.last || shift >= 64 {
		return
	}
	w.heard |= received << shift
	w.limit = max(w.limit, highest)
}

// PeerRestarted says that the peer lost its memory: what it does not know of earlier sequences proves nothing.
func (w *Window) PeerRestarted() { w.known = 1 }

// Forget drops the outcomes of one slot (sequence mod 16), whose source port is being replaced.
func (w *Window) Forget(slot uint32) {
	mask := uint64(0x0001_0001_0001_0001) << ((w.last - slot) & (Flows - 1))
	w.done &^= mask
	w.lost &^= mask
}

// Mismatch says that the peer holds none of our keys: nothing is known of the path.
func (w *Window) Mismatch(now time.Duration) {
	w.done, w.lost, w.first, w.bad, w.slow = 0, 0, 0, 0, 0
	w.lossCode = CodeNone
	w.set(Unknown, CodeKeyMismatch, now)
}

// bit returns the place of seq in the sets; false when it is too old.
func (w *Window) bit(seq uint32) (uint64, bool) {
	age := w.last - seq
	return 1 << (age & 63), age < 64
}

func (w *Window) measure(rtt, now time.Duration) {
	if now-w.epoch > baselineAge {
		w.baselines.turn()
		w.epoch = now
	}
	if base := w.Baseline(); base > 0 && rtt > slowFactor*base+slowExtra {
		w.slow, w.brisk = min(w.slow+1, 250), 0
	} else {
		w.slow, w.brisk = 0, min(w.brisk+1, 250)
	}
	w.rtts.add(rtt)
	if w.rtts.count >= verdictWindow/2 {
		w.rtts.turn()
	}
	w.baselines.add(rtt)
}

// Baseline returns the smallest round trip of the last 12 to 24 hours; 0 when none was measured.
func (w *Window) Baseline() time.Duration { return w.baselines.min() }

// judge draws the state from the outcomes.
func (w *Window) judge(now time.Duration) {
	w.bad = BadFlows(w.done, w.lost, w.last)
	run, losses, seen := w.tail(verdictWindow)
	switch {
	case run > 0 && (w.state == Failing || run >= w.failRun(run)):
		w.set(Failing, w.lossCode, now)
	case losses >= 2 && seen >= verdictWindow, w.bad != 0:
		w.set(Degraded, w.partialCode(), now)
	case w.slow >= verdictWindow:
		w.set(Degraded, CodeSlow, now)
	case w.state == Failing:
		w.set(Degraded, w.partialCode(), now)
	case w.state == Unknown && run == 0:
		w.set(OK, CodeNone, now)
	case w.state == Degraded && w.clean():
		w.first, w.healed = 0, now
		w.lossCode = CodeNone // the next trouble is another one
		w.set(OK, CodeNone, now)
	case w.state == OK && losses == 0:
		w.first = 0
	}
}

// tail returns how many of the newest known outcomes are losses in a row, and how many of the newest n are losses.
func (w *Window) tail(n int) (run, losses, seen int) {
	if w.lost == 0 {
		return 0, 0, min(bits.OnesCount64(w.done), n)
	}
	unbroken := true
	for left := w.done; left != 0 && seen < n; left &= left - 1 {
		seen++
		if w.lost&left&-left == 0 {
			unbroken = false
			continue
		}
		losses++
		if unbroken {
			run++
		}
	}
	return run, losses, seen
}

// failRun is how many losses in a row make a path failing: the first one and the burst of three that
// follows it, all of them, where the trouble has just begun. Where it began with partial loss, chance
// alone makes such runs, and the run must be so long that it would do so once in 500 times or less.
func (w *Window) failRun(run int) int {
	before, losses := 0, 0
	recent := ^uint64(0) >> (64 - min(w.last-w.first+1, 64))
	for left := w.done & recent; left != 0 && before < 32+run; left &= left - 1 {
		before++
		if before > run && w.lost&left&-left != 0 {
			losses++
		}
	}
	before -= run
	switch {
	case losses < 2 || losses*5 < before:
		return 4
	case losses*10 < before*3:
		return 6
	case losses*20 < before*9:
		return 8
	case losses*10 < before*6:
		return 10
	}
	return 12
}

// partialCode is the class that a partly lossy path shows: a time-out there is simply loss.
func (w *Window) partialCode() Code {
	if w.lossCode == CodeTimeout || w.lossCode == CodeNone {
		return CodeLoss
	}
	return w.lossCode
}

// clean reports whether a degraded path may be called OK: five good in a row, no loss in the last 20
// outcomes (28 after a relapse), and as many brisk answers where it had been slow.
func (w *Window) clean() bool {
	need := min(verdictWindow<<w.relapses, cleanMax)
	_, losses, seen := w.tail(need)
	return losses == 0 && seen >= need && (w.brisk >= goodRun || w.code != CodeSlow)
}

func (w *Window) set(s State, c Code, now time.Duration) {
	if s != w.state {
		if w.state == OK {
			w.relapses = 0
			if w.healed > 0 && now-w.healed < flapTime {
				w.relapses = 1
			}
		}
		w.state, w.since = s, now
	}
	w.code = c
}
