package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"netchecker/mesh"
)

// memnet is a network in memory, for bubbles of synctest: memberlist's own mock sends on channels
// without room and never returns once a receiver stopped.
type memnet struct {
	mu    sync.Mutex
	ends  map[netip.AddrPort]*memEnd
	cut   func(from, to netip.AddrPort) bool // nil: nothing is cut
	drop  func(from, to netip.AddrPort) bool // packets only; streams pass
	names map[string][]netip.Addr            // what lookups answer
}

func newMemnet() *memnet {
	return &memnet{ends: map[netip.AddrPort]*memEnd{}, names: map[string][]netip.Addr{}}
}

func (n *memnet) setCut(cut func(from, to netip.AddrPort) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

func (n *memnet) setDrop(drop func(from, to netip.AddrPort) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop = drop
}

func (n *memnet) setName(name string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = addrs
}

func (n *memnet) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addrs := n.names[host]; len(addrs) > 0 {
		return addrs, nil
	}
	return nil, errors.New("no such host")
}

func (n *memnet) find(from, to netip.AddrPort) *memEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut != nil && n.cut(from, to) {
		return nil
	}
	return n.ends[to]
}

// memEnd is one member's memberlist.NodeAwareTransport.
type memEnd struct {
	net     *memnet
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	largest int // packet sent, guarded by net.mu
}

func (n *memnet) end(addr netip.AddrPort) *memEnd {
	e := &memEnd{net: n, addr: addr, packets: make(chan *memberlist.Packet, 4096),
		streams: make(chan net.Conn, 64), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ends[addr] = e
	return e
}

func (e *memEnd) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP(e.addr.Addr().AsSlice()), int(e.addr.Port()), nil
}

func (e *memEnd) WriteTo(b []byte, addr string) (time.Time, error) {
	to := netip.MustParseAddrPort(addr)
	e.net.mu.Lock()
	e.largest = max(e.largest, len(b))
	dropped := e.net.drop != nil && e.net.drop(e.addr, to)
	e.net.mu.Unlock()
	if dropped {
		return time.Now(), nil
	}
	if peer := e.net.find(e.addr, to); peer != nil {
		p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(e.addr), Timestamp: time.Now()}
		select {
		case peer.packets <- p:
		default:
		}
	}
	return time.Now(), nil
}

func (e *memEnd) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return e.WriteTo(b, a.Addr)
}

func (e *memEnd) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to := netip.MustParseAddrPort(addr)
	peer := e.net.find(e.addr, to)
	if peer == nil || e.net.find(to, e.addr) == nil {
		select {
		case <-time.After(min(timeout, dialMost)):
		case <-e.done:
		}
		return nil, fmt.Errorf("dial %s: timeout", addr)
	}
	here, there := net.Pipe()
	select {
	case peer.streams <- memConn{there, e.addr}:
		return memConn{here, to}, nil
	case <-peer.done:
		return nil, fmt.Errorf("dial %s: refused", addr)
	}
}

func (e *memEnd) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return e.DialTimeout(a.Addr, timeout)
}

func (e *memEnd) PacketCh() <-chan *memberlist.Packet { return e.packets }
func (e *memEnd) StreamCh() <-chan net.Conn           { return e.streams }

func (e *memEnd) Shutdown() error {
	e.once.Do(func() {
		close(e.done)
		e.net.mu.Lock()
		defer e.net.mu.Unlock()
		if e.net.ends[e.addr] == e {
			delete(e.net.ends, e.addr)
		}
	})
	return nil
}

type memConn struct {
	net.Conn
	remote netip.AddrPort
}

func (c memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// agent i of a test's mesh: node-i, pod network, 10.0.x.y.
func testAgent(i int) mesh.Agent {
	return mesh.Agent{
		Name: fmt.Sprintf("agent-%d", i),
		Key:  mesh.Key{Node: fmt.Sprintf("node-%d", i), Network: mesh.Pod},
		Zone: "zone-a", IPv4: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
		ProbePort: 8095, GossipPort: DefaultPort, MTU: 1450, Boot: uint64(1e18) + uint64(i),
	}
}

func (n *memnet) config(a mesh.Agent, seeds ...string) Config {
	return Config{Self: a, Seeds: seeds, Resolver: n,
		Transport: n.end(netip.AddrPortFrom(a.Primary(), a.GossipPort))}
}

func seedOf(a mesh.Agent) string { return netip.AddrPortFrom(a.Primary(), a.GossipPort).String() }

// start starts a member and closes it when the test ends, then lets a bubble's clock run until
// memberlist's pings in flight have given up.
func start(t *testing.T, cfg Config) *Gossip {
	t.Helper()
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// within polls until what is true, for at most limit, and returns how long it took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(begin)
}

// lives counts the agents of a roster by life.
func lives(r *mesh.Roster) (alive, dead, left int) {
	for _, m := range r.Agents {
		switch m.Life {
		case mesh.Alive:
			alive++
		case mesh.Dead:
			dead++
		case mesh.Left:
			left++
		}
	}
	return
}

// whole reports whether every member sees exactly n agents, all alive.
func whole(members []*Gossip, n int) bool {
	for _, g := range members {
		if r := g.Roster(); len(r.Agents) != n {
			return false
		}
	}
	for _, g := range members {
		r := g.Roster()
		if alive, _, _ := lives(r); alive != n {
			return false
		}
	}
	return true
}

func life(g *Gossip, a mesh.Agent) string {
	m, ok := g.Roster().Find(a.Key)
	if !ok {
		return "absent"
	}
	return m.Name + " " + m.Life.String()
}
