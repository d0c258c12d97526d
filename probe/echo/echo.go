package echo

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"netchecker/probe"
)

// Config says how an Echo works. The zero value of every field but Self, Boot and Port is usable.
type Config struct {
	Self uint64 // identity of this agent, the same as its engine's
	Boot uint64 // its start, the same as its engine's
	Keys *probe.Keys

	Port       uint16 // UDP port to answer on; 0 picks one, see Ports
	IPv4, IPv6 bool   // families to listen on; both when neither is set
	// Local4 and Local6 are the addresses to listen on; the zero Addr means all of them.
	Local4, Local6 netip.Addr

	// PerSource and Total limit answers per second to one source address (0: 400) and in all (0: 40,000).
	PerSource, Total int
	// Senders bounds the table of who was heard (0: 20,000); the least recent goes first.
	Senders int
	Log     *slog.Logger // nil: silent
	Clock   probe.Clock  // nil: the real one
}

// Echo answers probes.
type Echo struct{ changed chan struct{} }

// New opens the sockets.
func New(cfg Config) (*Echo, error) { return &Echo{changed: make(chan struct{}, 1)}, nil }

// Run answers until ctx ends.
func (e *Echo) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Handler answers the tcp probe, POST /probe.
func (e *Echo) Handler() http.Handler { return http.NotFoundHandler() }

// Heard appends what was heard of every sender to dst.
func (e *Echo) Heard(dst []probe.Heard) []probe.Heard { return dst }

// Changed signals that a sender fell silent, came back or became lossy.
func (e *Echo) Changed() <-chan struct{} { return e.changed }

// Ports returns the UDP port that the echo answers on.
func (e *Echo) Port() uint16 { return 0 }
