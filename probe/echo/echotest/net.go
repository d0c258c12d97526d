// Package echotest is a network in memory: engines and responders of many agents in one process,
// in whatever time the test keeps. It opens no socket and starts no goroutine.
package echotest

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
)

// Packet is one packet on its way, as a Rule sees it.
type Packet struct {
	From, To netip.AddrPort // a reply travels from the destination to the source
	Kind     probe.Kind
	Flow     int // source port index of the probe; of tcp a number that is new for each
	Size     int // IP packet in bytes; of tcp the largest that it needs, 1500 with 8 KiB of data
	Reply    bool
	Open     bool // tcp: the handshake alone
}

// Verdict is what becomes of a packet.
type Verdict struct {
	Drop    bool
	Code    probe.Code    // with Drop: the error that the sender gets at once instead of silence
	NextHop uint16        // with CodeTooBig: the MTU that it names
	Delay   time.Duration // one way
}

// Net delivers packets according to a rule. Its methods may be called from any goroutine.
type Net struct {
	mu    sync.Mutex
	rule  func(Packet) Verdict
	hosts map[netip.AddrPort]*echo.Responder
	clock probe.Clock
	count int
}

// New returns a network in which every packet arrives after 100 µs.
func New(clock probe.Clock) *Net {
	return &Net{clock: clock, hosts: make(map[netip.AddrPort]*echo.Responder)}
}

// Attach puts a responder at an address; nil takes the address away, and what is sent there is refused.
func (n *Net) Attach(addr netip.AddrPort, r *echo.Responder) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = r
}

// Rule replaces the rule; nil means that everything passes. It must be pure or guard itself, and not call the Net.
func (n *Net) Rule(rule func(Packet) Verdict) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rule = rule
}

// Port returns the transport of an agent whose probes come from addr.
func (n *Net) Port(addr netip.Addr) *Port { return &Port{net: n, addr: addr} }

func (n *Net) judge(p Packet) Verdict {
	v := Verdict{}
	if n.rule != nil {
		v = n.rule(p)
	}
	if v.Delay == 0 {
		v.Delay = 100 * time.Microsecond
	}
	return v
}

// Port is the probe.Transport of one agent on a Net.
type Port struct {
	net    *Net
	addr   netip.Addr
	base   [probe.Flows]int // how often each source port was replaced, in steps of 16
	queue  []arrival
	hung   map[uint64]bool
	Deaf   bool   // the loopback check fails
	Drops  uint64 // packets lost in full receive buffers
	closed bool
}

type arrival struct {
	due time.Duration
	probe.Arrival
}

var _ probe.Transport = (*Port)(nil)

// Available implements probe.Transport: everything is.
func (p *Port) Available(probe.Kind, netip.Addr) (bool, string) { return true, "" }

// Send implements probe.Transport. The destination's responder answers at once; the answer waits here for its time.
func (p *Port) Send(out *probe.Outgoing) error {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.clock()
	n.count++
	flow := p.base[out.Flow] + int(out.Flow)
	if out.Kind == probe.TCP {
		flow = 1<<20 + n.count
	}
	size := len(out.Packet) + probe.Headers(out.To.Addr())
	there := Packet{From: netip.AddrPortFrom(p.addr, uint16(flow)), To: out.To, Kind: out.Kind, Flow: flow, Size: min(size, 1500)}
	if out.Kind != probe.TCP {
		there.Size = size
	}
	if out.Kind == probe.TCP && !p.open(there, out, now) {
		return nil
	}
	v := n.judge(there)
	if v.Drop {
		p.fail(v, out, now)
		return nil
	}
	host := n.hosts[out.To]
	if host == nil && out.Kind != probe.ICMP {
		p.fail(Verdict{Code: probe.CodeRefused, Delay: v.Delay}, out, now)
		return nil
	}
	back := Packet{From: out.To, To: there.From, Kind: out.Kind, Flow: flow, Size: there.Size, Reply: true}
	if out.Kind == probe.MTU {
		back.Size = probe.PacketSize + probe.Headers(out.To.Addr())
	}
	p.answer(out, host, v, n.judge(back), now)
	return nil
}

