package probe

import "time"

// Loss is a share of lost probes in steps of half a percent (200 is everything), or LossUnknown.
// One byte is what a path costs in a row and in the matrix; half a percent is finer than a window
// of 20 to 64 probes can tell.
type Loss uint8

// LossUnknown says that the share cannot be known, for instance forward loss while nothing comes back.
const LossUnknown Loss = 255

// LossOf returns lost of sent, rounded to the nearest step; LossUnknown when sent is not positive.
func LossOf(lost, sent int) Loss {
	if sent <= 0 {
		return LossUnknown
	}
	return Loss((min(max(lost, 0), sent)*200 + sent/2) / sent)
}

// Ratio returns the share as 0 to 1, and false for LossUnknown.
func (l Loss) Ratio() (float64, bool) {
	if l > 200 {
		return 0, false
	}
	return float64(l) / 200, true
}

// Status is what the last probes of one kind on one path say.
type Status struct {
	State State
	Code  Code
	// Loss is the share of probes that did not come back; Forward of requests that the destination
	// did not receive; Return of answers lost on the way back. Forward and Return are LossUnknown
	// while nothing comes back: only the destination knows then.
	Loss, Forward, Return Loss
	// RTT is the smallest round trip in the window, less the time the responder held the packet; 0 when none came back.
	RTT time.Duration
	// MaxBytes is the largest IP packet known to pass (mtu only); 0 when not known.
	MaxBytes uint16
	// BadFlows has bit i set when source port i loses everything while others pass (udp only).
	BadFlows uint16
	// Age is how long State has lasted.
	Age time.Duration
}
