package diagnose

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// related reports whether two truths touch the same nodes, or one touches all.
func related(a, b truth) bool {
	return a.nodes == nil || b.nodes == nil || slices.ContainsFunc(a.nodes, func(n int) bool { return slices.Contains(b.nodes, n) })
}

// TestTwoFaultsAtOnceAreBothFound draws pairs of families at places of their own.
func TestTwoFaultsAtOnceAreBothFound(t *testing.T) {
	all := families()
	runs, right := 0, 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 11))
		n := 5 + rng.IntN(8)
		a, b := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
		first, second := a.make(n, rng), b.make(n, rng)
		if related(first, second) {
			continue
		}
		w := newWorld(t, n, nil).start()
		w.inject(first.fault, second.fault)
		runs++
		first.others, second.others = second.nodes, first.nodes
		wrong := w.check(w.run(18*time.Second), first, second)
		if len(wrong) == 0 {
			right++
			continue
		}
		if testing.Verbose() {
			fmt.Printf("seed %d, %d nodes: %s %v + %s %v\n   %s\n", seed, n, first.name, w.namesOf(first.nodes), second.name, w.namesOf(second.nodes), strings.Join(wrong, "\n   "))
		}
	}
	t.Logf("FIGURE two faults at once, on different nodes: %d of %d right", right, runs)
	if right*100 < runs*95 {
		t.Errorf("only %d of %d right", right, runs)
	}
}

// relabelled is a world with the same fault at the same numbers and other names in another order.
func TestRelabellingNodesRelabelsFindings(t *testing.T) {
	const n = 9
	for _, f := range families() {
		for seed := range uint64(2) {
			truth := f.make(n, rand.New(rand.NewPCG(seed, 5)))
			order := rand.New(rand.NewPCG(seed, 6)).Perm(n)
			other := func(i int) string { return fmt.Sprintf("host-%c", 'a'+order[i]) }
			var got [2][]string
			for k, names := range []func(int) string{nil, other} {
				w := newWorld(t, n, names).start()
				w.inject(truth.fault)
				for _, found := range w.run(16 * time.Second) {
					got[k] = append(got[k], w.plain(&found))
				}
				slices.Sort(got[k])
			}
			if !slices.Equal(got[0], got[1]) {
				t.Errorf("%s: %v\nrelabelled: %v", f.name, got[0], got[1])
			}
		}
	}
}

// plain is a finding with numbers in place of names.
func (w *world) plain(f *Finding) string {
	var numbers []int
	for _, name := range f.Location.Nodes {
		numbers = append(numbers, slices.Index(w.names, name))
	}
	slices.Sort(numbers)
	source, destination := slices.Index(w.names, f.Location.Source), slices.Index(w.names, f.Location.Destination)
	if f.Kind != OneWay { // both ways: whose name comes first is a matter of names
		source, destination = min(source, destination), max(source, destination)
	}
	return fmt.Sprint(f.Kind, f.Cause, f.Location.Scope, numbers, source, destination, f.Explains, f.Severity, f.Confidence)
}

// TestMoreEvidenceNeverMakesATrueFindingFalse gives evidence of more and more nodes.
func TestMoreEvidenceNeverMakesATrueFindingFalse(t *testing.T) {
	const n = 6
	for _, f := range shownFaults() {
		rng := rand.New(rand.NewPCG(3, 4))
		k := rng.IntN(n)
		o := (k + 1 + rng.IntN(n-1)) % n
		order := rng.Perm(n)
		for told := range n + 1 {
			w := newWorld(t, n, nil)
			w.evidence = true
			w.tells = func(at place) bool { return slices.Contains(order[:told], at.node) }
			w.start()
			truth := f.truth(w, k, o)
			w.inject(truth.fault)
			for _, found := range w.run(14 * time.Second) {
				w.harmless(&found, &truth, f.name, told)
			}
		}
	}
}

