package probe

import (
	"maps"
	"slices"
)

// What a record looks like on the wire, for writing and reading alike.

func (w *wire) link(l *Link) {
	w.text(&l.Name)
	w.text(&l.Kind)
	w.count(&l.Index)
	w.text(&l.Master)
	w.text(&l.Lower)
	vxlan := l.VXLAN != nil
	w.flags(&l.Up, &l.LowerUp, &vxlan)
	wireByte(w, &l.Oper)
	w.count(&l.MTU)
	w.mac(&l.MAC)
	list(w, &l.Addrs, (*wire).prefix)
	if w.writing && len(l.Addrs) == 0 {
		w.b = append(w.b, 0)
	}
	w.text(&l.Qdisc)
	wireByte(w, &l.Offload)
	w.traffic(&l.RX)
	w.traffic(&l.TX)
	if !vxlan {
		return
	}
	if l.VXLAN == nil {
		l.VXLAN = &VXLAN{}
	}
	number(w, &l.VXLAN.ID)
	number(w, &l.VXLAN.Port)
	w.addr(&l.VXLAN.Local)
	w.flags(&l.VXLAN.Learning)
}

func (w *wire) traffic(t *Traffic) {
	number(w, &t.Packets)
	number(w, &t.Errors)
	number(w, &t.Dropped)
}

func (w *wire) route(r *Route) {
	w.prefix(&r.Dst)
	w.addr(&r.Via)
	w.addr(&r.Src)
	w.text(&r.Dev)
	number(w, &r.Table)
	number(w, &r.Metric)
	number(w, &r.MTU)
	wireByte(w, &r.Type)
	wireByte(w, &r.Scope)
	wireByte(w, &r.Proto)
	w.flags(&r.Onlink, &r.Dead)
}

func (w *wire) rule(r *Rule) {
	number(w, &r.Priority)
	w.flags(&r.IPv6, &r.Not)
	w.prefix(&r.From)
	w.prefix(&r.To)
	w.text(&r.IIF)
	w.text(&r.OIF)
	number(w, &r.Mark)
	number(w, &r.Mask)
	number(w, &r.Table)
	wireByte(w, &r.Action)
}

func (w *wire) lookup(l *Lookup) {
	w.addr(&l.Dst)
	w.addr(&l.Src)
	w.addr(&l.Via)
	w.text(&l.Dev)
	number(w, &l.Table)
	wireByte(w, &l.Type)
	number(w, &l.MTU)
	wireByte(w, &l.Err)
}

func (w *wire) neighbor(n *Neighbor) {
	w.addr(&n.IP)
	w.mac(&n.MAC)
	w.text(&n.Dev)
	number(w, &n.State)
}

func (w *wire) fdb(e *FDB) {
	w.mac(&e.MAC)
	w.addr(&e.Dst)
	w.text(&e.Dev)
	w.text(&e.Master)
	w.flags(&e.Permanent)
}

func (w *wire) listener(l *Listener) {
	w.text(&l.Proto)
	w.addr(&l.Addr)
	number(w, &l.Port)
	number(w, &l.Queued)
	number(w, &l.Dropped)
}

func (w *wire) chain(c *Chain) {
	w.text(&c.Family)
	w.text(&c.Table)
	w.text(&c.Name)
	w.text(&c.Hook)
	signed32(w, &c.Priority)
	w.text(&c.Policy)
	for _, n := range []*int{&c.Rules, &c.Accepts, &c.Jumps, &c.NATs} {
		w.count(n)
	}
}

func (w *wire) drop(r *DropRule) {
	for _, t := range []*string{&r.Family, &r.Table, &r.Chain, &r.Verdict, &r.Proto, &r.IIF, &r.OIF, &r.State} {
		w.text(t)
	}
	w.prefix(&r.Src)
	w.prefix(&r.Dst)
	w.flags(&r.SrcNot, &r.DstNot, &r.SYN, &r.Partly)
	number(w, &r.PortLow)
	number(w, &r.PortHigh)
	signed32(w, &r.ICMPType)
	number(w, &r.Packets)
	number(w, &r.Growth)
}

// counters are pairs of total and growth behind the counter's number. Those that this version does
// not know are skipped.
func (w *wire) counters(all *[Counters]Count) {
	if w.writing {
		for i, c := range all {
			if c.Known {
				w.b = append(w.b, byte(i))
				number(w, &c.Total)
				number(w, &c.Growth)
			}
		}
		return
	}
	for len(w.b) > 0 && !w.bad {
		i, c := w.b[0], Count{Known: true}
		w.b = w.b[1:]
		number(w, &c.Total)
		number(w, &c.Growth)
		if int(i) < Counters {
			all[i] = c
		}
	}
}

func (w *wire) sysctls(all *map[string]int64) {
	if w.writing {
		for _, name := range slices.Sorted(maps.Keys(*all)) {
			value := (*all)[name]
			w.text(&name)
			w.signed(&value)
		}
		return
	}
	for len(w.b) > 0 && !w.bad {
		var name string
		var value int64
		w.text(&name)
		w.signed(&value)
		if *all == nil {
			*all = map[string]int64{}
		}
		(*all)[name] = value
	}
}
