package probe_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
	"netchecker/probe/echo/echotest"
)

// mesh is a number of agents in virtual time, each probing all others.
type mesh struct {
	t      *testing.T
	clock  *echotest.Clock
	net    *echotest.Net
	agents []*agent
}

type agent struct {
	id     uint64
	addr   netip.AddrPort
	engine *probe.Engine
	port   *echotest.Port
	echo   *echo.Responder
	status []probe.PathStatus
}

func identity(i int) uint64 { return 0x9e3779b97f4a7c15 * uint64(i+1) }

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 8095)
}

// newMesh makes n agents; change may alter an engine's configuration.
func newMesh(t *testing.T, n int, change func(i int, c *probe.Config)) *mesh {
	t.Helper()
	m := &mesh{t: t, clock: echotest.NewClock()}
	m.net = echotest.New(m.clock.Now)
	targets := make([]probe.Target, n)
	for i := range targets {
		targets[i] = probe.Target{ID: identity(i), Addr: address(i), Bytes: 1500}
	}
	for i := range n {
		a := &agent{id: identity(i), addr: address(i), port: m.net.Port(address(i).Addr())}
		keys := probe.NewKeys([]byte("secret"))
		a.echo = echo.NewResponder(echo.Config{Self: a.id, Boot: 1, Keys: keys, Clock: m.clock.Now})
		cfg := probe.Config{Self: a.id, Boot: 1, Keys: keys, Transport: a.port, Clock: m.clock.Now}
		if change != nil {
			change(i, &cfg)
		}
		engine, err := probe.NewEngine(cfg)
		if err != nil {
			t.Fatal(err)
		}
		a.engine = engine
		engine.SetTargets(append(append([]probe.Target{}, targets[:i]...), targets[i+1:]...))
		m.net.Attach(a.addr, a.echo)
		m.agents = append(m.agents, a)
	}
	return m
}

// step lets one tick pass.
func (m *mesh) step() {
	m.clock.Advance(probe.Tick)
	for _, a := range m.agents {
		a.engine.Step()
		a.echo.Sweep()
	}
}

// run lets d pass.
func (m *mesh) run(d time.Duration) {
	for end := m.clock.Now().Mono + d; m.clock.Now().Mono < end; {
		m.step()
	}
}

// until lets time pass until done or limit, and returns how long that took.
func (m *mesh) until(limit time.Duration, what string, done func() bool) time.Duration {
	m.t.Helper()
	start := m.clock.Now().Mono
	for !done() {
		if m.clock.Now().Mono-start > limit {
			m.t.Fatalf("%s: not within %v; %s", what, limit, m.dump())
		}
		m.step()
	}
	return m.clock.Now().Mono - start
}

// path returns what agent i says of agent j.
func (m *mesh) path(i, j int) *probe.PathStatus {
	a := m.agents[i]
	a.status = a.engine.Snapshot(a.status[:0])
	for k := range a.status {
		if a.status[k].Target.ID == identity(j) {
			return &a.status[k]
		}
	}
	m.t.Fatalf("agent %d has no target %d", i, j)
	return nil
}

func (m *mesh) state(i, j int, k probe.Kind) probe.State { return m.path(i, j).Probes[k].State }

func (m *mesh) dump() string {
	var text strings.Builder
	for i, a := range m.agents {
		a.status = a.engine.Snapshot(a.status[:0])
		for _, p := range a.status {
			for k, s := range p.Probes {
				if s.State != probe.OK {
					text.WriteString(fmt.Sprintf("\n%d>%v %v %v %v %+v", i, p.Target.Addr, probe.Kind(k), s.State, s.Code, s))
				}
			}
		}
	}
	return text.String()
}

// allOK fails the test unless every probe of every path is ok.
func (m *mesh) allOK(when string) {
	m.t.Helper()
	if bad := m.dump(); bad != "" {
		m.t.Errorf("%s, not all is ok: %s", when, bad)
	}
}

func healthy(t *testing.T, n int) *mesh {
	t.Helper()
	m := newMesh(t, n, nil)
	m.run(3 * time.Second)
	m.allOK("three seconds after the start")
	return m
}

// host returns the agent number behind an address of a packet.
func host(a netip.AddrPort) int {
	b := a.Addr().As4()
	return int(b[1])<<16 | int(b[2])<<8 | int(b[3])
}

func drop(when bool) echotest.Verdict { return echotest.Verdict{Drop: when} }
