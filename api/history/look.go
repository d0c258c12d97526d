package history

import (
	"encoding/binary"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// look is what is kept of a path that is not ok. The zero look stands for a path of which nothing
// is known; okLook for one that is ok. Looks are comparable with ==.
type look struct {
	// states holds two bits for each probe kind, as in mesh.Cell, and state the path's own.
	states                 uint8
	state                  probe.State
	codes                  [probe.Kinds]probe.Code
	loss, forward, returns probe.Loss // of udp
	maxBytes               uint16     // of mtu
	badFlows               uint16     // of udp
	slowMillis             uint16     // round trip of udp in ms, when that is what is wrong
}

// okLook is every path that no record says anything else of.
var okLook = look{state: probe.OK, loss: probe.LossUnknown, forward: probe.LossUnknown, returns: probe.LossUnknown}

func lookOf(p *mesh.Path) look {
	udp := &p.Probes[probe.UDP]
	l := look{state: p.State, loss: udp.Loss, forward: udp.Forward, returns: udp.Return, maxBytes: p.Probes[probe.MTU].MaxBytes, badFlows: udp.BadFlows}
	for k := range p.Probes {
		l.states |= uint8(p.Probes[k].State&3) << (2 * k)
		l.codes[k] = p.Probes[k].Code
	}
	if udp.Code == probe.CodeSlow {
		l.slowMillis = uint16(min(udp.RTT.Milliseconds(), 1<<16-1))
	}
	return l
}

// same reports whether two looks tell of the same trouble: the same states of path and probes and,
// for a dead path, the same direction. Shares of loss wander all the time.
func (l *look) same(other *look) bool {
	return l.state == other.state && l.states == other.states && (l.state != probe.Failing || l.direction() == other.direction())
}

// direction tells where a path loses its packets, as far as known.
func (l *look) direction() int {
	switch {
	case l.forward == probe.LossUnknown:
		return 0
	case l.forward == 0:
		return 1
	}
	return 2
}

// probes is the inverse of lookOf.
func (l *look) probes() (out [probe.Kinds]probe.Status) {
	for k := range out {
		out[k] = probe.Status{State: probe.State(l.states >> (2 * k) & 3), Code: l.codes[k],
			Loss: probe.LossUnknown, Forward: probe.LossUnknown, Return: probe.LossUnknown}
	}
	udp := &out[probe.UDP]
	udp.Loss, udp.Forward, udp.Return, udp.BadFlows = l.loss, l.forward, l.returns, l.badFlows
	udp.RTT = time.Duration(l.slowMillis) * time.Millisecond
	out[probe.MTU].MaxBytes = l.maxBytes
	if l.state == probe.Unknown && udp.State == probe.OK { // the source doubted itself
		udp.State = probe.Unknown
	}
	return out
}

func (l *look) append(b []byte) []byte {
	b = append(b, l.states, byte(l.state))
	for _, c := range l.codes {
		b = append(b, byte(c))
	}
	b = append(b, byte(l.loss), byte(l.forward), byte(l.returns))
	b = binary.AppendUvarint(b, uint64(l.maxBytes))
	b = binary.AppendUvarint(b, uint64(l.badFlows))
	return binary.AppendUvarint(b, uint64(l.slowMillis))
}

func (r *reader) look() (l look) {
	l.states, l.state = r.byte(), probe.State(r.byte()&3)
	for k := range l.codes {
		l.codes[k] = probe.Code(r.byte())
	}
	l.loss, l.forward, l.returns = probe.Loss(r.byte()), probe.Loss(r.byte()), probe.Loss(r.byte())
	l.maxBytes, l.badFlows, l.slowMillis = uint16(r.bounded(1<<16-1)), uint16(r.bounded(1<<16-1)), uint16(r.bounded(1<<16-1))
	return l
}
