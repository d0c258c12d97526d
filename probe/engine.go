package probe

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// timeout is how long an answer may take.
const timeout = time.Second

// bigBody is how much every eighth tcp probe sends and reads back: more than two packets of any MTU below 4 KiB.
const bigBody = 8192

// Engine probes a list of targets within a budget and keeps what the last probes said. One
// goroutine, that of Run, does all of it; every other method may be called from any goroutine and
// waits for one tick at most, which never blocks.
type Engine struct {
	cfg     Config
	tr      Transport
	clock   Clock
	changed chan struct{}
	notes   []string
	takeFn  func(*Arrival) // e.take, made once: a method value per tick would be allocated

	mu      sync.Mutex // guards everything below
	targets []*target  // in SetTargets order
	order   []*target  // in order of phase
	byAddr  map[netip.AddrPort]*target
	periods [Kinds]time.Duration
	rounds  [Kinds]round
	pend    pendings
	spend   budget
	hot     []hotCourse
	hotNext int // where the next confirmation looks first
	search  []*target
	stats   Stats
	self    selfCheck
	rotated time.Duration // when a source port was last replaced by plan
	flow    int           // which one is next
	renewed time.Duration // when source ports were last replaced out of suspicion
	now     Instant       // start of the present tick
	dirty   bool          // something changed in this tick
	closed  bool

	out    Outgoing
	packet Packet
	buffer []byte
}

type hotCourse struct {
	t *target
	k Kind
}

// NewEngine opens the sockets. A kind that is not permitted here is switched off, which Notes tells;
// an error means that no probe at all could be sent.
func NewEngine(cfg Config) (*Engine, error) {
	cfg.Rate = cmp.Or(cfg.Rate, DefaultRate)
	if cfg.Rate < 1 {
		return nil, fmt.Errorf("probe engine: rate %d: want 1 or more probes per second", cfg.Rate)
	}
	if !cfg.IPv4 && !cfg.IPv6 {
		cfg.IPv4, cfg.IPv6 = true, true
	}
	if cfg.Keys == nil {
		cfg.Keys = NewKeys()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = SystemClock()
	}
	e := &Engine{
		cfg: cfg, tr: cfg.Transport, clock: cfg.Clock, changed: make(chan struct{}, 1),
		pend: newPendings(cfg.Rate), spend: budget{rate: cfg.Rate}, buffer: make([]byte, 1<<16),
	}
	e.takeFn = e.take
	if e.tr == nil {
		tr, err := newSockets(&cfg)
		if err != nil {
			return nil, fmt.Errorf("probe engine: %w", err)
		}
		e.tr = tr
	}
	e.notes = e.inspect()
	e.now = e.clock()
	e.self.start(e.now)
	e.rotated = e.now.Mono
	return e, nil
}

// inspect asks the transport what cannot be sent here.
func (e *Engine) inspect() (notes []string) {
	for _, family := range []struct {
		wanted bool
		addr   netip.Addr
	}{{e.cfg.IPv4, netip.IPv4Unspecified()}, {e.cfg.IPv6, netip.IPv6Unspecified()}} {
		for _, k := range AllKinds() {
			if !family.wanted || e.cfg.Off[k] {
				continue
			}
			if ok, why := e.tr.Available(k, family.addr); !ok {
				notes = append(notes, why)
			}
		}
	}
	slices.Sort(notes)
	return slices.Compact(notes)
}

// Notes says in sentences what this engine cannot do here, and why.
func (e *Engine) Notes() []string { return slices.Clone(e.notes) }

// Changed signals that a state, a code, a set of bad flows or a measured MTU changed. It holds one
// signal at most; the reader takes a Snapshot for the news.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Run probes until ctx ends, then closes the sockets and returns nil. It may be called once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.Close()
	pace := Tick
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			e.Step()
		}
		if next := e.pace(); next != pace {
			pace = next
			ticker.Reset(pace)
		}
	}
}

// pace returns how long to sleep: two ticks while nothing is in doubt. At 1,000 probes a second a
// wake-up costs as much as 25 probes, and a fault is noticed 50 ms later at most.
func (e *Engine) pace() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.self.pace = Tick
	if len(e.hot) == 0 && len(e.search) == 0 {
		e.self.pace = 2 * Tick
	}
	return e.self.pace
}

// Close frees the sockets of an engine that is not run. Run calls it itself.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		if err := e.tr.Close(); err != nil {
			e.cfg.Log.Warn("close probe sockets", "error", err)
		}
	}
}

// Snapshot appends the state of every target to dst, in the order of SetTargets.
func (e *Engine) Snapshot(dst []PathStatus) []PathStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock().Mono
	dst = slices.Grow(dst, len(e.targets))
	for _, t := range e.targets {
		path := PathStatus{Target: t.Target}
		for _, k := range AllKinds() {
			path.Probes[k] = t.status(k, now)
		}
		dst = append(dst, path)
	}
	return dst
}

// Doubt says whether the engine's verdicts may be its own fault.
func (e *Engine) Doubt() Doubt {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.self.doubt(e.now.Mono)
}

// Stats returns the engine's counters.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Dropped, s.MaxLag = e.self.dropped, e.self.maxLag
	return s
}

// Periods returns the regular interval of each kind for the present targets; 0 for a kind that is off.
func (e *Engine) Periods() [Kinds]time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.periods
}
