package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// bin is the folder with the programs under test.
var bin string

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Println("e2e needs root: network namespaces")
		os.Exit(m.Run()) // every test says so by itself
	}
	dir, err := os.MkdirTemp("", "netchecker-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	if err := os.Chmod(dir, 0o755); err != nil { // the demonstration also runs as nobody
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build := exec.Command("go", "build", "-o", dir+"/", "netchecker/cmd/netchecker-server", "netchecker/cmd/netchecker-agent", "netchecker/cmd/netcheck")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long a test waits for what must come: many times what it takes, since machines
// that run tests are slow now and then. How long it really took is logged.
const patience = 60 * time.Second

// start brings up a lab and all programs in it and waits until every path is ok.
func start(t *testing.T, labCfg lab.Config, cfg cluster.Config) *cluster.Cluster {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	l, err := lab.Start(t.Context(), labCfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	// The programs run as user 65534 and read their secret there: a test's own folder is closed to them.
	logs, err := os.MkdirTemp("", "netchecker-e2e-logs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(logs) })
	if err := os.Chmod(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.Bin, cfg.Logs = bin, logs
	c, err := cluster.Start(t.Context(), l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			showLogs(t, cfg.Logs)
		}
	})
	began := time.Now()
	awaitAllOK(t, c)
	t.Logf("all paths ok %.1f s after the start of the last agent", time.Since(began).Seconds())
	return c
}

// showLogs prints the end of every program's log.
func showLogs(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		t.Logf("%s:\n%s", filepath.Base(file), strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
}

// paths4N is the number of paths of n nodes in one family.
func paths4N(n int) int { return 4*n*n - 2*n }

func awaitAllOK(t *testing.T, c *cluster.Cluster) time.Duration {
	t.Helper()
	began := time.Now()
	var last string
	for time.Since(began) < patience {
		m, err := c.Matrix(t.Context(), nil)
		if err != nil {
			last = err.Error()
		} else {
			total, ok := 0, 0
			for _, p := range m.Paths {
				total, ok = total+p["total"], ok+p["ok"]
			}
			want := paths4N(c.Lab.Nodes())
			if total >= want && ok == total && m.State == "ok" {
				return time.Since(began)
			}
			last = fmt.Sprintf("state %s, %d of %d ok, want %d: %s", m.State, ok, total, want, brief(m))
		}
		pause(t.Context())
	}
	t.Fatalf("not all ok after %v: %s", patience, last)
	return 0
}

func brief(m *cluster.Matrix) string {
	var out []string
	for _, p := range m.Pairs[:min(12, len(m.Pairs))] {
		out = append(out, fmt.Sprintf("%s>%s %s %s%s", p.Source, p.Destination, p.Path, p.State, why(p)))
	}
	return strings.Join(out, "; ")
}

// await waits until the matrix is exactly as expected and returns how long that took.
func await(t *testing.T, c *cluster.Cluster, want expectation) time.Duration {
	t.Helper()
	began := time.Now()
	var missing, unexpected []string
	for time.Since(began) < patience {
		if m, err := c.Matrix(t.Context(), nil); err != nil {
			unexpected = []string{err.Error()}
		} else if missing, unexpected = want.check(m); len(missing)+len(unexpected) == 0 {
			return time.Since(began)
		}
		pause(t.Context())
	}
	t.Errorf("after %v\nmissing:\n  %s\nunexpected:\n  %s", patience, strings.Join(missing, "\n  "), strings.Join(unexpected, "\n  "))
	return patience
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}
