package sim_test

import (
	"cmp"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
	. "netchecker/test/sim"
)

var (
	nodes    = flag.Int("nodes", usualNodes, "nodes of the clusters that faults are tried on")
	patience = flag.Float64("patience", 1, "factor on every deadline, to learn what a larger cluster needs")
)

// sample is how often the view is looked at.
const sample = 100 * time.Millisecond

// lab is a cluster under test.
type lab struct {
	*Cluster
	t *testing.T
}

// healthy starts a cluster and waits until every path is ok.
func healthy(t *testing.T, cfg Config) *lab {
	t.Helper()
	if cfg.Nodes == 0 {
		cfg.Nodes = *nodes
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{c, t}
	t.Cleanup(func() {
		if rate := cmp.Or(cfg.Rate, probe.DefaultRate); l.Peak() > rate {
			t.Errorf("an agent sent %d probes within a second, its budget is %d", l.Peak(), rate)
		}
	})
	l.until(5*time.Second, Healthy, nil)
	l.Run(20 * time.Second)
	l.must("at the start", Healthy)
	return l
}

// must fails the test unless the view is what truth says.
func (l *lab) must(when string, truth Truth) {
	l.t.Helper()
	if wrong := l.Compare(l.View(), truth); len(wrong) > 0 {
		l.t.Fatalf("%s, after %v: %s", when, l.Now(), list(wrong))
	}
}

func list(wrong []Wrong) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d paths are wrong", len(wrong))
	for _, w := range wrong[:min(len(wrong), 5)] {
		fmt.Fprintf(&text, "\n\t%s", w)
	}
	return text.String()
}

// until lets time pass until the view is what truth says, and returns how long that took. Paths
// that both before and truth call ok and nothing else must be so all the time.
func (l *lab) until(limit time.Duration, truth, before Truth) time.Duration {
	l.t.Helper()
	start := l.Now()
	limit = time.Duration(float64(limit) * *patience)
	for {
		wrong := l.Compare(l.View(), truth)
		if len(wrong) == 0 {
			return l.Now() - start
		}
		if l.Now()-start >= limit {
			l.t.Fatalf("not within %v: %s", limit, list(wrong))
		}
		if before != nil {
			l.must("meanwhile", either(truth, before))
		}
		l.Run(sample)
	}
}

// stays lets d pass and fails the test when the view is ever not what truth says.
func (l *lab) stays(d time.Duration, truth Truth) {
	l.t.Helper()
	for end := l.Now() + d; l.Now() < end; {
		l.Run(sample)
		l.must("it did not stay so", truth)
	}
}

// either allows anything on the way from one truth to another, but ok alone where both want it.
func either(a, b Truth) Truth {
	return func(s, d Place, f mesh.Family) uint8 {
		if both := a(s, d, f) | b(s, d, f); both != OK {
			return OK | Degraded | Failing | Unknown
		}
		return OK
	}
}

// touching is the truth that paths from or to a node, not within it, are in a state.
func touching(node int, from, to uint8) Truth {
	return func(s, d Place, _ mesh.Family) uint8 {
		switch {
		case s.Node == d.Node:
			return OK
		case s.Node == node:
			return from
		case d.Node == node:
			return to
		}
		return OK
	}
}

// path returns a path of the view.
func (l *lab) path(from, to Place) mesh.Path {
	l.t.Helper()
	f := mesh.Filter{Source: from.Key().Node, Destination: to.Key().Node, Kinds: mesh.WantKind(mesh.KindOf(from.Network, to.Network))}
	for p := range l.View().Paths(f) {
		return p
	}
	l.t.Fatalf("no path from %v to %v", from, to)
	return mesh.Path{}
}

// direction says which way a share of loss points.
func direction(s *probe.Status) string {
	forward, f := s.Forward.Ratio()
	back, r := s.Return.Ratio()
	switch {
	case !f && !r:
		return "not known"
	case f && forward > 0 && (!r || back == 0):
		return "forward"
	case r && back > 0 && (!f || forward == 0):
		return "return"
	case f && r && forward > 0 && back > 0:
		return "both"
	}
	return "none"
}