// harmless checks that a finding is at least not false: it names a node of the truth, and its cause
// is the truth's, or none, or one that it calls the remaining one.
func (w *world) harmless(f *Finding, truth *truth, name string, told int) {
	true_ := w.namesOf(truth.nodes)
	for _, node := range f.Location.Nodes {
		if len(true_) > 0 && !slices.Contains(true_, node) {
			w.t.Errorf("%s with evidence of %d nodes: blames %s: %s", name, told, node, f.Summary)
		}
	}
	if f.Cause != CauseUnknown && f.Cause != truth.cause {
		w.t.Errorf("%s with evidence of %d nodes: cause %s: %s", name, told, f.Cause, f.Summary)
	}
}

func TestNoiseChangesNothing(t *testing.T) {
	for _, f := range families() {
		for seed := range uint64(2) {
			n := 8
			truth := f.make(n, rand.New(rand.NewPCG(seed, 8)))
			w := newWorld(t, n, nil).start()
			w.noise = true
			liar := place{(truth.first() + 1) % n, mesh.Host}
			if slices.Contains(truth.nodes, liar.node) {
				liar.node = (liar.node + 1) % n
			}
			w.inject(truth.fault, fault{doubt: func(at place) probe.Doubt { // one healthy agent doubts itself, and everything fails for it
				if at == liar {
					return probe.DoubtLag
				}
				return 0
			}})
			found := w.run(25 * time.Second)
			for _, wrong := range w.check(found, truth) {
				t.Errorf("%s, seed %d: %s", f.name, seed, wrong)
			}
		}
	}
}

func (t *truth) first() int {
	if len(t.nodes) > 0 {
		return t.nodes[0]
	}
	return 0
}

func TestBothFamiliesMakeOneFinding(t *testing.T) {
	for _, f := range families() {
		truth := f.make(6, rand.New(rand.NewPCG(1, 8)))
		w := newWorld(t, 6, nil)
		w.dual = true
		w.start()
		w.inject(truth.fault)
		for _, found := range w.run(16 * time.Second) {
			if strings.Contains(found.Summary, "only)") {
				t.Errorf("%s: %s", f.name, found.Summary)
			}
		}
		for _, wrong := range w.check(w.run(time.Second), truth) {
			t.Errorf("%s: %s", f.name, wrong)
		}
	}
}

var update = flag.Bool("update", false, "write golden files")

// TestSummaries keeps the words of every family and cause in a file, where a reader can judge them.
func TestSummaries(t *testing.T) {
	var lines []string
	tell := func(name string, found []Finding) {
		for _, f := range found {
			lines = append(lines, fmt.Sprintf("%s\n  %s/%s %s\n  %s\n  check: %s", name, f.Kind, f.Cause, f.Severity, f.Summary, f.Check))
			for _, e := range f.Evidence {
				lines = append(lines, fmt.Sprintf("  - %s: %s = %s, expected %s", e.Node, e.Fact, e.Value, e.Expected))
			}
		}
	}
	for _, f := range families() {
		w := newWorld(t, 5, nil).start()
		w.inject(f.make(5, rand.New(rand.NewPCG(2, 2))).fault)
		tell(f.name, w.run(16*time.Second))
	}
	for _, f := range shownFaults() {
		w := newWorld(t, 5, nil)
		w.evidence = true
		w.start()
		w.inject(f.fault(w, 2, 3))
		tell(f.name, w.run(14*time.Second))
	}
	golden := filepath.Join("testdata", "summaries.golden")
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("summaries differ from %s; go test -run Summaries -update writes it anew", golden)
	}
}

func TestJSONIsAsDocumented(t *testing.T) {
	w := newWorld(t, 5, nil).start()
	w.inject(families()[2].make(5, w.rng).fault)
	found := w.run(6 * time.Second)
	data, err := json.Marshal(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"kind", "severity", "since", "id", "closed_at", "summary", "location", "cause", "confidence", "explains", "paths", "alternatives", "evidence", "check"} {
		if _, there := got[key]; !there {
			t.Errorf("no %q in %s", key, data)
		}
	}
	if strings.Contains(string(data), ":null") != (found[0].ClosedAt == nil) || strings.Count(string(data), "null") > 1 {
		t.Errorf("null where a list should be: %s", data)
	}
}
