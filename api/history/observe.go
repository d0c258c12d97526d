package history

import (
	"cmp"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

const (
	// settle is how long after a change the look of a path is renewed, once: a failure begins with a
	// few lost probes, and which way they are lost is known two intervals later.
	settle = 10 * time.Second
	// maxBad bounds the paths that are remembered as not ok at one moment: 80 MB. When more fail at
	// once, in a cluster of thousands of nodes that falls apart, the further ones are left out, which
	// the answers say.
	maxBad = 2 << 20
)

// observer compares views with the state it keeps. It is not safe for concurrent use.
type observer struct {
	*state
	most int // paths that are not ok at once
	// ids holds the number of each agent of the last view.
	ids []uint32
	// rows are the rows last seen, by number: a row that is still the same needs no second look.
	rows []*mesh.Row
	// unsettled are sources with looks to be renewed, by when.
	unsettled map[uint32]int64
	leftOut   bool
	fresh     []mark
}

func newObserver(most int) *observer {
	return &observer{state: newState(), most: most, unsettled: map[uint32]int64{}}
}

// observe takes in a view and returns what has changed; at is its moment in Unix ms.
func (o *observer) observe(v *mesh.View, at int64) (agents []agentRecord, sources []sourceRecord) {
	agents, again := o.observeAgents(v, at)
	o.leftOut = false
	for i := range v.Len() {
		id := o.ids[i]
		if report, _ := v.Reported(i); report != mesh.Reporting {
			continue
		}
		row, _ := v.RowOf(i)
		due, waiting := o.unsettled[id]
		if row == o.rows[id] && !again && (!waiting || due > at) {
			continue
		}
		if waiting && due <= at {
			delete(o.unsettled, id)
		}
		if changes := o.observePaths(v, i, at); len(changes) > 0 {
			r := sourceRecord{id, changes}
			o.applyPaths(&r, at)
			sources = append(sources, r)
		}
		o.rows[id] = row
	}
	slices.SortFunc(sources, func(a, b sourceRecord) int { return cmp.Compare(a.id, b.id) })
	return agents, sources
}

// observeAgents takes in the agents; again says that rows mean something else than before, since an
// agent left, came back or is new.
func (o *observer) observeAgents(v *mesh.View, at int64) (out []agentRecord, again bool) {
	seen := make([]bool, len(o.agents)+v.Len())
	o.ids = slices.Grow(o.ids[:0], v.Len())[:v.Len()]
	for i := range v.Len() {
		m := v.Agent(i)
		id, known := o.byKey[m.Key]
		if !known {
			id = uint32(len(o.agents))
		}
		o.ids[i], seen[id] = id, true
		now := agent{PastAgent: mesh.PastAgent{Agent: m.Agent, Since: time.UnixMilli(at)}}
		now.Report, _ = v.Reported(i)
		if row, _ := v.RowOf(i); row != nil && now.Report == mesh.Reporting {
			now.Doubt = row.Doubt
		}
		if known && !o.agents[id].gone {
			old := &o.agents[id]
			if old.Report == now.Report {
				now.Since = old.Since
			}
			if *old == now {
				continue
			}
			again = again || (old.Report == mesh.ReportLeft) != (now.Report == mesh.ReportLeft)
		} else {
			again = true
		}
		o.applyAgent(agentRecord{id, now})
		o.grow()
		out = append(out, agentRecord{id, now})
	}
	for id := range o.agents {
		if !seen[id] && !o.agents[id].gone {
			r := agentRecord{uint32(id), o.agents[id]}
			r.gone = true
			o.applyAgent(r)
			out, again, o.rows[id] = append(out, r), true, nil
		}
	}
	slices.SortFunc(out, func(a, b agentRecord) int { return cmp.Compare(a.id, b.id) })
	return out, again
}

func (o *observer) grow() {
	for len(o.rows) < len(o.agents) {
		o.rows = append(o.rows, nil)
	}
}

// observePaths compares the paths of agent i with what is known of them.
func (o *observer) observePaths(v *mesh.View, i int, at int64) (out []change) {
	id := o.ids[i]
	new := o.rows[id] == nil // what its paths were before nobody knows
	fresh, old := o.look(v, i), o.bad[id]
	for a, b := 0, 0; a < len(old) || b < len(fresh); {
		switch {
		case b == len(fresh) || a < len(old) && old[a].to < fresh[b].to:
			if to := &o.agents[old[a].to>>1]; !to.gone && to.Report != mesh.ReportLeft {
				out = append(out, change{old[a].to, old[a].look.state, okLook})
			}
			a++
		case a == len(old) || fresh[b].to < old[a].to:
			was := probe.OK
			if new || fresh[b].look.state == probe.Unknown && fresh[b].look.codes[probe.UDP] == probe.CodeNone {
				was = probe.Unknown // not probed yet
			}
			if o.total+len(out) < o.most {
				out = append(out, change{fresh[b].to, was, fresh[b].look})
				o.expect(id, at)
			} else {
				o.leftOut = true
			}
			b++
		default:
			if l := fresh[b].look; !old[a].look.same(&l) {
				out = append(out, change{fresh[b].to, old[a].look.state, l})
				o.expect(id, at)
			} else if !old[a].settled && l != old[a].look {
				if at-old[a].since >= settle.Milliseconds() {
					out = append(out, change{fresh[b].to, l.state, l})
				} else {
					o.expect(id, at)
				}
			}
			a, b = a+1, b+1
		}
	}
	return out
}

// expect has the looks of a source renewed.
func (o *observer) expect(id uint32, at int64) {
	if _, waiting := o.unsettled[id]; !waiting {
		o.unsettled[id] = at + settle.Milliseconds()
	}
}

// look reads the paths of agent i that are not ok, but for those to agents that left: that they
// are unknown goes without saying. What it returns is good until the next call.
func (o *observer) look(v *mesh.View, i int) []mark {
	out := o.fresh[:0]
	for ref := range v.BadFrom(i) {
		_, to, family := v.Ends(ref)
		if report, _ := v.Reported(to); report == mesh.ReportLeft {
			continue
		}
		p := v.Path(ref)
		out = append(out, mark{to: o.ids[to]<<1 | uint32(family), look: lookOf(&p)})
	}
	if byNumber := func(a, b mark) int { return cmp.Compare(a.to, b.to) }; !slices.IsSortedFunc(out, byNumber) {
		slices.SortFunc(out, byNumber)
	}
	o.fresh = out
	return out
}

// renumber begins a new chapter.
func (o *observer) renumber() {
	moved := o.compact()
	rows, unsettled := o.rows, o.unsettled
	o.rows, o.unsettled = make([]*mesh.Row, len(o.agents)), map[uint32]int64{}
	for from, to := range moved {
		if int(to) < len(o.agents) {
			o.rows[to] = rows[from]
			if due, waiting := unsettled[uint32(from)]; waiting {
				o.unsettled[to] = due
			}
		}
	}
}
