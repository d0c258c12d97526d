package diagnose

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func (w *world) namesOf(list []int) []string {
	out := []string{}
	for _, i := range list {
		out = append(out, w.names[i])
	}
	slices.Sort(out)
	return out
}

// check says what of a list of findings does not fit the truths.
func (w *world) check(found []Finding, truths ...truth) (wrong []string) {
	left := slices.Clone(truths)
	for _, f := range found {
		at := slices.IndexFunc(left, func(t truth) bool { return w.fits(&f, &t) })
		if at < 0 {
			wrong = append(wrong, fmt.Sprintf("not true: %s/%s %v %s", f.Kind, f.Cause, f.Location.Nodes, f.Summary))
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	for _, t := range left {
		wrong = append(wrong, fmt.Sprintf("not found: %s: %s/%s %v", t.name, t.kind, t.cause, w.namesOf(t.nodes)))
	}
	return wrong
}

func (w *world) fits(f *Finding, t *truth) bool {
	if f.Kind != t.kind || f.Cause != t.cause {
		return false
	}
	if t.kind == Partition { // which part of a split is the odd one is a matter of size
		return w.partOf(f.Location.Nodes, t.nodes, t.others) || w.partOf(f.Location.Nodes, others(w.n, t.nodes), t.others)
	}
	return slices.Equal(f.Location.Nodes, w.namesOf(t.nodes))
}

// partOf reports whether names are those of a part, but for nodes that have a fault of their own.
func (w *world) partOf(names []string, part, exempt []int) bool {
	for _, i := range part {
		if !slices.Contains(names, w.names[i]) && !slices.Contains(exempt, i) {
			return false
		}
	}
	for _, name := range names {
		if !slices.Contains(part, slices.Index(w.names, name)) {
			return false
		}
	}
	return true
}

func others(n int, list []int) (rest []int) {
	for i := range n {
		if !slices.Contains(list, i) {
			rest = append(rest, i)
		}
	}
	return rest
}

func sizes() []int {
	if testing.Short() {
		return []int{2, 3, 5, 8}
	}
	return []int{2, 3, 4, 5, 6, 8, 13, 30}
}

func TestEveryFamilyIsFoundWhereItIs(t *testing.T) {
	for _, family := range families() {
		for _, n := range sizes() {
			if n < family.least {
				continue
			}
			for seed := range uint64(3) {
				t.Run(fmt.Sprintf("%s/%d/%d", family.name, n, seed), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(seed, uint64(n)))
					truth := family.make(n, rng)
					w := newWorld(t, n, nil).start()
					w.inject(truth.fault)
					found := w.run(16 * time.Second)
					for _, wrong := range w.check(found, truth) {
						t.Error(wrong)
					}
					w.onlyEver(truth.kind)
				})
			}
		}
	}
}

// onlyEver checks that nothing else was said at any moment.
func (w *world) onlyEver(kinds ...Kind) {
	for _, f := range w.seen {
		if !slices.Contains(kinds, f.Kind) {
			w.t.Errorf("said for a while: %s/%s %v %s", f.Kind, f.Cause, f.Location.Nodes, f.Summary)
		}
	}
}

func TestAHealthyClusterYieldsNothing(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 30} {
		w := newWorld(t, n, nil).start()
		w.noise = true
		w.run(30 * time.Second)
		w.onlyEver()
	}
}

func TestAFindingClosesWhenItsPathsRecover(t *testing.T) {
	for _, family := range families() {
		n := 6
		truth := family.make(n, rand.New(rand.NewPCG(1, 2)))
		w := newWorld(t, n, nil).start()
		w.inject(truth.fault)
		w.run(16 * time.Second)
		w.heal()
		if found := w.run(12 * time.Second); len(found) > 0 {
			t.Errorf("%s: still said: %s", family.name, found[0].Summary)
		}
		w.onlyEver(truth.kind)
	}
}
