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
			case !ok:
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
