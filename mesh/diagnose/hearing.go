package diagnose

import (
	"time"

	"netchecker/mesh"
)

// hearing is what the agents of a suspect node have, or have not, told of their own paths.
type hearing struct {
	silent, late [mesh.Networks]bool // those that do not report, and those about to be such
	// news is how long after the trouble began they must have told of it.
	news time.Duration
}

// hear finds out which agents of the suspect node say nothing, or nothing new: in a big mesh rows are up
// to 15 s apart while nothing changes, and the last one of a node that died is still young when the others
// have lost it. If all that lead to the node fail, what such a row said of its own paths was before that,
// and no longer counts.
func (r *reading) hear(p *picture) (h hearing) {
	began, _ := r.suspect.facts.began()
	before := r.cells
	var old [mesh.Networks]time.Duration // the intervals of those who have told nothing since
	for n := range h.silent {
		at := p.nodes[r.node].agent[n]
		if at < 0 {
			continue
		}
		state, last := p.view.Reported(int(at))
		h.silent[n] = state == mesh.ReportStale || state == mesh.ReportAbsent
		h.late[n] = !p.speaks[at]
		if r.class != dead || state != mesh.Reporting || last.After(began) {
			continue
		}
		h.late[n] = true
		row, _ := p.view.RowOf(int(at))
		old[n] = row.Interval
		for k := range mesh.PathKind(mesh.PathKinds) {
			if from, _ := k.Ends(); from == mesh.Network(n) {
				before.bad[k][out], before.known[k][out] = 0, 0
			}
		}
	}
	cut := shapeOf(&before) == shapeCut
	if cut {
		r.cells = before
	}
	for n, interval := range old {
		if interval == 0 {
			continue
		}
		soon := interval // nothing that the agent itself notices need be wrong
		if cut {
			soon = interval / 5
		}
		h.news = min(interval*5/2, soon+newsTime)
		h.silent[n] = h.silent[n] || p.view.Generated.Sub(began) > h.news
	}
	return h
}

// newsTime is how long a row that is due, or that tells of what changed, may take: its agent must have
// noticed, and the row must have found a way. Changes are at least a fifth of the interval apart.
const newsTime = 6 * time.Second
