package diagnose

import (
	"cmp"
	"slices"
	"strings"

	"netchecker/mesh"
)

func (p *picture) names(list []int) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = p.nodes[n].name
	}
	slices.Sort(out)
	return out
}

// location says where a reading places the fault.
func (p *picture) location(d *reading) Location {
	l := Location{Scope: d.scope, Nodes: []string{}, Network: d.network, Groups: [][]string{}}
	if d.culprit >= 0 {
		l.Culprit = p.nodes[d.culprit].name
	}
	switch d.scope {
	case ScopeNode:
		l.Nodes = p.names([]int{d.node})
		if d.peer >= 0 {
			l.Nodes = p.names([]int{d.node, d.peer})
		}
		if d.kind == AgentDown || d.kind == AgentUnhealthy {
			l.Scope = ScopeAgent
		}
	case ScopePair:
		l.Nodes = p.names([]int{d.a, d.b})
		l.Source, l.Destination = p.nodes[d.from].name, p.nodes[d.to].name
	case ScopeGroups:
		for i, group := range d.groups {
			l.Groups = append(l.Groups, p.names(group))
			if i > 0 {
				l.Nodes = append(l.Nodes, p.names(group)...)
			}
		}
		slices.Sort(l.Nodes)
	}
	return l
}

// selectors name the paths that a reading explains.
func (p *picture) selectors(d *reading, dual bool) (list []Selector) {
	add := func(k mesh.PathKind, from, to string) {
		s := Selector{Path: k.String(), Source: from, Destination: to, Probe: classProbes[d.class]}
		if dual {
			s.Family = p.family.String()
		}
		list = append(list, s)
	}
	for k := range mesh.PathKind(mesh.PathKinds) {
		outward, inward := d.cells.at(k, out) >= mixed, d.cells.at(k, in) >= mixed
		switch d.scope {
		case ScopeNode:
			name := p.nodes[d.node].name
			if outward {
				add(k, name, "")
			}
			if inward {
				add(k, "", name)
			}
		case ScopePair:
			if outward {
				add(k, p.nodes[d.a].name, p.nodes[d.b].name)
			}
			if inward {
				add(k, p.nodes[d.b].name, p.nodes[d.a].name)
			}
		default:
			if outward {
				add(k, "", "")
			}
		}
	}
	if d.scope == ScopeNode {
		for i, k := range [2]mesh.PathKind{hp, ph} {
			if d.cells.heard[i] && d.cells.local[i] == d.class {
				add(k, p.nodes[d.node].name, p.nodes[d.node].name)
			}
		}
	}
	slices.SortFunc(list, func(a, b Selector) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Source, b.Source), strings.Compare(a.Destination, b.Destination))
	})
	return list
}

// classProbes are the probes that fail in a class; "" for all.
var classProbes = [classes + 1]string{big: "mtu", conn: "tcp", quiet: "icmp"}
