package sim

import (
	"slices"
	"time"

	"netchecker/probe"
)

// Receive implements probe.Transport.
func (p *port) Receive(take func(*probe.Arrival)) {
	c, n := p.agent.cluster, 0
	for n < len(p.queue) && p.queue[n].due <= c.now {
		q := &p.queue[n]
		n++
		a := probe.Arrival{Kind: q.kind, Flow: q.flow, Cookie: q.id, From: q.from, Data: q.data[:q.size], Code: q.code, NextHop: q.next}
		if q.kind == probe.TCP {
			delete(p.hung, q.id)
			a.RTT = q.rtt
		} else if a.Stamp = q.stamp; a.Stamp == 0 {
			a.Stamp = p.agent.instant(q.due).Wall
		}
		take(&a)
	}
	p.queue = slices.Delete(p.queue, 0, n)
}

// stamp gives what has arrived its receive stamp, before the wall clock jumps.
func (p *port) stamp() {
	for i := range p.queue {
		if q := &p.queue[i]; q.due <= p.agent.cluster.now && q.stamp == 0 {
			q.stamp = p.agent.instant(q.due).Wall
		}
	}
}

// Abandon implements probe.Transport.
func (p *port) Abandon(k probe.Kind, cookie uint64) probe.Code {
	if k == probe.TCP && p.hung[cookie] {
		delete(p.hung, cookie)
		return probe.CodeHung
	}
	return probe.CodeTimeout
}

// Rotate implements probe.Transport.
func (p *port) Rotate(flow int) error {
	p.base[flow] += probe.Flows
	return nil
}

// Health implements probe.Transport.
func (p *port) Health() probe.Health { return probe.Health{Loopback: p.loop} }

// Close implements probe.Transport.
func (p *port) Close() error {
	p.queue = nil
	return nil
}

// meter keeps the most probes that left in any second.
type meter struct {
	slots [int(time.Second / step)]int
	slot  int64
	sum   int
	peak  int
	total int
}

func (m *meter) count(now time.Duration) {
	n := int64(len(m.slots))
	for slot := int64(now / step); m.slot < slot; {
		if slot-m.slot > n {
			m.slot = slot - n
		}
		m.slot++
		m.sum -= m.slots[m.slot%n]
		m.slots[m.slot%n] = 0
	}
	m.slots[m.slot%n]++
	m.sum++
	m.total++
	m.peak = max(m.peak, m.sum)
}
