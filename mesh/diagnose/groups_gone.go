package diagnose

import (
	"cmp"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// goneTogether finds nodes that nobody reaches by any kind of path, that do not report and that went
// at one moment: a split whose far side nobody hears. Where zones are known and a few nodes are no
// whole zone they are so many faults, each of its own.
func (p *picture) goneTogether(c class, x *excuse) [][]int {
	if c != dead {
		return nil
	}
	var gone []moment
	var rest []int
	slack := sameMoment
	for n := range p.nodes {
		switch {
		case !p.mute(n):
			rest = append(rest, n)
		case p.unreached(n, x):
			gone = append(gone, moment{n, time.Time{}})
		}
	}
	if len(gone) < 2 || len(rest) < 2 {
		return nil
	}
	for i := range gone {
		for _, a := range spread(rest, 4) {
			began, interval := p.lostSince(a, gone[i].node)
			slack = max(slack, interval*3/2)
			if !began.IsZero() && (gone[i].at.IsZero() || began.Before(gone[i].at)) {
				gone[i].at = began
			}
		}
	}
	// A row says since when for some of its bad paths only.
	var undated []moment
	gone = slices.DeleteFunc(gone, func(m moment) bool {
		if m.at.IsZero() {
			undated = append(undated, m)
		}
		return m.at.IsZero()
	})
	if len(gone) == 0 {
		gone, undated = undated, nil
	}
	slices.SortFunc(gone, func(a, b moment) int { return cmp.Or(a.at.Compare(b.at), a.node-b.node) })
	from, to := 0, 0 // the most that went within one moment
	for i, j := 0, 0; j < len(gone); j++ {
		for gone[j].at.Sub(gone[i].at) > slack {
			i++
		}
		if j+1-i > to-from {
			from, to = i, j+1
		}
	}
	var list []int
	for _, g := range gone[from:to] {
		list = append(list, g.node)
	}
	if 2*len(list) >= len(gone) { // of those whose moment nobody tells most went then, too
		for _, g := range undated {
			list = append(list, g.node)
		}
	}
	if len(list) < 2 || len(list) <= 3 && !p.zonesAgree(list) {
		return nil
	}
	return [][]int{rest, list}
}

// moment is when a node was lost.
type moment struct {
	node int
	at   time.Time
}

// unreached reports whether every known path to a node from others is dead, host paths among them
// where there are any.
func (p *picture) unreached(n int, x *excuse) bool {
	own := p.cellsOf(n, dead, x)
	sum := int32(0)
	for k := range own.known {
		if own.bad[k][in] < own.known[k][in] {
			return false
		}
		sum += own.known[k][in]
	}
	return sum >= 2
}

// lostSince is when the paths from node a to node b died, the zero time when a does not say, and
// the interval of a's rows.
func (p *picture) lostSince(a, b int) (began time.Time, interval time.Duration) {
	for from := range mesh.Network(mesh.Networks) {
		i := p.nodes[a].agent[from]
		if i < 0 || !p.speaks[i] {
			continue
		}
		row, _ := p.view.RowOf(int(i))
		interval = max(interval, row.Interval)
		for _, j := range p.nodes[b].agent {
			if j < 0 {
				continue
			}
			path, ok := p.view.PathBetween(int(i), int(j), p.family)
			if ok && path.State == probe.Failing && !path.Since.IsZero() && (began.IsZero() || path.Since.Before(began)) {
				began = path.Since
			}
		}
	}
	return began, interval
}

// sameMoment is how far apart the beginnings of one event may be seen.
const sameMoment = 3 * time.Second

// zonesAgree reports whether the nodes are whole zones, or zones are not known.
func (p *picture) zonesAgree(list []int) bool {
	inside := map[string]int{}
	for _, n := range list {
		inside[p.nodes[n].zone]++
	}
	all, zones := map[string]int{}, 0
	for n := range p.nodes {
		if all[p.nodes[n].zone] == 0 {
			zones++
		}
		all[p.nodes[n].zone]++
	}
	if zones < 2 {
		return true
	}
	for zone, n := range inside {
		if all[zone] != n {
			return false
		}
	}
	return true
}
