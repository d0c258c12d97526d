package history

import (
	"encoding/binary"
	"net/netip"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// The content of changes and snapshots: the agents, the looks that occur, and for each source its
// changes, each as the distance from the destination before and the look's place <<2 | the state
// before. Snapshots add how long each state has lasted. Dead nodes make rows that look alike, which
// the compression then sees.

// writer makes the contents of blocks.
type writer struct {
	looks map[look]int
	order []look
	b     []byte
}

func newWriter() *writer { return &writer{looks: map[look]int{}} }

func (w *writer) look(l look) uint64 {
	if l == okLook {
		return 0
	}
	at, known := w.looks[l]
	if !known {
		w.order = append(w.order, l)
		at = len(w.order)
		w.looks[l] = at
	}
	return uint64(at)
}

func (w *writer) source(id, before uint32, n int) {
	w.b = binary.AppendUvarint(w.b, uint64(id-before))
	w.b = binary.AppendUvarint(w.b, uint64(n))
}

// content returns what was written, behind the agents and the looks, and begins anew.
func (w *writer) content(agents []agentRecord) []byte {
	out := appendAgents(nil, agents)
	out = binary.AppendUvarint(out, uint64(len(w.order)))
	for i := range w.order {
		out = w.order[i].append(out)
	}
	out = append(out, w.b...)
	clear(w.looks)
	w.order, w.b = w.order[:0], w.b[:0]
	return out
}

// appendChanges makes the contents for what changed at one moment; more than one where it is much.
func appendChanges(agents []agentRecord, sources []sourceRecord) (out [][]byte) {
	w, before := newWriter(), uint32(0)
	for _, r := range sources {
		w.source(r.id, before, len(r.changes))
		before = r.id
		last := uint32(0)
		for _, c := range r.changes {
			w.b = binary.AppendUvarint(w.b, uint64(c.to-last))
			w.b = binary.AppendUvarint(w.b, w.look(c.now)<<2|uint64(c.was&3))
			last = c.to
		}
		if len(w.b) > maxBody/2 {
			out = append(out, w.content(agents))
			agents, before = nil, 0
		}
	}
	if len(agents) > 0 || len(w.b) > 0 {
		out = append(out, w.content(agents))
	}
	return out
}

// appendSnapshot makes the contents of a snapshot of a state; the first holds all agents.
func appendSnapshot(s *state, at int64) (out [][]byte) {
	agents := make([]agentRecord, len(s.agents))
	for id := range s.agents {
		agents[id] = agentRecord{uint32(id), s.agents[id]}
	}
	out = [][]byte{newWriter().content(agents)}
	w, before := newWriter(), uint32(0)
	for id, list := range s.bad {
		if len(list) == 0 {
			continue
		}
		w.source(uint32(id), before, len(list))
		before = uint32(id)
		last, age := uint32(0), int64(0)
		for _, m := range list {
			w.b = binary.AppendUvarint(w.b, uint64(m.to-last))
			w.b = binary.AppendUvarint(w.b, w.look(m.look)<<2)
			w.b = binary.AppendVarint(w.b, at-m.since-age)
			last, age = m.to, at-m.since
		}
		if len(w.b) > maxBody/2 {
			out = append(out, w.content(nil))
			before = 0
		}
	}
	if len(w.b) > 0 {
		out = append(out, w.content(nil))
	}
	return out
}

func appendAgents(b []byte, list []agentRecord) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	before := uint32(0)
	for i := range list {
		r := &list[i]
		b = binary.AppendUvarint(b, uint64(r.id-before))
		before = r.id
		flags := byte(r.Network&1) | byte(r.Report&3)<<1
		if r.gone {
			flags |= 1 << 3
		}
		b = append(b, flags, byte(r.Doubt))
		b = appendText(b, r.Name)
		b = appendText(b, r.Node)
		b = appendText(b, r.Zone)
		b = appendText(b, string(r.IPv4.AsSlice()))
		b = appendText(b, string(r.IPv6.AsSlice()))
		b = binary.AppendUvarint(b, uint64(r.Since.UnixMilli()))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// maxAgents bounds the agents of one chapter: 20,000 at once, and those that came and went.
const maxAgents = 1 << 18

// agents reads records of agents, of whom known are known before: a new one gets the next number.
func (r *reader) agents(known int) (out []agentRecord, now int) {
	n, id := r.count(), uint64(0)
	for range n {
		id += r.bounded(maxAgents)
		if id > uint64(known) || id >= maxAgents {
			r.fail()
		}
		flags, doubt := r.byte(), r.byte()
		a := agentRecord{id: uint32(min(id, maxAgents))}
		a.Network, a.Report, a.gone = mesh.Network(flags&1), mesh.ReportState(flags>>1&3), flags>>3&1 == 1
		a.Doubt = mesh.Doubt(doubt)
		a.Name, a.Node, a.Zone = r.text(), r.text(), r.text()
		a.IPv4, a.IPv6 = r.addr(), r.addr()
		a.Since = time.UnixMilli(int64(r.bounded(1 << 62)))
		if r.err != nil {
			return nil, known
		}
		known = max(known, int(id)+1)
		out = append(out, a)
	}
	return out, known
}

func (r *reader) addr() netip.Addr {
	b := []byte(r.text())
	if len(b) == 0 {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		r.fail()
	}
	return a
}

// content is a block's content: that of changes, or of a snapshot's part.
type content struct {
	agents  []agentRecord
	sources []sourceRecord
	// since holds, for snapshots, when the state of each change began, in Unix ms.
	since [][]int64
}

// readContent reads a block of changes or of a snapshot. known is the number of agents before it.
func readContent(b *block, known int) (out content, err error) {
	r := &reader{b: b.body}
	out.agents, known = r.agents(known)
	looks := []look{okLook}
	for n := r.count(); n > 0; n-- {
		looks = append(looks, r.look())
	}
	id := uint64(0)
	for len(r.b) > 0 && r.err == nil {
		step := r.bounded(maxAgents)
		id += step
		s, since := r.source(uint32(min(id, maxAgents)), looks, known, b)
		if id >= uint64(known) || step == 0 && len(out.sources) > 0 {
			r.fail()
		}
		out.sources, out.since = append(out.sources, s), append(out.since, since)
	}
	return out, r.err
}

func (r *reader) source(id uint32, looks []look, known int, b *block) (s sourceRecord, since []int64) {
	s.id = id
	n, to, age := r.count(), uint64(0), int64(0)
	s.changes = make([]change, 0, n)
	for i := range n {
		step := r.bounded(2 * maxAgents)
		to += step
		code := r.bounded(1 << 40)
		if code>>2 >= uint64(len(looks)) || to>>1 >= uint64(known) || i > 0 && step == 0 {
			r.fail()
		}
		if b.kind == snapshotBlock {
			age += r.varint()
			since = append(since, b.at-age)
		}
		if r.err != nil {
			return s, nil
		}
		if b.kind == snapshotBlock && code>>2 == 0 { // what is ok is not in a snapshot
			r.fail()
			return s, nil
		}
		s.changes = append(s.changes, change{uint32(to), probe.State(code & 3), looks[code>>2]})
	}
	return s, since
}

// apply takes a block's content into a state.
func (s *state) apply(b *block, c *content) {
	for _, a := range c.agents {
		s.applyAgent(a)
	}
	for i := range c.sources {
		id := c.sources[i].id
		if b.kind == snapshotBlock {
			s.total -= len(s.bad[id])
			s.bad[id] = nil
		}
		s.applyPaths(&c.sources[i], b.at)
		if b.kind == snapshotBlock {
			for j := range s.bad[id] {
				s.bad[id][j].since = c.since[i][j]
			}
		}
	}
}
