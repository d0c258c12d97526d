// Package e2e is netchecker on a real Kubernetes cluster, as an operator puts it there: images from
// make image, deploy/deploy.sh unmodified, faults in the network of the nodes.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"netchecker/test/kube/cluster"
)

// patience is how long a test waits for what must come: many times what it takes, since machines
// that run tests are slow now and then. How long it really took is logged.
const patience = 3 * time.Minute

// world is a cluster with netchecker on it.
type world struct {
	*cluster.Cluster
	root string // of the project
	kube string // the script's KUBE_DIR
	env  []string
	port int
}

// TestCluster runs everything on one cluster, in this order: each part leaves it healthy for the next.
func TestCluster(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: namespaces, mounts and cgroups")
	}
	w := bringUp(t)
	before := w.objects(t)
	w.deploy(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"AllPathsAreOK", allPathsAreOK},
		{"TheOriginalContractHolds", contractHolds},
		{"APersonHasKubectlAlone", kubectlNetcheck},
		{"DeployingAgainChangesNothing", deployingAgain},
		{"AFaultShowsOnItsPaths", faults},
		{"PrometheusFiresAndResolves", prometheusFires},
		{"EveryAlertFires", everyAlertFires},
		{"ARollingUpdateIsSilent", rollingUpdate},
		{"ADrainIsSilent", drains},
		{"ThePodsAreCalm", podsAreCalm},
		{"TheAPIServerIsAwayInSilence", apiServerAway}, // the server's log complains of it, as it should
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			w.showState(t)
			if part.name == "AllPathsAreOK" {
				t.FailNow()
			}
		}
	}
	t.Run("PurgeLeavesNothing", func(t *testing.T) { purge(t, w, before) })
	t.Run("KustomizeInstalls", func(t *testing.T) { kustomize(t, w, before) })
	t.Run("TheOperatorsObjectsAreApplied", func(t *testing.T) { operator(t, w) })
	t.Run("HelmInstalls", func(t *testing.T) { helm(t, w) })
}

func bringUp(t *testing.T) *world {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	nodes := 3
	if text := os.Getenv("NETCHECKER_NODES"); text != "" {
		if nodes, err = strconv.Atoi(text); err != nil {
			t.Fatalf("NETCHECKER_NODES=%q: want a number", text)
		}
	}
	images := exec.CommandContext(t.Context(), "make", "-C", root, "image", "PLATFORMS="+runtime.GOARCH)
	if out, err := images.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	c, err := cluster.Start(t.Context(), cluster.Config{Nodes: nodes, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	archives, err := filepath.Glob(filepath.Join(root, "bin", "images", "*.tar"))
	if err != nil || len(archives) != 2 {
		t.Fatalf("make image left %q, %v, want two archives", archives, err)
	}
	for _, archive := range archives {
		if err := c.ImportImage(t.Context(), archive); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{Cluster: c, root: root, kube: c.Path("manifests"), port: 31081}
	w.env = []string{"KUBE_DIR=" + w.kube, "AGENT_REPORT_INTERVAL=10"}
	return w
}

// deploy runs the script and waits until every pod is ready.
func (w *world) deploy(t *testing.T) {
	t.Helper()
	out, err := w.script(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, hint := range []string{"connectivity_check", "/api/v1/agents/", "/metrics"} {
		if !strings.Contains(out, hint) {
			t.Errorf("the closing hints do not name %s:\n%s", hint, out)
		}
	}
	w.rolledOut(t)
}

// script runs deploy.sh with the test's environment and more.
func (w *world) script(ctx context.Context, env ...string) (string, error) {
	return w.ExecEnv(ctx, append(w.env, env...), filepath.Join(w.root, "deploy", "deploy.sh"))
}

// rolledOut waits until all that was asked for runs.
func (w *world) rolledOut(t *testing.T) {
	t.Helper()
	for _, what := range []string{"deployment/netchecker-server", "daemonset/netchecker-agent", "daemonset/netchecker-agent-hostnet"} {
		if _, err := w.Kubectl(t.Context(), "", "-n", "netchecker", "rollout", "status", what, "--timeout=300s"); err != nil {
			t.Fatal(err)
		}
	}
}

// allPathsAreOK is the first thing an operator looks at.
func allPathsAreOK(t *testing.T, w *world) {
	took := w.awaitAllOK(t)
	t.Logf("all paths ok %.1f s after the last pod was ready", took.Seconds())
	took = await(t, "connectivity_check", func() error {
		status, body, err := w.get(t.Context(), "/api/v1/connectivity_check")
		if err == nil && status != 200 {
			err = fmt.Errorf("%d: %s", status, body)
		}
		return err
	})
	t.Logf("connectivity_check 200 after %.1f s more", took.Seconds())
}

// await asks until the answer is nil and returns how long that took.
func await(t *testing.T, what string, ask func() error) time.Duration {
	t.Helper()
	began := time.Now()
	var last error
	for {
		err := ask()
		took := time.Since(began)
		if err == nil {
			if took > 15*time.Second && last != nil {
				t.Logf("%s: the last thing missing was: %v", what, last)
			}
			return took
		}
		last = err
		if took > patience {
			t.Fatalf("%s: after %v: %v", what, patience, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// showState prints what an operator would look at.
func (w *world) showState(t *testing.T) {
	for _, args := range [][]string{
		{"get", "nodes,pods", "-A", "-o", "wide"},
		{"-n", "netchecker", "logs", "deployment/netchecker-server", "--tail=20"},
	} {
		out, err := w.Kubectl(context.Background(), "", args...)
		t.Log(out, err)
	}
	_, text, err := w.get(context.Background(), "/api/v1/matrix?format=text")
	t.Log(text, err)
}
