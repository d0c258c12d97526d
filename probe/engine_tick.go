package probe

import (
	"errors"
	"time"
)

// rotateEvery is how often one source port is replaced, so that all 16 are within five minutes.
const rotateEvery = 5 * time.Minute / Flows

// Step does what one tick of Run does. Simulations call it instead of Run, every Tick.
func (e *Engine) Step() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.now = e.clock()
	e.self.tick(e.now)
	e.spend.advance(e.now.Mono)

	// What has arrived is taken in before anything is called lost: a late tick must not make losses.
	e.tr.Receive(e.takeFn)
	e.pend.expire(e.now.Mono-timeout, e.expired)
	e.pend.suspects(e.now.Mono, e.suspected)

	if e.now.Mono-e.rotated >= rotateEvery {
		e.rotated = e.now.Mono
		e.rotate(e.flow)
		e.flow = (e.flow + 1) % Flows
	}
	e.sendDue()
	e.self.check(e.now.Mono, e.tr.Health)
	if e.dirty {
		e.dirty = false
		select {
		case e.changed <- struct{}{}:
		default:
		}
	}
}

// sendDue spends the tick's budget: the regular udp round first, then a fifth of the budget on
// confirmations, so that a large mesh, whose rounds use all of it, still confirms; then the other
// rounds, and confirmations with whatever is left.
func (e *Engine) sendDue() {
	e.sendRound(UDP)
	e.confirm(max(1, e.cfg.Rate/5/budgetSlots))
	for _, k := range [...]Kind{MTU, TCP, ICMP} {
		e.sendRound(k)
	}
	e.sendSearch()
	e.confirm(e.cfg.Rate)
}

func (e *Engine) sendRound(k Kind) {
	for {
		i, due := e.rounds[k].peek(e.now.Mono)
		if !due {
			return
		}
		if t := e.order[i]; !t.probes[k].off && !e.send(t, k, 0) {
			return
		}
		e.rounds[k].advance()
	}
}

// confirmLook bounds how many courses one call of confirm looks at: when everything is dead tens of
// thousands are listed, and the budget serves a few hundred a second.
const confirmLook = 512

// unsentGap is how long a course is not confirmed after the kernel had nothing left to send its probe with.
const unsentGap = time.Second

// confirm sends at most quota confirmations, going on where the last call stopped: all who are in doubt share alike.
func (e *Engine) confirm(quota int) {
	for n := min(len(e.hot), confirmLook); n > 0 && quota > 0; n-- {
		if e.hotNext >= len(e.hot) {
			e.hotNext = 0
		}
		h := e.hot[e.hotNext]
		c := &h.t.probes[h.k]
		switch {
		case e.now.Mono < c.next && !h.t.gone:
		case h.t.gone || c.off || !c.needs():
			e.cool(e.hotNext)
			continue
		case !h.t.worth(h.k):
			c.next = e.now.Mono + Tick
		case !e.send(h.t, h.k, 0):
			if c.next <= e.now.Mono { // the budget is spent
				return
			}
			quota-- // only this one cannot leave; those after it must not wait for it
		default:
			quota--
			c.burst = min(c.burst+1, burstMixed)
			c.forced = max(c.forced, 1) - 1
			c.next = e.now.Mono + c.gap(h.k)
		}
		e.hotNext++
	}
}

// cool takes entry i off the list.
func (e *Engine) cool(i int) {
	h := e.hot[i]
	h.t.probes[h.k].hot = false
	if h.k == TCP {
		h.t.big = false
	}
	e.hot[i] = e.hot[len(e.hot)-1]
	e.hot = e.hot[:len(e.hot)-1]
}

// heat lists a course for confirmation.
func (e *Engine) heat(t *target, k Kind) {
	if c := &t.probes[k]; !c.hot && c.needs() {
		c.hot, c.burst = true, 0
		e.hot = append(e.hot, hotCourse{t, k})
	}
}

func (e *Engine) sendSearch() {
	for i := 0; i < len(e.search); i++ {
		t := e.search[i]
		for {
			size, ok := t.search.next()
			if !ok {
				break
			}
			if !e.send(t, MTU, size) {
				t.search.unsent(size)
				return
			}
		}
		if !t.search.active {
			e.search[i] = e.search[len(e.search)-1]
			e.search = e.search[:len(e.search)-1]
			i--
		}
	}
}

// rotate replaces one source port and forgets what its outcomes were.
func (e *Engine) rotate(flow int) {
	if err := e.tr.Rotate(flow); err != nil {
		e.cfg.Log.Debug("replace source port", "flow", flow, "error", err)
		return
	}
	for _, t := range e.order {
		t.probes[UDP].win.Forget(uint32(flow) - uint32(t.offset))
	}
}

// send sends one probe if the budget allows; false means that nothing more can be sent in this tick.
// searchSize is the size of a probe of the mtu search, 0 for any other.
func (e *Engine) send(t *target, k Kind, searchSize uint16) bool {
	if e.pend.full() || !e.spend.take() {
		return false
	}
	c := &t.probes[k]
	p := pending{t: t, cookie: e.pend.cookie(), kind: k, seq: c.win.Next(), class: suspectClass(k, c.win.Baseline())}
	if searchSize != 0 {
		p.flags, p.size = pendingSearch, searchSize
	}
	e.compose(t, &p)
	now := e.clock()
	p.mono, p.wall = now.Mono, now.Wall
	var err error
	if e.cfg.LossHook == nil || !e.cfg.LossHook(k, t.Addr, int(p.flow), false) {
		err = e.tr.Send(&e.out)
	}
	if errors.Is(err, ErrNotSent) {
		e.stats.Unsent++
		c.next = e.now.Mono + unsentGap
		return false
	}
	c.wire++
	e.stats.Sent[k]++
	if searchSize == 0 {
		c.win.Send()
		c.next = e.now.Mono + c.gap(k)
	}
	e.pend.push(p)
	if err != nil {
		e.lost(e.pend.find(p.cookie), CodeOf(err))
	}
	return true
}

func suspectClass(k Kind, baseline time.Duration) uint8 {
	class := 0
	if k == TCP {
		class = 1 // it takes two more ticks: one to see the connection, one to see the answer
	}
	for class < len(suspectAfter)-1 && suspectAfter[class] < 3*baseline {
		class++
	}
	return uint8(class)
}
