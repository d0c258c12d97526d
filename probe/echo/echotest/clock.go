package echotest

import (
	"sync"
	"time"

	"netchecker/probe"
)

// Clock is a clock that a test turns by hand. Its wall clock can be set apart from the monotonic one.
type Clock struct {
	mu  sync.Mutex
	now probe.Instant
}

// NewClock returns a clock at some moment of 2026.
func NewClock() *Clock { return &Clock{now: probe.Instant{Wall: 1_790_000_000e9}} }

// Now is the probe.Clock.
func (c *Clock) Now() probe.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance lets time pass.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Mono += d
	c.now.Wall += int64(d)
}

// Set jumps the wall clock alone, as an operator or NTP does.
func (c *Clock) Set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall += int64(d)
}
