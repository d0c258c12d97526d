package sim

import (
	"fmt"
	"iter"
	"strings"

	"netchecker/mesh"
	"netchecker/probe"
)

// Truth says in which states a path may be, as a set of mesh.WantState bits.
type Truth func(source, destination Place, family mesh.Family) uint8

// The sets that a Truth is made of.
const (
	OK       = uint8(1 << probe.OK)
	Degraded = uint8(1 << probe.Degraded)
	Failing  = uint8(1 << probe.Failing)
	Unknown  = uint8(1 << probe.Unknown)
)

// Healthy is the truth of a cluster without a fault.
func Healthy(Place, Place, mesh.Family) uint8 { return OK }

// Wrong is a path that is in another state than the truth has it.
type Wrong struct {
	mesh.Path
	// Want is the set of states that it may be in.
	Want uint8
}

// String says what is wrong, with the state of every probe.
func (w Wrong) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s > %s is %s, want", w.Source, w.Destination, w.State)
	for s := range probe.State(probe.States) {
		if w.Want&mesh.WantState(s) != 0 {
			fmt.Fprintf(&text, " %s", s)
		}
	}
	for _, k := range probe.AllKinds() {
		s := &w.Probes[k]
		fmt.Fprintf(&text, "; %s %s %s loss %d forward %d return %d", k, s.State, s.Code, s.Loss, s.Forward, s.Return)
	}
	return text.String()
}

// Compare returns the paths of the view that are not what truth says. A path that the view does
// not have is unknown.
func (c *Cluster) Compare(v *mesh.View, truth Truth) (wrong []Wrong) {
	all := c.paths(truth)
	bad, total := 0, 0
	for _, counts := range v.Counts() {
		total += counts.Total
	}
	for ref := range v.Refs(mesh.Filter{States: Unknown | Degraded | Failing}) {
		path := v.Path(ref)
		want := truth(c.places[path.Source], c.places[path.Destination], path.Family)
		if want&OK == 0 {
			bad++
		}
		if want&mesh.WantState(path.State) == 0 {
			wrong = append(wrong, Wrong{path, want})
		}
	}
	if bad == all.bad && total == all.total {
		return wrong
	}
	return c.search(v, truth)
}

// search is Compare the long way: every path is looked up.
func (c *Cluster) search(v *mesh.View, truth Truth) (wrong []Wrong) {
	type name struct {
		from, to mesh.Key
		family   mesh.Family
	}
	said := map[name]mesh.Path{}
	for p := range v.Paths(mesh.Filter{}) {
		said[name{p.Source, p.Destination, p.Family}] = p
	}
	for p := range c.all() {
		want := truth(p.from, p.to, p.family)
		path, there := said[name{p.from.Key(), p.to.Key(), p.family}]
		if !there {
			path = mesh.Path{Source: p.from.Key(), Destination: p.to.Key(), Family: p.family}
		}
		if want&mesh.WantState(path.State) == 0 {
			wrong = append(wrong, Wrong{path, want})
		}
	}
	return wrong
}

type placePath struct {
	from, to Place
	family   mesh.Family
}

type pathCounts struct{ total, bad int }

// paths counts all paths, and those that must not be ok.
func (c *Cluster) paths(truth Truth) (n pathCounts) {
	for p := range c.all() {
		n.total++
		if truth(p.from, p.to, p.family)&OK == 0 {
			n.bad++
		}
	}
	return n
}

// all yields every path of the cluster.
func (c *Cluster) all() iter.Seq[placePath] {
	families := mesh.Family(1)
	if c.cfg.Dual {
		families = mesh.Families
	}
	count := mesh.Networks * c.nodes
	place := func(i int) Place { return c.Place(i/mesh.Networks, mesh.Network(i%mesh.Networks)) }
	return func(yield func(placePath) bool) {
		for i := range count {
			for j := range count {
				for f := range families {
					if i != j && !yield(placePath{place(i), place(j), f}) {
						return
					}
				}
			}
		}
	}
}
