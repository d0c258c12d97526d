package diagnose

import (
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// lasts reports whether a finding that no suspect stands for any more goes on nevertheless: its
// paths are still recovering, or nobody reports them. Silence is no recovery.
func (r *round) lasts(k *track, absent time.Duration) bool {
	if k.class == fine || r.departed(k.nodes) {
		return false
	}
	var states [probe.States]int
	for _, s := range k.Paths {
		r.sampleStates(&s, k, &states)
	}
	ok, bad, unknown := states[probe.OK], states[probe.Degraded]+states[probe.Failing], states[probe.Unknown]
	if unknown > 2*(ok+bad) {
		return true
	}
	return bad > ok && absent < recovery
}

// departed reports whether one of the nodes is no longer there, or its agents left.
func (r *round) departed(nodes []string) bool {
	for _, name := range nodes {
		present := false
		for n := range mesh.Network(mesh.Networks) {
			i, ok := r.View.Find(mesh.Key{Node: name, Network: n})
			if !ok {
				continue
			}
			if state, _ := r.View.Reported(i); state != mesh.ReportLeft {
				present = true
			}
		}
		if !present || r.Nodes[name].Gone {
			return true
		}
	}
	return false
}

// replaced is how long an agent that left is waited for: another comes in its place, or it was taken away on
// purpose and nothing more will ever be known of its paths. Gossip forgets it after as long.
const replaced = 2 * time.Minute

// takenAway reports whether an agent left and nobody came in its place.
func (p *picture) takenAway(i int32) bool {
	m := p.view.Agent(int(i))
	return m.Life == mesh.Left && p.view.Generated.Sub(m.Since) > replaced
}

// sampleStates adds the states of some of the paths that a selector of a finding names.
func (r *round) sampleStates(s *Selector, k *track, states *[probe.States]int) {
	kind, err := mesh.ParsePathKind(s.Path)
	if err != nil || len(r.pictures) == 0 {
		return
	}
	p := r.pictures[0]
	if s.Family == mesh.IPv6.String() {
		p = r.pictures[len(r.pictures)-1]
	}
	from, to := kind.Ends()
	for _, a := range spread(p.side(s.Source, k, 0), 8) {
		for _, b := range spread(p.side(s.Destination, k, 1), 8) {
			i, j := p.nodes[a].agent[from], p.nodes[b].agent[to]
			if i < 0 || j < 0 || i == j || a == b && (s.Source == "" || s.Destination == "") {
				continue
			}
			path, ok := p.view.PathBetween(int(i), int(j), p.family)
			switch {
			case !ok || p.takenAway(i) || p.takenAway(j):
			case !p.speaks[i] || !p.counts[j]:
				states[probe.Unknown]++
			case s.Probe == "" || path.State != probe.OK:
				states[path.State]++
			default: // the path is ok, but its finding was about a probe that does not decide
				states[probeState(&path, s.Probe)]++
			}
		}
	}
}

func probeState(path *mesh.Path, name string) probe.State {
	for _, k := range probe.AllKinds() {
		if k.String() == name {
			return path.Probes[k].State
		}
	}
	return path.State
}

// side lists the nodes at one end of a selector's paths: the node it names, the part of a split,
// or all.
func (p *picture) side(name string, k *track, end int) (list []int) {
	var names []string
	switch {
	case name != "":
		names = []string{name}
	case len(k.Location.Groups) > 1:
		names = k.Location.Groups[end]
	}
	for n := range p.nodes {
		if names == nil || slices.Contains(names, p.nodes[n].name) {
			list = append(list, n)
		}
	}
	return list
}

// recovering reports whether a candidate is but the tail of a graver one that ends: lost probes stay
// in the windows for a while, and the last paths to come back look like a smaller fault. What
// evidence shows is no tail.
func (t *Tracker) recovering(c *candidate) bool {
	if c.proof == 2 || c.weight == 0 {
		return false
	}
	for _, k := range t.tracks {
		absent := t.now.Sub(k.seen)
		if k.class > c.class && k.slot != silence || k.class == fine && c.class != fine && k.slot != silence || k.opened.IsZero() || absent == 0 && !t.fades(k) || absent > recovery || k.slot == c.slot {
			continue
		}
		wide := len(k.nodes) == 0 || len(c.nodes) == 0
		if k.slot == silence && c.class == weak { // what began and ended while nobody was heard
			return true
		}
		switch {
		case c.class == k.class: // of services, too
			if absent <= lastPaths && 2*c.weight < k.peak && (wide || subset(c.nodes, k.nodes)) {
				return true
			}
		case c.class == fine || k.class > conn:
		case wide || slices.ContainsFunc(c.nodes, func(n string) bool { return slices.Contains(k.nodes, n) }):
			return true
		}
	}
	return false
}

// count notes how many paths a finding explains by now.
func (k *track) count(c *candidate, now time.Time) {
	k.Explains, k.weight, k.peak = c.Explains, c.weight, max(k.peak, c.weight)
	switch {
	case 2*k.weight >= k.peak:
		k.faded = time.Time{}
	case k.faded.IsZero():
		k.faded = now
	}
}

// fades reports whether most of what a finding once explained has lately become well again.
func (t *Tracker) fades(k *track) bool { return !k.faded.IsZero() && t.now.Sub(k.faded) < recovery }

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(n string) bool { return !slices.Contains(all, n) })
}

// says reports whether the finding of a slot is open.
func (t *Tracker) says(slot string) bool {
	k := t.tracks[slot]
	return k != nil && k.lives()
}

// lives reports whether a finding is open.
func (k *track) lives() bool { return !k.opened.IsZero() && k.closed.IsZero() }

// swallowed reports whether a finding of the whole cluster has come to hold for all paths of its kind,
// those of a lesser finding among them: a fault that spreads is seen at some nodes first.
func (t *Tracker) swallowed(k *track) bool {
	if k.class == fine || k.Location.Scope == ScopeCluster {
		return false
	}
	for _, by := range t.tracks {
		if by.Location.Scope == ScopeCluster && by.class <= k.class && by.Kind != Unexplained && by.seen.Equal(t.now) && by.lives() &&
			(by.Location.Network == k.Location.Network || by.Location.Network == "host") {
			return true
		}
	}
	return false
}
