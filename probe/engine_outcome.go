package probe

import "time"

const (
	// muteTime is how long losses do not count after a peer said that it holds none of our keys; it
	// limits such notices, so that not every probe gets one.
	muteTime = 10 * time.Second
	// freshFlows is how many source ports are replaced when tcp fails while udp does not.
	freshFlows = burstFast + 1
	// freshAgain is how long one target, and freshGap how long the engine, waits before it does so again.
	freshAgain, freshGap = 30 * time.Second, 2 * time.Second
)

// settle marks a probe as decided.
func (e *Engine) settle(p *pending) {
	p.flags |= pendingDone
	if c := &p.t.probes[p.kind]; p.flags&pendingSuspect != 0 && c.suspects > 0 {
		c.suspects--
	}
}

// expired handles a probe whose time is up.
func (e *Engine) expired(p *pending) {
	code := e.tr.Abandon(p.kind, p.cookie)
	switch {
	case e.stale(p):
		p.flags |= pendingDone
	case p.kind == TCP && p.mono <= e.self.late:
		e.settle(p)
		e.stats.Unsent++
	default:
		e.lost(p, code)
	}
}

// lost enters a failed probe.
func (e *Engine) lost(p *pending, code Code) {
	t, c := p.t, &p.t.probes[p.kind]
	e.settle(p)
	if p.flags&pendingSearch != 0 {
		t.search.failed(p.size, code != CodeTimeout)
		e.dirty = e.dirty || !t.search.active
		return
	}
	e.stats.Lost[p.kind]++
	if e.now.Mono < c.muted {
		return
	}
	e.judge(t, p.kind, func(w *Window) { w.Lost(p.seq, code, e.now.Mono) })
	t.big = t.big || p.flags&pendingBig != 0
	e.heat(t, p.kind)
	switch p.kind {
	case MTU:
		e.startSearch(t)
	case TCP:
		e.refresh(t)
	}
}

// mismatched enters the notice that the peer holds none of our keys.
func (e *Engine) mismatched(p *pending) {
	e.settle(p)
	if p.flags&pendingSearch != 0 {
		p.t.search.stop(false)
		return
	}
	c := &p.t.probes[p.kind]
	c.muted = e.now.Mono + max(muteTime, 3*e.periods[p.kind])
	e.judge(p.t, p.kind, func(w *Window) { w.Mismatch(e.now.Mono) })
}

// suspected handles a probe that is unanswered for longer than usual.
func (e *Engine) suspected(p *pending) {
	if e.stale(p) {
		return
	}
	if p.flags&pendingSearch != 0 { // the search need not wait for the time-out
		e.lost(p, CodeTimeout)
		return
	}
	c := &p.t.probes[p.kind]
	if e.now.Mono < c.muted {
		return
	}
	p.flags |= pendingSuspect
	c.suspects++
	e.heat(p.t, p.kind)
	if p.kind == TCP {
		e.refresh(p.t)
	}
}

// judge lets a window take an outcome and notes whether its verdict changed.
func (e *Engine) judge(t *target, k Kind, enter func(*Window)) {
	w := &t.probes[k].win
	state, code, bad := w.state, w.code, w.bad
	enter(w)
	if w.state != state || w.code != code || w.bad != bad {
		e.dirty = true
	}
	if w.Dirty() {
		e.heat(t, k)
	}
}

// startSearch looks for the largest packet that passes, once mtu fails while udp does not.
func (e *Engine) startSearch(t *target) {
	udp := &t.probes[UDP].win
	if t.probes[MTU].win.state != Failing || !udp.Answering() || t.search.active || e.now.Mono < t.search.until {
		return
	}
	t.search.start(uint16(PacketSize+Headers(t.Addr.Addr())), t.Bytes, e.now.Mono)
	if t.search.active {
		e.search = append(e.search, t)
	}
}

// refresh replaces some source ports when tcp, which always opens a new flow, gets no answer while
// udp does: established flows survive a NetworkPolicy, missing rules and a full conntrack table, so
// udp may be living on old entries and must be asked again with new ones.
func (e *Engine) refresh(t *target) {
	c := &t.probes[UDP]
	if c.off || c.win.state != OK || c.win.Dirty() || c.suspects > 0 ||
		e.now.Mono-t.refreshed < freshAgain && t.refreshed != 0 || e.now.Mono-e.renewed < freshGap && e.renewed != 0 {
		return
	}
	t.refreshed, e.renewed = e.now.Mono, e.now.Mono
	for i := range uint32(freshFlows) {
		e.rotate(int(t.flow(c.wire + 1 + i)))
	}
	c.forced, c.next = freshFlows, 0
	e.heat(t, UDP)
}
