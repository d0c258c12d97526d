package diagnose

import (
	"netchecker/mesh"
)

// look fills in the facts of a suspect from some of its paths.
func (p *picture) look(s *suspect) {
	if s.inside {
		for _, n := range spread(s.peers, maxSample) {
			p.lookInside(s, n)
		}
		return
	}
	switch s.scope {
	case ScopeNode:
		p.lookAround(s)
	case ScopePair:
		p.lookBetween(s, s.a, s.b)
	case ScopeGroups:
		for i, a := range spread(s.groups[0], 8) {
			for _, b := range spread(s.groups[1], 8) {
				p.lookBetween(s, a, b)
				if i > 0 && s.facts.paths[out]+s.facts.paths[in] > 2*maxSample {
					return
				}
			}
		}
	case ScopeCluster:
		all := make([]int, len(p.nodes))
		for n := range all {
			all[n] = n
		}
		for _, a := range spread(all, 8) {
			for _, b := range spread(all, 8) {
				if a != b {
					p.lookBetween(s, a, b)
				}
			}
		}
	}
}

// lookAround samples the paths of a node, evenly over its peers.
func (p *picture) lookAround(s *suspect) {
	peers := s.peers
	if peers == nil {
		for n := range p.nodes {
			if n != s.node {
				peers = append(peers, n)
			}
		}
	}
	for _, peer := range spread(peers, maxSample) {
		p.lookBetween(s, s.node, peer)
	}
	for k, ends := range [2][2]mesh.Network{{mesh.Host, mesh.Pod}, {mesh.Pod, mesh.Host}} {
		from, to := p.nodes[s.node].agent[ends[0]], p.nodes[s.node].agent[ends[1]]
		if from < 0 || to < 0 || !p.speaks[from] || s.cells.local[k] == fine {
			continue
		}
		if path, ok := p.view.PathBetween(int(from), int(to), p.family); ok {
			s.facts.local[k] = path.Probes[0].Code
			if s.weight <= 2 && !path.Since.IsZero() {
				s.facts.since = append(s.facts.since, path.Since)
			}
		}
	}
}

// lookInside samples the bad paths within a node.
func (p *picture) lookInside(s *suspect, n int) {
	for k, ends := range [2][2]mesh.Network{{mesh.Host, mesh.Pod}, {mesh.Pod, mesh.Host}} {
		from, to := p.nodes[n].agent[ends[0]], p.nodes[n].agent[ends[1]]
		if p.nodes[n].local[k] != s.class {
			continue
		}
		if path, ok := p.view.PathBetween(int(from), int(to), p.family); ok {
			s.facts.take(&path, out)
		}
	}
}

// lookBetween samples the paths between two nodes that are bad in the suspect's way.
func (p *picture) lookBetween(s *suspect, a, b int) {
	for k := range mesh.PathKind(mesh.PathKinds) {
		from, to := k.Ends()
		for w, ends := range [ways][2]int{{a, b}, {b, a}} {
			if s.scope == ScopeNode && s.cells.at(k, way(w)) == good {
				continue
			}
			i, j := p.nodes[ends[0]].agent[from], p.nodes[ends[1]].agent[to]
			if i < 0 || j < 0 || !p.speaks[i] || !p.counts[j] {
				continue
			}
			states, known := p.states(int(i), int(j))
			if !known {
				continue
			}
			got := classOf[states]
			if got != s.class && !(s.class == dead && got == weak) && !(s.class == weak && got == dead) {
				continue
			}
			if path, ok := p.view.PathBetween(int(i), int(j), p.family); ok {
				s.facts.take(&path, way(w))
			}
		}
	}
}

// spread returns at most n of the list, evenly.
func spread(list []int, n int) []int {
	if len(list) <= n {
		return list
	}
	some := make([]int, n)
	for i := range some {
		some[i] = list[i*len(list)/n]
	}
	return some
}
