package probe

import "time"

// Instant is one reading of both clocks. Mono orders and times; Wall is only compared with the
// stamps that the kernel puts on packets, which are wall-clock time.
type Instant struct {
	Mono time.Duration // since a fixed moment of this process
	Wall int64         // ns since 1970
}

// Clock reads both clocks at once.
type Clock func() Instant

// SystemClock returns the real clock (virtual inside a testing/synctest bubble).
func SystemClock() Clock {
	start := time.Now()
	return func() Instant {
		now := time.Now()
		return Instant{Mono: now.Sub(start), Wall: now.UnixNano()}
	}
}
