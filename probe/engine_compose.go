package probe

import (
	"encoding/binary"
	"time"
)

// icmpData is the length of an icmp probe's data: the 56 bytes that ping sends.
const icmpData = 56

// compose fills e.out with the probe p to t, and p's flow and size.
func (e *Engine) compose(t *target, p *pending) {
	c := &t.probes[p.kind]
	e.out = Outgoing{Kind: p.kind, Cookie: p.cookie, To: t.Addr}
	length := PacketSize
	switch p.kind {
	case ICMP:
		e.out.Packet = e.buffer[:icmpData]
		clear(e.out.Packet)
		binary.BigEndian.PutUint64(e.out.Packet, p.cookie)
		e.stats.BytesOut += uint64(icmpData + Headers(t.Addr.Addr()))
		return
	case TCP:
		if (c.wire+1)%8 == 0 || t.big || t.probes[MTU].win.state == Failing {
			length = bigBody
			p.flags |= pendingBig
		}
	case MTU:
		if p.flags&pendingSearch == 0 {
			p.size = t.Bytes
		}
		length = max(int(p.size)-Headers(t.Addr.Addr()), PacketSize)
	}
	p.flow = t.flow(c.wire + 1)
	e.out.Flow = p.flow
	if p.size == 0 {
		p.size = uint16(length + Headers(t.Addr.Addr()))
	}
	e.packet = Packet{
		Type: TypeRequest, Kind: p.kind, Flow: p.flow, Sender: e.cfg.Self, Boot: e.cfg.Boot, Seq: c.wire + 1,
		Period: uint16(min(e.periods[p.kind]/(10*time.Millisecond), 1<<16-1)), Size: p.size, Cookie: p.cookie,
		Responder: t.ID,
	}
	e.packet.Encode(e.buffer)
	e.cfg.Keys.Seal(e.buffer)
	e.out.Packet = e.buffer[:length]
	if p.kind != TCP {
		e.stats.BytesOut += uint64(p.size)
	}
}
