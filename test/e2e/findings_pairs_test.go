package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// pairNodes is the size of the lab for two faults at once: enough nodes stay well.
const pairNodes = 7

// TestTwoFaultsAtOnce injects NETCHECKER_PAIRS random pairs of local faults at different nodes, two
// seconds apart; both must be located, and nothing else said.
func TestTwoFaultsAtOnce(t *testing.T) {
	pairs, err := strconv.Atoi(os.Getenv("NETCHECKER_PAIRS"))
	if err != nil || pairs < 1 {
		t.Skip("NETCHECKER_PAIRS=20 tries that many")
	}
	c := start(t, lab.Config{Nodes: pairNodes}, trial())
	located, named, clean := 0, 0, 0
	for range pairs {
		scores := judgePair(t, c)
		if scores[0].located && scores[1].located {
			located++
		}
		if scores[0].caused && scores[1].caused {
			named++
		}
		if len(scores[0].wrong) == 0 {
			clean++
		}
	}
	if 10*located < 9*pairs {
		t.Errorf("both located in %d of %d pairs", located, pairs)
	}
	t.Logf("TABLE two faults at once: %d pairs, both located %d, both named %d, nothing wrong said %d", pairs, located, named, clean)
}

// judgePair judges two faults that can be made at once: of some the second finds no more what it would
// break. More than a few of those in a row are no chance.
func judgePair(t *testing.T, c *cluster.Cluster) [2]score {
	t.Helper()
	for range 10 {
		a, b := pickPair()
		s, err := judgeBoth(t, c, a, b)
		if err == nil {
			return s
		}
		t.Logf("NO PAIR %s and %s cannot be made together, another is chosen: %v", a.fault, b.fault, err)
	}
	t.Fatal("ten pairs of faults in a row cannot be made together")
	return [2]score{}
}

// pickPair chooses two different faults that have a place: one in the middle of the network hides
// what lies behind it.
func pickPair() (a, b *verdict) {
	for {
		a, b = &verdicts[rand.IntN(len(verdicts))], &verdicts[rand.IntN(len(verdicts))]
		if a != b && a.args > 0 && b.args > 0 && a.kind != "" && b.kind != "" {
			return a, b
		}
	}
}

// judgeBoth is judge for two faults; what is wrong is in the first score. When the second cannot be made
// beside the first, it heals that one and says why.
func judgeBoth(t *testing.T, c *cluster.Cluster, a, b *verdict) (s [2]score, err error) {
	t.Helper()
	nodes := shuffled(c.Lab.Nodes())
	home := c.Lab.ServerPod().Node
	for nodes[0] == home || nodes[a.args] == home { // what cuts off the server tells of nothing else
		nodes = shuffled(c.Lab.Nodes())
	}
	at := [2][]int{nodes[:a.args], nodes[a.args : a.args+b.args]}
	both := [2]*verdict{a, b}
	var heal [2]func()
	heal[0] = breakIt(t, c, a, at[0])
	time.Sleep(2 * time.Second)
	if heal[1], err = inject(t, c, b, at[1]); err != nil {
		heal[0]()
		awaitQuiet(t, c, func() {})
		return s, err
	}
	began := time.Now()
	var wrong []string
	var end time.Time
	one, ends := alike(a, b), []int{at[0][0], at[1][0]}
	take := func(after time.Duration) {
		for _, f := range findings(t, c) {
			if one != nil && one.fits(&f, ends) {
				s[0].take(one, &f, ends, after)
				s[1].take(one, &f, ends, after)
				continue
			}
			i := 0
			if !a.fits(&f, at[0]) {
				i = 1
			}
			before := len(s[i].wrong)
			s[i].take(both[i], &f, at[i], after)
			if len(s[i].wrong) > before {
				wrong = append(wrong, s[i].wrong[before:]...)
			}
		}
	}
	for now := began; end.IsZero() && now.Sub(began) < 30*time.Second || now.Before(end); now = time.Now() {
		take(now.Sub(began) + time.Millisecond)
		if s[0].caused && s[1].caused && end.IsZero() {
			end = now.Add(afterwards)
		}
		pause(t.Context())
	}
	heal[1]()
	heal[0]()
	awaitQuiet(t, c, func() { take(0) })
	s[0].wrong = wrong
	t.Logf("VERDICT %s at %v and %s at %v: located %v %v named %v %v wrong %d, broken at %s", a.fault, at[0], b.fault, at[1],
		s[0].located, s[1].located, s[0].caused, s[1].caused, len(wrong), began.UTC().Format("15:04:05"))
	for _, w := range wrong {
		t.Logf("  wrong: %s", w)
	}
	return s, nil
}

// alike is what two faults of one node each are called when they are called the same: one finding may then
// name both nodes. It is nil for other faults.
func alike(a, b *verdict) *verdict {
	if a.kind != b.kind || a.cause != b.cause || a.where != "k" || b.where != "k" {
		return nil
	}
	one := *a
	one.where = "k,b"
	return &one
}

// awaitQuiet waits until nothing is found any more and all paths are ok, and calls meanwhile for each look
// until then.
func awaitQuiet(t *testing.T, c *cluster.Cluster, meanwhile func()) {
	t.Helper()
	for began := time.Now(); !quietNow(t, c) && time.Since(began) < patience; pause(t.Context()) {
		meanwhile()
	}
	awaitAllOK(t, c)
}

// fits reports whether a finding is what the fault must be called, at its place.
func (v *verdict) fits(f *finding, nodes []int) bool { return f.Kind == v.kind && v.at(f, nodes) }
