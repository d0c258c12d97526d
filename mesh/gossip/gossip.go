package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"netchecker/mesh"
)

// Gossip is our membership of the mesh. Any goroutine may call any method at any time.
type Gossip struct {
	cfg      Config
	list     *memberlist.Memberlist
	keyring  *memberlist.Keyring // nil: in clear
	join     *joiner
	box      inbox
	stats    counters
	digest   atomic.Uint64
	contacts atomic.Pointer[contacts]
	changed  chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
	// joinCtx ends before ctx does: who leaves stops joining.
	joinCtx     context.Context
	cancelJoins context.CancelFunc

	selfMu  sync.Mutex // guards what we advertise
	self    mesh.Agent
	leaving bool

	keyMu  sync.Mutex // one reload at a time
	listMu sync.Mutex // memberlist panics when told to leave after its shutdown
	closed bool
}

// Start binds, advertises Self and begins to join the seeds; it does not wait for any of them. The
// caller must Close what it returns.
func Start(cfg Config) (*Gossip, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.fill()
	g := &Gossip{cfg: cfg, changed: make(chan struct{}, 1), box: inbox{wake: make(chan struct{}, 1)}}
	if cfg.KeyFile != "" {
		keys, err := readKeys(cfg.KeyFile)
		if err != nil {
			return nil, err
		}
		if g.keyring, err = newKeyring(keys); err != nil {
			return nil, fmt.Errorf("gossip key file %q: %w", cfg.KeyFile, err)
		}
	}
	seeds := make([]*seed, len(cfg.Seeds))
	for i, text := range cfg.Seeds {
		var err error
		if seeds[i], err = parseSeed(text); err != nil {
			return nil, fmt.Errorf("gossip: %w", err)
		}
	}
	transport := cfg.Transport
	if transport == nil {
		s, err := listen(cfg.Bind, &g.stats, cfg.Log)
		if err != nil {
			return nil, err
		}
		if g.cfg.Self.GossipPort == 0 {
			g.cfg.Self.GossipPort = s.port()
		}
		s.advertise = g.cfg.address()
		transport = s
	}
	g.self = g.cfg.Self
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.joinCtx, g.cancelJoins = context.WithCancel(g.ctx)
	g.join = g.newJoiner(seeds)
	if err := g.create(transport); err != nil {
		g.cancel()
		transport.Shutdown()
		return nil, err
	}
	return g, nil
}

func (c *Config) address() netip.AddrPort {
	return netip.AddrPortFrom(c.Self.Primary(), c.Self.GossipPort)
}

func (g *Gossip) newJoiner(seeds []*seed) *joiner {
	j := &joiner{
		self:     g.cfg.address(),
		exchange: g.exchange,
		contacts: g.contacts.Load,
		resolver: g.cfg.Resolver,
		stats:    &g.stats,
		jobs:     &g.work,
		seeds:    seeds,
		wake:     make(chan struct{}, 1),
		slots:    make(chan struct{}, joinsAtOnce),
		tries:    map[netip.AddrPort]*try{},
	}
	if j.resolver == nil {
		j.resolver = net.DefaultResolver
	}
	return j
}

// create starts memberlist and our own goroutines.
func (g *Gossip) create(transport memberlist.NodeAwareTransport) error {
	config := tuning(g.self.Name, g.keyring, &logWriter{log: g.cfg.Log})
	config.Transport = transport
	d := delegate{g}
	config.Delegate, config.Events, config.Conflict, config.Ping = d, d, d, d
	list, err := memberlist.Create(config)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	g.list = list
	o := newOwner(g)
	o.drain(time.Now())
	o.publish()
	g.work.Go(func() { o.run(g.ctx) })
	g.work.Go(func() { g.join.run(g.joinCtx) })
	if g.keyring != nil {
		g.work.Go(func() { g.pollKeys(g.ctx) })
	}
	return nil
}

// exchange swaps whole lists with the member at an address.
func (g *Gossip) exchange(addr netip.AddrPort) error {
	_, err := g.list.Join([]string{addr.String()})
	return err
}

// Self returns what we advertise, with the ports that were bound.
func (g *Gossip) Self() mesh.Agent {
	g.selfMu.Lock()
	defer g.selfMu.Unlock()
	return g.self
}

// meta is our member data as it stands.
func (g *Gossip) meta() []byte {
	g.selfMu.Lock()
	defer g.selfMu.Unlock()
	meta := g.self.AppendMeta(nil)
	if g.leaving {
		mesh.MarkLeaving(meta)
	}
	return meta
}

// Roster returns the agents that should exist, ourselves among them, and the servers. It never
// blocks. It follows the news within 300 ms, within 1 s at 10,000 members.
func (g *Gossip) Roster() *mesh.Roster { return g.contacts.Load().roster }

// Changed receives a token when the roster is another one than at the last token. It has room for
// one: a slow reader misses rosters but never the newest.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Hint takes in agents that a server named: who is not known is dead in the roster until gossip
// hears it, and is joined. Agents that cannot be right are counted and left out.
func (g *Gossip) Hint(agents []mesh.Agent) {
	g.box.put(event{kind: eventHint, agents: append([]mesh.Agent(nil), agents...)})
}

// Heard tells of members that gave a sign of life which was none of gossip's, such as an answer to a
// probe. Those that are dead in the roster stay so, and stay there for another Retain.
func (g *Gossip) Heard(names []string) {
	if len(names) == 0 {
		return
	}
	g.box.put(event{kind: eventHeard, names: append([]string(nil), names...)})
}

// Gone takes the dead and left agents of nodes that no longer exist out of the roster; those that
// gossip still hears go when it no longer does, within the hour.
func (g *Gossip) Gone(nodes []string) {
	g.box.put(event{kind: eventGone, nodes: append([]string(nil), nodes...)})
}

// Back takes back what Gone said of nodes: their agents are expected as any other's.
func (g *Gossip) Back(nodes []string) {
	g.box.put(event{kind: eventBack, nodes: append([]string(nil), nodes...)})
}

// UpdateSelf advertises a from now on, for instance when its zone became known. Name, key, role,
// addresses, gossip port and boot must be as before. It returns at once; members learn of it
// within seconds.
func (g *Gossip) UpdateSelf(a mesh.Agent) error {
	if err := a.Check(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	g.selfMu.Lock()
	fixed := a
	fixed.Zone, fixed.ProbePort, fixed.MTU = g.self.Zone, g.self.ProbePort, g.self.MTU
	if fixed != g.self {
		g.selfMu.Unlock()
		return fmt.Errorf("gossip: agent %q: only zone, probe port and MTU may change", a.Name)
	}
	// Memberlist forgets who left a minute after, ourselves too, and would panic.
	idle := a == g.self || g.leaving
	g.self = a
	g.selfMu.Unlock()
	if idle {
		return nil
	}
	return g.advertise(time.Nanosecond)
}

var errClosed = errors.New("gossip: closed")

// advertise sends our meta out and waits at most that long until it has been sent often enough.
func (g *Gossip) advertise(wait time.Duration) error {
	g.listMu.Lock()
	defer g.listMu.Unlock()
	if g.closed {
		return errClosed
	}
	_ = g.list.UpdateNode(wait) // its only error is the wait's end; the news goes out all the same
	return nil
}
