package echo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"netchecker/probe"
)

// Config says how an Echo works. The zero value of every field but Self, Boot and Port is usable.
type Config struct {
	Self uint64      // identity of this agent, the same as its engine's
	Boot uint64      // its start, the same as its engine's
	Keys *probe.Keys // nil: the public key

	Port       uint16 // UDP port to answer on; 0 picks one, see Echo.Port
	IPv4, IPv6 bool   // families to listen on; both when neither is set
	// Local4 and Local6 are the addresses to listen on; the zero Addr means all of them.
	Local4, Local6 netip.Addr

	// Any answers as whoever is asked for, each with a table row of its own: for load tests, where one
	// process stands for thousands of agents.
	Any bool
	// PerSource and Total limit answers per second, to one source address (0: 400) and in all (0: 40,000).
	PerSource, Total int
	// Senders bounds the table of who was heard (0: 20,000 rows); the least recent goes first.
	Senders int
	Log     *slog.Logger // nil: silent
	Clock   probe.Clock  // nil: the real one
}

func (c *Config) fill() {
	c.PerSource = cmp.Or(c.PerSource, 400)
	c.Total = cmp.Or(c.Total, 40_000)
	c.Senders = cmp.Or(c.Senders, 20_000)
	if c.Keys == nil {
		c.Keys = probe.NewKeys()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = probe.SystemClock()
	}
	if !c.IPv4 && !c.IPv6 {
		c.IPv4, c.IPv6 = true, true
	}
}

// Stats counts what a Responder did since it was made.
type Stats struct {
	Answered uint64 // requests answered
	Notices  uint64 // requests under a key we do not hold that were told so
	Limited  uint64 // valid requests left unanswered because of a rate limit
	Replayed uint64 // requests that had been here before
	Bad      uint64 // everything else: garbage, wrong tags, unknown keys beyond the limit
	Dropped  uint64 // packets lost in our own full receive buffers
}

// Echo is a Responder on sockets.
type Echo struct {
	*Responder
	listeners []*listener
	port      uint16
}

// New opens the sockets. A family that the kernel does not have is left out unless it was asked for by name.
func New(cfg Config) (*Echo, error) {
	asked := cfg.IPv4 || cfg.IPv6
	e := &Echo{Responder: NewResponder(cfg), port: cfg.Port}
	var problems []error
	for i, wanted := range [...]bool{e.cfg.IPv4, e.cfg.IPv6} {
		if !wanted {
			continue
		}
		local := [...]netip.Addr{cfg.Local4, cfg.Local6}[i]
		l, err := listen(e.Responder, i == 1, local, e.port)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		e.listeners = append(e.listeners, l)
		e.port = l.port
	}
	if len(problems) > 0 && (asked || len(e.listeners) == 0) {
		e.Close()
		return nil, fmt.Errorf("probe echo: %w", errors.Join(problems...))
	}
	return e, nil
}

// Port returns the UDP port that the echo answers on.
func (e *Echo) Port() uint16 { return e.port }

// Run answers until ctx ends, then closes the sockets and returns nil. It may be called once.
func (e *Echo) Run(ctx context.Context) error {
	defer e.Close()
	var wg sync.WaitGroup
	for _, l := range e.listeners {
		wg.Go(func() { l.run(ctx) })
	}
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case <-ticker.C:
			e.Sweep()
		}
	}
}

// Close frees the sockets of an echo that is not run. Run calls it itself.
func (e *Echo) Close() {
	for _, l := range e.listeners {
		l.close()
	}
	e.listeners = nil
}
