package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// watcher reads the matrix all the time and notes every path that is not well and every finding.
type watcher struct {
	cancel   context.CancelFunc
	done     sync.WaitGroup
	readings int
	unknown  int // readings with a path that nobody knows
	errors   int
	bad      map[string]int // what was wrong → number of readings
}

func (w *world) watch(t *testing.T) *watcher {
	ctx, cancel := context.WithCancel(t.Context())
	x := &watcher{cancel: cancel, bad: map[string]int{}}
	x.done.Go(func() {
		for ctx.Err() == nil {
			m, err := w.matrix(ctx)
			if ctx.Err() == nil {
				x.note(m, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	return x
}

func (x *watcher) note(m *matrix, err error) {
	x.readings++
	if err != nil { // the server itself moves now and then
		x.errors++
		return
	}
	unknown := false
	for _, p := range m.Pairs {
		switch p.State {
		case "failing", "degraded":
			x.bad[p.String()]++
		case "unknown":
			unknown = true
		}
	}
	if unknown {
		x.unknown++
	}
	for _, f := range m.Findings {
		x.bad["finding "+string(f)]++
	}
}

// end stops the watcher and wants nothing wrong in what it saw.
func (x *watcher) end(t *testing.T) {
	t.Helper()
	x.cancel()
	x.done.Wait()
	t.Logf("%d readings, %d of them with an unknown path, %d without an answer", x.readings, x.unknown, x.errors)
	if x.readings-x.errors < 20 {
		t.Errorf("%d readings are too few to prove anything", x.readings-x.errors)
	}
	var lines []string
	for what, n := range x.bad {
		lines = append(lines, fmt.Sprintf("%d×: %s", n, what))
	}
	slices.Sort(lines)
	if len(lines) > 0 {
		t.Errorf("seen while nothing was broken:\n%s", strings.Join(lines[:min(20, len(lines))], "\n"))
	}
}

// rollingUpdate replaces every agent, one node after the other, both DaemonSets at once.
func rollingUpdate(t *testing.T, w *world) {
	before := w.pods(t, "netchecker-agent")
	x := w.watch(t)
	if _, err := w.Kubectl(t.Context(), "", "-n", "netchecker", "rollout", "restart", "daemonset/netchecker-agent", "daemonset/netchecker-agent-hostnet"); err != nil {
		t.Fatal(err)
	}
	w.rolledOut(t)
	w.awaitAllOK(t)
	x.end(t)
	for _, p := range w.pods(t, "netchecker-agent") {
		for _, old := range before {
			if p.Name == old.Name {
				t.Errorf("%s was not replaced", p.Name)
			}
		}
	}
}

// drains empties the server's node and then another, as for maintenance.
func drains(t *testing.T, w *world) {
	for _, who := range []string{"TheServersNode", "AnotherNode"} {
		t.Run(who, func(t *testing.T) {
			node := w.serverNode(t)
			if who == "AnotherNode" {
				node = w.victim(t)
			}
			x := w.watch(t)
			_, err := w.Kubectl(t.Context(), "", "drain", node.Name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
			if err != nil {
				t.Fatal(err)
			}
			w.rolledOut(t)
			w.awaitAllOK(t)
			time.Sleep(10 * time.Second) // what is late shows, too
			if _, err := w.Kubectl(t.Context(), "", "uncordon", node.Name); err != nil {
				t.Fatal(err)
			}
			w.awaitAllOK(t)
			x.end(t)
		})
	}
}

// apiServerAway takes the API server away for longer than watches take to notice: the network is
// watched on and nothing is found in it; the server says that it does not keep reports for now.
func apiServerAway(t *testing.T, w *world) {
	x := w.watch(t)
	w.API.Kill()
	back := false
	defer func() {
		if !back {
			_ = w.API.Start(context.WithoutCancel(t.Context()))
		}
	}()
	took := await(t, "the server is not ready", func() error { // its store is the API server
		status, body, err := w.get(t.Context(), "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, "kubernetes") {
			return fmt.Errorf("readyz: %d %s %w", status, body, err)
		}
		return nil
	})
	t.Logf("/readyz says so after %.1f s", took.Seconds())
	time.Sleep(20 * time.Second)
	if status, body, err := w.get(t.Context(), "/api/v1/connectivity_check"); err != nil || status != 200 {
		t.Errorf("connectivity_check without the API server: %d %s %v", status, body, err)
	}
	if err := w.API.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	back = true
	took = await(t, "the server is ready", func() error {
		status, body, err := w.get(t.Context(), "/readyz")
		if err != nil || status != 200 || strings.Contains(body, "Kubernetes: ") {
			return fmt.Errorf("readyz: %d %s %w", status, body, err)
		}
		return nil
	})
	t.Logf("ready %.1f s after the API server came back", took.Seconds())
	w.awaitAllOK(t)
	x.end(t)
}
