package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/mesh/kube/forward/forwardtest"
)

// inCluster is a cluster in which the world's server answers.
func inCluster(t *testing.T, w *world) *forwardtest.Cluster {
	c := forwardtest.New(t)
	c.PodAt("netchecker-server-1", time.Hour, strings.TrimPrefix(w.url, "http://"))
	return c
}

// alone makes sure that no kubeconfig of who runs the tests is found.
func alone(t *testing.T, kubeconfig string) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", kubeconfig)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
}

func TestTheServerThatIsMeantIsTheOneAsked(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	c := inCluster(t, w)
	file := c.Kubeconfig()
	alone(t, file)
	other := "http://127.0.0.1:1" // nobody answers there
	for _, test := range []struct {
		program, env, args string
		status             int
		says               string
	}{
		{"netcheck", other, "check --server " + w.url, 0, "ok: "},
		{"netcheck", w.url, "check", 0, "ok: "},
		{"netcheck", other, "check", 1, "cannot tell: http://127.0.0.1:1: "},
		{"netcheck", other, "check --kubeconfig " + file, 0, "ok: "},
		{"netcheck", other, "check --context spare", 0, "ok: "},
		{"netcheck", other, "check -n netchecker", 0, "ok: "},
		{"netcheck", other, "check -n else", 1, `cannot tell: context "prod": no service netchecker-service in namespace "else"`},
		{"kubectl-netcheck", "", "check", 0, "ok: "},
		{"kubectl-netcheck", other, "check", 1, "cannot tell: http://127.0.0.1:1: "},
		{"kubectl-netcheck", "", "check --server " + other, 1, "cannot tell: http://127.0.0.1:1: "},
		{"netcheck", "", "pairs --context gone", 2, `netcheck: kubeconfig "` + file + `": context "gone": no such context, there are: prod, spare`},
		{"netcheck", "", "pairs --kubeconfig /nowhere", 2, `netcheck: kubeconfig "/nowhere": `},
		{"netcheck", "", "pairs --kubeconfig " + file + " --server " + w.url, 2, "netcheck: --server and --kubeconfig: want one of them"},
		{"netcheck", "", "__complete check --context s", 0, "prod\nspare\n"},
		{"kubectl-netcheck", "", "__complete explain node1 ", 0, "node1\nnode2\nnode3\n"},
		{"kubectl-netcheck", "", "help check", 0, "Exits with 0"},
		{"kubectl-netcheck", "", "pairs extra", 2, `netcheck: unknown command "extra" for "kubectl netcheck pairs"`},
	} {
		env := func(name string) string { return map[string]string{"NETCHECKER_SERVER": test.env}[name] }
		args := strings.Split(test.args, " ")
		if status, out := typedAs(test.program, env, w.clock, args...); status != test.status || !strings.HasPrefix(out, test.says) {
			t.Errorf("%s, %q, %s: status %d, want %d: %s", test.program, test.env, test.args, status, test.status, out)
		}
	}
	alone(t, "")
	if status, out := typedAs("kubectl-netcheck", func(string) string { return "" }, w.clock, "check"); status != 1 || !strings.HasPrefix(out, "netcheck: no kubeconfig: ") {
		t.Errorf("without a kubeconfig: status %d: %s", status, out)
	}
	if status, out := typedAs("kubectl-netcheck", func(string) string { return "" }, w.clock, "completion", "bash"); status != 0 || !strings.Contains(out, "bash completion") {
		t.Errorf("completion needs no cluster: status %d: %.200s", status, out)
	}
}

func TestWithoutAWordItIsTheServerHereElseTheClusters(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	c := inCluster(t, w)
	for _, test := range []struct{ local, kubeconfig, says string }{
		{strings.TrimPrefix(w.url, "http://"), "/nowhere", "ok: "},
		{"127.0.0.1:1", c.Kubeconfig(), "ok: "},
		{"127.0.0.1:1", "", "cannot tell: no server at http://127.0.0.1:1 and no kubeconfig: --server URL or --kubeconfig FILE says where it is"},
	} {
		alone(t, test.kubeconfig)
		s := &asker{where: newWhere(false, func(string) string { return "" })}
		s.local = test.local
		if err := s.open(func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		for range 2 { // what is settled stays so
			if _, line := s.judge(t.Context(), 0); !strings.HasPrefix(line, test.says) {
				t.Errorf("%s, kubeconfig %q: %s", test.local, test.kubeconfig, line)
			}
		}
		s.close()
	}
	s := &asker{where: newWhere(false, func(name string) string { return map[string]string{"NETCHECKER_SERVER_USER": "a:b"}[name] })}
	s.local = strings.TrimPrefix(w.url, "http://")
	alone(t, c.Kubeconfig())
	if err := s.open(func(string) bool { return false }); err != nil || s.tunnel == nil || s.undecided {
		t.Errorf("a password is shown to whoever listens here: %v, %+v", err, s)
	}
	s.close()
}

// shared is a buffer for several goroutines.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *shared) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *shared) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestWatchGoesOnWithAnotherPod(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	c := inCluster(t, w)
	alone(t, c.Kubeconfig())
	out := &shared{}
	root, end := rootAt("kubectl-netcheck", func(string) string { return "" }, w.clock)
	root.SetArgs([]string{"watch", "--every", "100ms"})
	root.SetOut(out)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	printed := func(want ...string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if strings.Count(out.String(), "\n") >= len(want) {
				for i, part := range want {
					if !strings.Contains(lines[i], part) {
						t.Fatalf("line %d lacks %q:\n%s", i+1, part, out)
					}
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("printed, for want of %q:\n%s", want, out)
			}
		}
	}
	printed(" OK 3 nodes")
	c.Dies("netchecker-server-1")
	printed(" OK 3 nodes", `no answer: context "prod": no server pod`)
	c.PodAt("netchecker-server-2", time.Second, strings.TrimPrefix(w.url, "http://"))
	printed(" OK 3 nodes", "no answer: ", " OK 3 nodes")
	// A pod that is replaced, its connection kept: nobody notices.
	c.PodAt("netchecker-server-3", time.Second, strings.TrimPrefix(w.url, "http://"))
	c.Gone("netchecker-server-2")
	forwards := c.Forwards()["websocket"]
	c.Cut()
	for deadline := time.Now().Add(time.Minute); c.Forwards()["websocket"] == forwards; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no other pod is forwarded to")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	end()
	if strings.Count(out.String(), "\n") != 3 {
		t.Errorf("printed\n%s", out)
	}
}
