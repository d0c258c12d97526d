package gossip

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"netchecker/mesh"
)

const (
	expireEvery = 5 * time.Second
	// A roster follows the first news at once, and more of it at a pace: in a start of 300 members
	// at once, 20 rosters a second were 15 % of all CPU.
	publishAfter  = 20 * time.Millisecond
	publishPause  = 250 * time.Millisecond
	publishMember = 50 * time.Microsecond
	// goneRemember is how long Gone holds for agents that gossip still heard when it was said.
	goneRemember = time.Hour
)

// peer is a live member of the gossip, also one whose meta we cannot read.
type peer struct {
	addr netip.AddrPort
	hash uint64
}

// contacts is what the joiner needs of a roster; immutable like it.
type contacts struct {
	roster  *mesh.Roster
	alive   map[netip.AddrPort]bool // gossip addresses of live members, without ourselves
	dead    []netip.AddrPort        // those of dead ones
	members int                     // live members with ourselves
	unread  int                     // live members whose meta cannot be read
}

// owner owns the registry: one goroutine, so the registry needs no lock.
type owner struct {
	g      *Gossip
	reg    *mesh.Registry
	peers  map[string]peer
	unread map[string]bool
	gone   map[string]time.Time // nodes, and when they were said to be gone
	fix    repairer
	due    bool // something may have changed since the last publish
	last   time.Time
}

func newOwner(g *Gossip) *owner {
	return &owner{
		g:      g,
		reg:    mesh.NewRegistry(g.cfg.Retain, g.cfg.LeftRetain),
		peers:  map[string]peer{},
		unread: map[string]bool{},
		gone:   map[string]time.Time{},
	}
}

// run takes news until ctx ends.
func (o *owner) run(ctx context.Context) {
	expire := time.NewTicker(expireEvery)
	defer expire.Stop()
	publish := time.NewTimer(0)
	defer publish.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.g.box.wake:
			pending := o.due
			o.drain(time.Now())
			if o.due && !pending {
				publish.Reset(max(publishAfter, time.Until(o.last.Add(publishPause+time.Duration(len(o.peers))*publishMember))))
			}
		case <-publish.C:
			o.publish()
		case now := <-expire.C:
			o.expire(now)
			o.publish()
		}
	}
}

func (o *owner) drain(now time.Time) {
	for _, e := range o.g.box.take() {
		switch e.kind {
		case eventAlive:
			o.alive(e, now)
		case eventDown:
			o.down(e.name, now)
		case eventConflict:
			o.conflict(e, now)
		case eventDigest:
			if o.fix.differs(e.digest, len(o.peers), now) {
				o.g.stats.repairs.Add(1)
				o.g.join.repair(o.g.joinCtx, e.addr)
			}
			continue
		case eventHint:
			o.hint(e.agents, now)
		case eventGone:
			for _, node := range e.nodes {
				o.gone[node] = now
				o.reg.Gone(node, now)
			}
		case eventBack:
			for _, node := range e.nodes {
				delete(o.gone, node)
			}
		case eventHeard:
			for _, name := range e.names {
				o.reg.Heard(name, now)
			}
			continue
		}
		o.due = true
	}
	o.g.digest.Store(o.fix.own)
}

func (o *owner) alive(e event, now time.Time) {
	hash := memberHash(e.name, e.meta)
	o.fix.toggle(o.peers[e.name].hash^hash, now)
	o.peers[e.name] = peer{addr: e.addr, hash: hash}
	a, err := mesh.ParseMeta(e.name, e.meta)
	if err != nil {
		o.g.stats.badMeta.Add(1)
		if !o.unread[e.name] {
			o.g.cfg.Log.Warn("member left out of the roster", slog.String("member", e.name),
				slog.String("address", e.addr.String()), slog.Any("error", err))
		}
		o.unread[e.name] = true
		return
	}
	delete(o.unread, e.name)
	o.reg.Alive(a, now)
	if mesh.MetaLeaving(e.meta) {
		o.reg.Left(a.Name, now)
		return
	}
	if a.Role == mesh.RoleAgent {
		delete(o.gone, a.Node)
	}
}

func (o *owner) down(name string, now time.Time) {
	if p, known := o.peers[name]; known {
		o.fix.toggle(p.hash, now)
		delete(o.peers, name)
	}
	delete(o.unread, name)
	o.reg.Dead(name, now)
}

// conflict takes a member that came back with its old name and another address. Memberlist holds
// on to the old address until it is dead; targets should follow at once.
func (o *owner) conflict(e event, now time.Time) {
	o.g.stats.conflicts.Add(1)
	a, err := mesh.ParseMeta(e.name, e.meta)
	if err != nil || a.Name == o.g.cfg.Self.Name {
		return
	}
	if old, known := o.reg.Member(e.name); known && a.Boot > old.Boot {
		o.reg.Alive(a, now)
	}
}

func (o *owner) hint(agents []mesh.Agent, now time.Time) {
	for _, a := range agents {
		if a.Check() != nil {
			o.g.stats.badHints.Add(1)
			continue
		}
		if a.Name != o.g.cfg.Self.Name {
			o.reg.Hint(a, now)
		}
	}
}

func (o *owner) expire(now time.Time) {
	for node, said := range o.gone {
		if now.Sub(said) > goneRemember {
			delete(o.gone, node)
			continue
		}
		o.reg.Gone(node, now)
	}
	o.reg.Expire(now)
	o.due = true
}

func (o *owner) publish() {
	o.due, o.last = false, time.Now()
	roster := o.reg.Roster()
	old := o.g.contacts.Load()
	if old != nil && old.roster == roster && old.members == len(o.peers) && old.unread == len(o.unread) {
		return
	}
	c := &contacts{roster: roster, alive: make(map[netip.AddrPort]bool, len(o.peers)), unread: len(o.unread)}
	for name, p := range o.peers {
		if name != o.g.cfg.Self.Name {
			c.alive[p.addr] = true
		}
	}
	for _, list := range [][]mesh.Member{roster.Agents, roster.Servers} {
		for _, m := range list {
			if m.Life == mesh.Dead && m.GossipPort != 0 {
				c.dead = append(c.dead, netip.AddrPortFrom(m.Primary(), m.GossipPort))
			}
			if m.Life == mesh.Alive && m.IPv6.IsValid() && m.Name != o.g.cfg.Self.Name {
				c.alive[netip.AddrPortFrom(m.IPv6, m.GossipPort)] = true
			}
		}
	}
	c.members = len(o.peers)
	o.g.contacts.Store(c)
	if old == nil || old.roster != roster {
		poke(o.g.changed)
	}
}
