package probe

import (
	"encoding/binary"
	"time"
)

// stampSlack is how much later than the start of the tick a packet may be stamped: it can arrive while we drain.
const stampSlack = 10 * time.Millisecond

// take is handed everything that arrives.
func (e *Engine) take(a *Arrival) {
	if a.Code != CodeNone {
		e.takeError(a)
		return
	}
	if a.Kind != TCP {
		e.stats.BytesIn += uint64(len(a.Data) + Headers(a.From.Addr()))
	}
	if a.Kind == ICMP {
		e.takeICMP(a)
		return
	}
	answer := &e.packet
	if answer.Decode(a.Data) != nil || answer.Type == TypeRequest || answer.Sender != e.cfg.Self {
		e.reject(a)
		return
	}
	p := e.pend.find(answer.Cookie)
	// An answer over udp to a tcp probe would settle it and leave its connection open for ever.
	if p == nil || p.kind != answer.Kind || (p.kind == TCP) != (a.Kind == TCP) || p.t != nil && a.From.Addr() != p.t.Addr.Addr() {
		e.stats.Late++
		return
	}
	if answer.Type == TypeReply {
		if _, right := e.cfg.Keys.Check(a.Data); !right {
			e.reject(a)
			return
		}
	}
	if !e.live(p) || e.hooked(p) {
		return
	}
	switch {
	case answer.Type == TypeNotice:
		e.mismatched(p)
	case answer.Responder != p.t.ID:
		e.lost(p, CodeWrongPeer)
	default:
		e.answered(p, a, answer)
	}
}

// reject handles what is no answer of a peer: over udp a stray, over tcp the verdict of a connection that is ours.
func (e *Engine) reject(a *Arrival) {
	e.stats.Bad++
	if a.Kind == TCP {
		if p := e.pend.find(a.Cookie); p != nil && p.kind == TCP && e.live(p) {
			e.lost(p, CodeBadAnswer)
		}
	}
}

func (e *Engine) takeICMP(a *Arrival) {
	if len(a.Data) < 8 {
		e.stats.Bad++
		return
	}
	p := e.pend.find(binary.BigEndian.Uint64(a.Data))
	if p == nil || p.kind != ICMP || p.t != nil && a.From.Addr() != p.t.Addr.Addr() {
		e.stats.Bad++
		return
	}
	if e.live(p) && !e.hooked(p) {
		e.answered(p, a, &Packet{})
	}
}

// takeError maps an error to its probe: by cookie, or by where it went when a router sent back too little to hold one.
func (e *Engine) takeError(a *Arrival) {
	p := e.pend.find(a.Cookie)
	if p == nil {
		t := e.byAddr[a.From]
		p = e.pend.newest(func(p *pending) bool {
			return p.t == t && t != nil && p.flow == a.Flow && (p.kind == MTU || p.kind == UDP && a.Code != CodeTooBig)
		})
	}
	if p == nil || e.stale(p) {
		return
	}
	if a.NextHop != 0 && p.kind == MTU { // also when the send itself has failed: only the queue names the MTU
		p.t.search.suggest(a.NextHop)
	}
	if p.flags&pendingDone == 0 {
		e.lost(p, a.Code)
	}
}

// live reports whether p still waits for its outcome, and counts answers to one that does not.
func (e *Engine) live(p *pending) bool {
	if p.flags&pendingDone != 0 {
		e.stats.Late++
		return false
	}
	return !e.stale(p)
}

// stale reports whether p's outcome interests nobody: its target is gone, or its size has changed.
func (e *Engine) stale(p *pending) bool {
	return p.t == nil || p.t.gone || p.kind == MTU && p.flags&pendingSearch == 0 && p.size != p.t.Bytes
}

func (e *Engine) hooked(p *pending) bool {
	return e.cfg.LossHook != nil && e.cfg.LossHook(p.kind, p.t.Addr, int(p.flow), true)
}

// answered enters an answer of the right peer.
func (e *Engine) answered(p *pending, a *Arrival, answer *Packet) {
	t, c := p.t, &p.t.probes[p.kind]
	rtt, late := e.measure(p, a, time.Duration(answer.Hold))
	if late {
		e.stats.Late++
		e.lost(p, CodeTimeout)
		return
	}
	e.settle(p)
	e.stats.Received[p.kind]++
	if p.kind != ICMP {
		if t.peerBoot != answer.ResponderBoot {
			t.peerBoot = answer.ResponderBoot
			t.probes[UDP].win.PeerRestarted()
		}
		t.probes[UDP].win.Heard(answer.Highest, answer.Received)
	}
	if p.flags&pendingSearch != 0 {
		t.search.passed(p.size)
		e.dirty = e.dirty || !t.search.active
		return
	}
	c.muted = 0
	e.judge(t, p.kind, func(w *Window) { w.Good(p.seq, rtt, e.now.Mono) })
	if rtt > 0 && e.cfg.OnRTT != nil {
		e.cfg.OnRTT(p.kind, t.ID, rtt)
	}
	if p.kind == MTU && c.win.state == OK && t.search != (mtuSearch{}) {
		t.search.stop(true)
	}
}

// measure returns the round trip: the kernel's receive stamp less our send stamp less the time the
// peer held the packet. It is 0 where the wall clock was set meanwhile. late says that the answer
// arrived after the time-out though the probe, for want of a tick, had not expired.
func (e *Engine) measure(p *pending, a *Arrival, hold time.Duration) (rtt time.Duration, late bool) {
	if a.RTT > 0 {
		return a.RTT, false
	}
	if a.Stamp == 0 || p.mono <= e.self.stepped {
		return 0, false
	}
	total := time.Duration(a.Stamp - p.wall)
	if total < 0 || total > e.now.Mono-p.mono+stampSlack {
		return 0, false
	}
	if total > timeout {
		return 0, true
	}
	return max(total-hold, 0), false
}
