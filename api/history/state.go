package history

import (
	"cmp"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// agent is an agent as the history knows it. Its number is its place in state.agents and stays the
// same throughout a chapter.
type agent struct {
	mesh.PastAgent
	gone bool // no longer in the roster
}

// mark is a path that is not ok.
type mark struct {
	to    uint32 // the destination's number <<1 | family
	look  look
	since int64 // Unix ms
	// settled says that the look was renewed once the numbers in it had had time to come true.
	settled bool
}

// state is all that is known at a moment. The one who records it and those who read it back both
// apply the same records, so that they cannot come to differ.
type state struct {
	agents []agent
	byKey  map[mesh.Key]uint32
	// bad holds, by source, the paths that are not ok, sorted by destination.
	bad   [][]mark
	total int
}

func newState() *state { return &state{byKey: map[mesh.Key]uint32{}} }

// agentRecord says that an agent is new or has changed.
type agentRecord struct {
	id uint32
	agent
}

// change says that a path has changed. A change that only renews what is known has was equal to
// now.state.
type change struct {
	to  uint32
	was probe.State
	now look
}

// sourceRecord holds the changes of the paths of one source, sorted by destination.
type sourceRecord struct {
	id      uint32
	changes []change
}

func (s *state) applyAgent(r agentRecord) {
	for int(r.id) >= len(s.agents) {
		s.agents, s.bad = append(s.agents, agent{gone: true}), append(s.bad, nil)
	}
	old := &s.agents[r.id]
	if old.Key != r.Key {
		delete(s.byKey, old.Key)
	}
	if s.byKey[r.Key] = r.id; r.gone && !old.gone {
		s.forget(r.id)
	}
	*old = r.agent
}

// forget drops the paths from and to an agent.
func (s *state) forget(id uint32) {
	s.total -= len(s.bad[id])
	s.bad[id] = nil
	for i, list := range s.bad {
		kept := slices.DeleteFunc(list, func(m mark) bool { return m.to>>1 == id })
		s.total -= len(list) - len(kept)
		s.bad[i] = kept
	}
}

// applyPaths takes in the changes of one source at a moment.
func (s *state) applyPaths(r *sourceRecord, at int64) {
	old := s.bad[r.id]
	out := make([]mark, 0, len(old)+len(r.changes))
	i := 0
	for _, c := range r.changes {
		for ; i < len(old) && old[i].to < c.to; i++ {
			out = append(out, old[i])
		}
		since := at
		settled := false
		if i < len(old) && old[i].to == c.to {
			if old[i].look.state == c.now.state {
				since, settled = old[i].since, true
			}
			i++
		}
		if c.now != okLook {
			out = append(out, mark{to: c.to, look: c.now, since: since, settled: settled})
		}
	}
	out = append(out, old[i:]...)
	s.total += len(out) - len(old)
	s.bad[r.id] = out
}

// view makes a view of the state.
func (s *state) view(at time.Time) *mesh.View {
	order := make([]uint32, 0, len(s.agents))
	for id := range s.agents {
		if !s.agents[id].gone {
			order = append(order, uint32(id))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return s.agents[a].Key.Compare(s.agents[b].Key) })
	order = slices.CompactFunc(order, func(a, b uint32) bool { return s.agents[a].Key == s.agents[b].Key })
	agents := make([]mesh.PastAgent, len(order))
	for i, id := range order {
		agents[i] = s.agents[id].PastAgent
	}
	return mesh.PastView(at, agents, func(i int) []mesh.PastPath {
		list := s.bad[order[i]]
		out := make([]mesh.PastPath, 0, len(list))
		for _, m := range list {
			if id := m.to >> 1; int(id) < len(s.agents) && !s.agents[id].gone {
				out = append(out, mesh.PastPath{Dest: mesh.Dest{Key: s.agents[id].Key, Family: mesh.Family(m.to & 1)},
					Since: time.UnixMilli(m.since), Probes: m.look.probes()})
			}
		}
		return out
	})
}

// compact numbers the agents anew, in order of their keys and without those that are gone, as a new
// chapter does. It returns the new number of each old one.
func (s *state) compact() (moved []uint32) {
	const nowhere = 1<<32 - 1
	order := make([]uint32, 0, len(s.agents))
	for id := range s.agents {
		if !s.agents[id].gone {
			order = append(order, uint32(id))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return s.agents[a].Key.Compare(s.agents[b].Key) })
	moved = slices.Repeat([]uint32{nowhere}, len(s.agents))
	for to, from := range order {
		moved[from] = uint32(to)
	}
	old := *s
	*s = state{agents: make([]agent, len(order)), bad: make([][]mark, len(order)), byKey: make(map[mesh.Key]uint32, len(order))}
	for to, from := range order {
		s.agents[to] = old.agents[from]
		s.byKey[s.agents[to].Key] = uint32(to)
		list := make([]mark, 0, len(old.bad[from]))
		for _, m := range old.bad[from] {
			if id := moved[m.to>>1]; id != nowhere {
				m.to = id<<1 | m.to&1
				list = append(list, m)
			}
		}
		slices.SortFunc(list, func(a, b mark) int { return cmp.Compare(a.to, b.to) })
		s.bad[to] = list
		s.total += len(list)
	}
	return moved
}