// open does the handshake of a tcp probe and reports whether it succeeded.
func (p *Port) open(there Packet, out *probe.Outgoing, now probe.Instant) bool {
	there.Size, there.Open = 60, true
	v := p.net.judge(there)
	if !v.Drop {
		back := there
		back.From, back.To, back.Reply = there.To, there.From, true
		v = p.net.judge(back)
	}
	if v.Drop {
		p.fail(v, out, now)
		return false
	}
	if p.hung == nil {
		p.hung = make(map[uint64]bool)
	}
	p.hung[out.Cookie] = true // until its answer is taken
	return true
}

func (p *Port) fail(v Verdict, out *probe.Outgoing, now probe.Instant) {
	if v.Code == probe.CodeNone {
		return
	}
	p.put(now.Mono+2*v.Delay, probe.Arrival{Kind: out.Kind, Flow: out.Flow, Cookie: out.Cookie, From: out.To, Code: v.Code, NextHop: v.NextHop})
}

func (p *Port) answer(out *probe.Outgoing, host *echo.Responder, there, back Verdict, now probe.Instant) {
	from := netip.AddrPortFrom(p.addr, uint16(40000+int(out.Flow)))
	a := probe.Arrival{Kind: out.Kind, Flow: out.Flow, Cookie: out.Cookie, From: out.To}
	switch out.Kind {
	case probe.ICMP:
		a.Data = slices.Clone(out.Packet)
	default:
		at := probe.Instant{Mono: now.Mono + there.Delay, Wall: now.Wall + int64(there.Delay)}
		a.Data = host.Respond(out.Packet, from, at)
	}
	if a.Data == nil || back.Drop {
		return
	}
	rtt := there.Delay + back.Delay
	a.Stamp = now.Wall + int64(rtt)
	if out.Kind == probe.MTU {
		a.Kind = probe.UDP // they share their sockets
	}
	if out.Kind == probe.TCP {
		a.RTT, a.Stamp = rtt, 0
		rtt *= 2
	}
	p.put(now.Mono+rtt, a)
}

func (p *Port) put(due time.Duration, a probe.Arrival) {
	p.queue = append(p.queue, arrival{due, a})
}

// Receive implements probe.Transport.
func (p *Port) Receive(take func(*probe.Arrival)) {
	now := p.net.clock().Mono
	slices.SortStableFunc(p.queue, func(a, b arrival) int { return int(a.due - b.due) })
	i := 0
	for ; i < len(p.queue) && p.queue[i].due <= now; i++ {
		delete(p.hung, p.queue[i].Cookie)
		take(&p.queue[i].Arrival)
	}
	p.queue = slices.Delete(p.queue, 0, i)
}

// Inject queues bytes that arrive at once from anybody, as a spoofer would send them.
func (p *Port) Inject(from netip.AddrPort, data []byte) {
	now := p.net.clock()
	p.put(now.Mono, probe.Arrival{Kind: probe.UDP, From: from, Data: data, Stamp: now.Wall})
}

// Abandon implements probe.Transport.
func (p *Port) Abandon(k probe.Kind, cookie uint64) probe.Code {
	if k == probe.TCP && p.hung[cookie] {
		delete(p.hung, cookie)
		return probe.CodeHung
	}
	return probe.CodeTimeout
}

// Rotate implements probe.Transport.
func (p *Port) Rotate(flow int) error {
	p.base[flow] += probe.Flows
	return nil
}

// Health implements probe.Transport.
func (p *Port) Health() probe.Health { return probe.Health{Dropped: p.Drops, Loopback: !p.Deaf} }

// Close implements probe.Transport.
func (p *Port) Close() error {
	p.closed = true
	return nil
}

// Closed reports whether Close was called.
func (p *Port) Closed() bool { return p.closed }

// Cookie returns the cookie of an encoded probe packet.
func Cookie(packet []byte) uint64 { return binary.BigEndian.Uint64(packet[32:]) }
