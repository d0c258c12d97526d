package sim

import (
	"net/netip"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// site is what stands at an address. It stays when its agent is gone.
type site struct {
	place Place
	// agent answers there; nil when the process has ended.
	agent *Agent
	// removed says that the address itself is gone, as that of a deleted pod: silence, not refusal.
	removed bool
}

// port is the probe.Transport of one agent.
type port struct {
	agent  *Agent
	base   [probe.Flows]int // how often each source port was replaced, in steps of 16
	opened int              // tcp connections so far
	queue  []arrival        // in order of due
	hung   map[uint64]bool  // tcp probes that connected and are not answered yet
	meter  meter
	loop   bool // loopback works
}

type arrival struct {
	due   time.Duration // simulation time
	stamp int64         // receive stamp, set when the packet came before a jump of the clock; 0: not yet
	kind  probe.Kind
	flow  uint8
	code  probe.Code
	size  uint8
	next  uint16
	rtt   time.Duration
	from  netip.AddrPort
	id    uint64
	data  [probe.PacketSize]byte
}

// held is a request that waits for a responder's process to be given a processor.
type held struct {
	from   *Agent
	came   time.Duration
	answer arrival // all but its data
	back   Packet
	packet []byte
}

var _ probe.Transport = (*port)(nil)

// maxHeld is how many requests the receive buffer of a process that does not run can take.
const maxHeld = 1024

// Available implements probe.Transport.
func (p *port) Available(_ probe.Kind, addr netip.Addr) (bool, string) {
	if addr.Is6() {
		return p.agent.self.IPv6.IsValid(), "no IPv6"
	}
	return p.agent.self.IPv4.IsValid(), "no IPv4"
}

// judge asks every fault; the first that drops decides.
func (c *Cluster) judge(p *Packet) Verdict {
	total := Verdict{Delay: wayDelay(p.Source, p.Destination)}
	for _, f := range c.faults {
		v := f.fault(p)
		if v.Drop {
			v.Delay += total.Delay
			return v
		}
		total.Delay += v.Delay
	}
	return total
}

// Send implements probe.Transport: it decides at once what becomes of the probe and of its answer.
func (p *port) Send(out *probe.Outgoing) error {
	c, a := p.agent.cluster, p.agent
	p.meter.count(c.now)
	reply := arrival{kind: out.Kind, flow: out.Flow, from: out.To, id: out.Cookie}
	if out.Kind == probe.ICMP {
		reply.from = netip.AddrPortFrom(out.To.Addr(), 0)
	}
	to := c.sites[out.To.Addr()]
	if to == nil || to.removed {
		return nil
	}
	there := &c.packet
	*there = Packet{Source: a.Place, Destination: to.place, Kind: out.Kind, Family: familyOf(out.To.Addr()),
		Flow: p.base[out.Flow] + int(out.Flow), Size: len(out.Packet) + probe.Headers(out.To.Addr())}
	if out.Kind == probe.TCP {
		p.opened++
		there.Flow = 1<<20 + p.opened
		there.Size = min(there.Size, int(pathMTU(a.Place, to.place)))
		if !p.open(there, to, &reply) {
			return nil
		}
	}
	v := c.judge(there)
	if v.Drop {
		p.fail(v, reply)
		return nil
	}
	if to.agent == nil && out.Kind != probe.ICMP {
		p.fail(Verdict{Code: probe.CodeRefused, Delay: v.Delay}, reply)
		return nil
	}
	reply.due = c.now + v.Delay
	there.Reply = true
	if out.Kind == probe.MTU {
		there.Size = probe.PacketSize + probe.Headers(out.To.Addr())
	}
	p.deliver(to, out.Packet, *there, reply)
	return nil
}

// open does the handshake of a tcp probe, which the destination's kernel answers, and reports whether it stands.
func (p *port) open(there *Packet, to *site, reply *arrival) bool {
	syn := *there
	syn.Size, syn.Open = 60, true
	v := p.agent.cluster.judge(&syn)
	delay := v.Delay
	if !v.Drop {
		syn.Reply = true
		v = p.agent.cluster.judge(&syn)
		delay += v.Delay
	}
	switch {
	case v.Drop:
		p.fail(v, *reply)
		return false
	case to.agent == nil:
		p.fail(Verdict{Code: probe.CodeRefused, Delay: delay / 2}, *reply)
		return false
	}
	p.hung[reply.id] = true
	reply.rtt = delay
	return true
}

// fail hands the sender an error after a round trip; without a code there is none.
func (p *port) fail(v Verdict, a arrival) {
	if v.Code != probe.CodeNone {
		a.code, a.next, a.due = v.Code, v.NextHop, p.agent.cluster.now+2*v.Delay
		p.put(a)
	}
}

// deliver hands a request that arrives at reply.due to the destination; back is the way of its answer.
func (p *port) deliver(to *site, packet []byte, back Packet, reply arrival) {
	if reply.kind == probe.ICMP { // the kernel answers
		reply.size = uint8(copy(reply.data[:], packet))
		p.answer(back, reply, reply.due)
		return
	}
	if d := to.agent; d.pausedUntil > p.agent.cluster.now {
		if len(d.held) < maxHeld {
			h := held{from: p.agent, came: reply.due, answer: reply, back: back, packet: slices.Clone(packet[:probe.PacketSize])}
			d.held = append(d.held, h)
		}
		return
	}
	p.respond(to.agent, packet, back, reply, 0)
}

// respond lets the destination answer hold after the request came.
func (p *port) respond(d *Agent, packet []byte, back Packet, reply arrival, hold time.Duration) {
	addr := p.agent.self.Addr(back.Family)
	from := netip.AddrPortFrom(addr, uint16(20000+back.Flow&0x7fff))
	now := d.instant(reply.due + hold)
	if !d.echo.Answer(reply.data[:], packet, from, now) {
		return
	}
	d.echo.Seal(reply.data[:], hold)
	reply.size = probe.PacketSize
	p.answer(back, reply, reply.due+hold)
}

// answer sends the reply on its way back at a moment.
func (p *port) answer(back Packet, reply arrival, at time.Duration) {
	c := p.agent.cluster
	back.Reply = true
	c.packet = back
	v := c.judge(&c.packet)
	if v.Drop {
		return
	}
	reply.due = at + v.Delay
	if reply.kind == probe.TCP {
		reply.due += reply.rtt
	}
	if reply.kind == probe.MTU {
		reply.kind = probe.UDP // they share their sockets
	}
	p.put(reply)
}

func (p *port) put(a arrival) {
	at := len(p.queue)
	for at > 0 && p.queue[at-1].due > a.due {
		at--
	}
	p.queue = slices.Insert(p.queue, at, a)
}

func familyOf(addr netip.Addr) mesh.Family {
	if addr.Is6() {
		return mesh.IPv6
	}
	return mesh.IPv4
}
