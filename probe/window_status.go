package probe

import (
	"math/bits"
	"time"
)

// State returns the verdict.
func (w *Window) State() State { return w.state }

// Code returns the class behind the verdict.
func (w *Window) Code() Code { return w.code }

// Status returns what the window says at now. Loss is counted over the last 64 outcomes while all is
// well, since the first loss while the path is in trouble (over 20 at least unless it is failing),
// so that the share is that of the fault and not of the good time before it.
func (w *Window) Status(now time.Duration) Status {
	s := Status{State: w.state, Code: w.code, Loss: LossUnknown, Forward: LossUnknown, Return: LossUnknown}
	if w.state == Unknown {
		return s
	}
	s.Age = now - w.since
	span := w.span()
	done, lost := w.done&span, w.lost&span
	s.Loss = LossOf(bits.OnesCount64(lost), bits.OnesCount64(done))
	s.RTT = w.rtts.min()
	if w.state == Failing {
		return s // nothing comes back: which direction loses is for the destination to say
	}
	if judged := done & w.reported(); judged != 0 {
		arrived := judged & w.heard
		s.Forward = LossOf(bits.OnesCount64(judged&^w.heard), bits.OnesCount64(judged))
		s.Return = LossOf(bits.OnesCount64(arrived&lost), bits.OnesCount64(arrived))
	}
	return s
}

// span returns the mask of the outcomes that Status counts.
func (w *Window) span() uint64 {
	if w.first == 0 || w.state == OK {
		return ^uint64(0)
	}
	n := min(int(w.last-w.first)+1, 64)
	if w.state == Failing {
		return ^uint64(0) >> (64 - n)
	}
	seen, width := 0, 0
	for left := w.done; left != 0 && seen < verdictWindow; left &= left - 1 {
		seen++
		width = bits.TrailingZeros64(left) + 1
	}
	return ^uint64(0) >> (64 - max(n, width, 1))
}

// reported returns the mask of the sequences that the peer's reports can speak of.
func (w *Window) reported() uint64 {
	age := w.last - w.limit
	if w.limit == 0 || age >= 64 {
		return 0
	}
	return ^uint64(0) << age & (^uint64(0) >> (64 - uint(max(w.known, 1))))
}

// Dirty reports whether the last 20 outcomes hold a loss, or answers of late were slow and not yet
// enough to say so: both ask for more probes soon.
func (w *Window) Dirty() bool {
	if w.slow > 0 && w.slow < verdictWindow {
		return true
	}
	_, losses, _ := w.tail(verdictWindow)
	return losses > 0
}

// Mixed reports whether some of the last outcomes were answers and some losses: more probes tell a dead flow from chance.
func (w *Window) Mixed() bool {
	_, losses, seen := w.tail(verdictWindow)
	return losses > 1 && losses < seen
}

// Answering reports whether the newest known outcome is an answer.
func (w *Window) Answering() bool {
	return w.done != 0 && w.lost&w.done&-w.done == 0
}

// BadFlows returns the source ports that lose everything, where sequence q leaves by port (q+offset) mod 16.
func (w *Window) BadFlows(offset uint8) uint16 {
	return bits.RotateLeft16(w.bad, int(offset&(Flows-1)))
}
