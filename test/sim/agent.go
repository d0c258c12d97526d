package sim

import (
	"fmt"
	"net/netip"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
	"netchecker/probe/echo"
)

// Agent is one process: a successor in the same place is another Agent.
type Agent struct {
	Place
	cluster *Cluster
	self    mesh.Agent
	engine  *probe.Engine
	echo    *echo.Responder
	port    *port
	reg     *mesh.Registry
	roster  *mesh.Roster
	plan    *plan
	phase   int           // which steps wake it
	born    time.Duration // when it started, simulation time
	skew    time.Duration // of its wall clock

	asking      bool // false from its end or farewell on
	left        bool // it said farewell
	called      bool // gossip calls it dead
	pausedUntil time.Duration
	held        []held
	swept       time.Duration
	expired     time.Duration
	rows        sender
}

const (
	probePort    = 8095
	sweepEvery   = 250 * time.Millisecond
	expireEvery  = 5 * time.Second
	retain       = 24 * time.Hour
	leftRetain   = 2 * time.Minute
	podMTU       = 1450
	hostMTU      = 1500
	maxClockSkew = 3 * time.Second
)

func pathMTU(a, b Place) uint16 {
	if a.Network == mesh.Pod || b.Network == mesh.Pod {
		return podMTU
	}
	return hostMTU
}

// start runs a new agent in a place. It knows itself alone until news reach it.
func (c *Cluster) start(p Place, skew time.Duration) (*Agent, error) {
	c.serial++
	a := &Agent{Place: p, cluster: c, asking: true, born: c.now, skew: skew, phase: c.serial % phases,
		reg: mesh.NewRegistry(retain, leftRetain)}
	a.self = mesh.Agent{Name: fmt.Sprintf("netchecker-agent-%s-%s-%d", p.Network, nodeName(p.Node), c.serial), Key: p.Key(),
		Zone: fmt.Sprintf("zone%d", p.Zone), ProbePort: probePort, GossipPort: probePort + 1, MTU: hostMTU,
		Boot: uint64(a.instant(c.now).Wall)}
	number := p.Node
	subnet := byte(172)
	if p.Network == mesh.Pod {
		a.self.MTU, number, subnet = podMTU, c.serial, 10
	}
	a.self.IPv4 = netip.AddrFrom4([4]byte{subnet, byte(number >> 16), byte(number >> 8), byte(number)})
	if c.cfg.Dual {
		a.self.IPv6 = netip.AddrFrom16([16]byte{0xfd, subnet, 13: byte(number >> 16), 14: byte(number >> 8), 15: byte(number)})
	}
	a.port = &port{agent: a, hung: map[uint64]bool{}, loop: true}
	clock := func() probe.Instant { return a.instant(c.now) }
	a.echo = echo.NewResponder(echo.Config{Self: a.self.ID(), Boot: a.self.Boot, Keys: c.keys, Clock: clock})
	engine, err := probe.NewEngine(probe.Config{Self: a.self.ID(), Boot: a.self.Boot, Keys: c.keys, Rate: c.cfg.Rate,
		IPv4: true, IPv6: c.cfg.Dual, Transport: a.port, Clock: clock})
	if err != nil {
		return nil, err
	}
	a.engine = engine
	a.rows.next = c.now + debounce
	a.reg.Alive(a.self, c.wall())
	c.agents = append(c.agents, a)
	for f := range mesh.Family(mesh.Families) {
		if addr := a.self.Addr(f); addr.IsValid() {
			c.sites[addr] = &site{place: p, agent: a}
		}
	}
	return a, nil
}

// Name is the agent's pod name.
func (a *Agent) Name() string { return a.self.Name }

// instant is what the agent's clocks show at a moment of the simulation.
func (a *Agent) instant(at time.Duration) probe.Instant {
	return probe.Instant{Mono: at - a.born, Wall: epoch + int64(at+a.skew)}
}

// step lets the agent's goroutines run once.
func (a *Agent) step() {
	c := a.cluster
	if a.pausedUntil > c.now {
		return
	}
	a.answerHeld()
	if c.now-a.swept >= sweepEvery {
		a.swept = c.now
		a.echo.Sweep()
	}
	if !a.asking {
		return
	}
	if c.now-a.expired >= expireEvery {
		a.expired = c.now
		a.reg.Expire(c.wall())
	}
	a.adopt()
	a.engine.Step()
	a.sendRows()
}

// answerHeld answers what came while the process did not run: the kernel kept it, and its stamps say how long.
func (a *Agent) answerHeld() {
	for i := range a.held {
		h := &a.held[i]
		h.from.port.respond(a, h.packet, h.back, h.answer, a.cluster.now-h.came)
	}
	a.held = nil
}

// adopt takes the roster over if it changed.
func (a *Agent) adopt() {
	roster := a.reg.Roster()
	if roster == a.roster {
		return
	}
	a.roster = roster
	p, err := newPlan(roster, a.self)
	if err != nil {
		panic(err) // the simulation makes no roster that could be refused
	}
	a.plan = p
	a.engine.SetTargets(p.targets)
}

// Pause takes the processor away from the agent's process for d: nothing of it runs, and its kernel
// goes on receiving.
func (a *Agent) Pause(d time.Duration) { a.pausedUntil = a.cluster.now + d }

// Jump sets the agent's wall clock.
func (a *Agent) Jump(d time.Duration) {
	a.port.stamp()
	a.skew += d
}
