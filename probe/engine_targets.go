package probe

import (
	"cmp"
	"net/netip"
	"slices"
)

// SetTargets replaces the list of targets. A target whose ID and Addr were there before keeps its
// state; any other starts Unknown, and losses of an old address never count for a new one.
func (e *Engine) SetTargets(targets []Target) {
	e.mu.Lock()
	defer e.mu.Unlock()
	type identity struct {
		id   uint64
		addr netip.AddrPort
	}
	old := make(map[identity]*target, len(e.targets))
	for _, t := range e.targets {
		t.gone = true
		old[identity{t.ID, t.Addr}] = t
	}
	e.targets = make([]*target, 0, len(targets))
	e.order = make([]*target, 0, len(targets))
	e.byAddr = make(map[netip.AddrPort]*target, len(targets))
	for _, wanted := range targets {
		wanted.Addr = netip.AddrPortFrom(wanted.Addr.Addr().Unmap(), wanted.Addr.Port())
		key := identity{wanted.ID, wanted.Addr}
		t := old[key]
		if t == nil {
			t = e.newTarget(wanted)
			old[key] = t
		}
		if t.Bytes != wanted.Bytes {
			mtu := &t.probes[MTU]
			*mtu = course{hot: mtu.hot, win: NewWindow(mtu.win.last), wire: mtu.wire}
			t.Bytes, t.search = wanted.Bytes, mtuSearch{}
			t.probes[MTU].off = e.off(MTU, t)
		}
		if t.gone { // not listed twice
			t.gone = false
			e.order = append(e.order, t)
		}
		e.targets = append(e.targets, t)
		e.byAddr[t.Addr] = t
	}
	e.reorder()
}

// newTarget begins its sequences at the number of ticks so far. That is above every sequence that an
// earlier target of the same identity can have reached, which its peer would take for replays.
func (e *Engine) newTarget(wanted Target) *target {
	t := &target{Target: wanted, gone: true}
	base := uint32(e.clock().Mono / Tick)
	// Targets that are due in the same tick leave by the same port, as long as their sequences agree:
	// the answers to a tick come in on one or two sockets and not on all 16.
	t.offset = uint8(phase(e.cfg.Self, wanted.ID) >> 60)
	for _, k := range AllKinds() {
		t.probes[k] = course{win: NewWindow(base), wire: base, off: e.off(k, t)}
	}
	return t
}

func (e *Engine) off(k Kind, t *target) bool {
	ok, _ := e.tr.Available(k, t.Addr.Addr())
	return e.cfg.Off[k] || !ok || !t.Addr.IsValid() || k == MTU && t.Bytes == 0
}

// reorder puts the targets in order of phase and starts the rounds anew where they stood.
func (e *Engine) reorder() {
	slices.SortStableFunc(e.order, func(a, b *target) int {
		return cmp.Compare(phase(e.cfg.Self, a.ID), phase(e.cfg.Self, b.ID))
	})
	off := e.cfg.Off
	for _, k := range AllKinds() {
		off[k] = !slices.ContainsFunc(e.order, func(t *target) bool { return !t.probes[k].off })
	}
	e.periods = Plan(len(e.order), e.cfg.Rate, off)
	now := e.clock().Mono
	for _, k := range AllKinds() {
		e.rounds[k].reset(e.periods[k], len(e.order), now, float64(k)/Kinds)
	}
	e.search = slices.DeleteFunc(e.search, func(t *target) bool { return t.gone })
	e.hot = slices.DeleteFunc(e.hot, func(h hotCourse) bool { return h.t.gone })
	e.dirty = true
}
