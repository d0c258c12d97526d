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
)

// person is somebody with kubectl, its plugin and a kubeconfig.
type person struct {
	*world
	t          *testing.T
	kubeconfig string
}

// runs runs a command as that person; with no cluster's error it is what was printed.
func (p person) runs(ctx context.Context, args ...string) (string, error) {
	env := []string{"KUBECONFIG=" + p.kubeconfig, "PATH=" + filepath.Join(p.root, "bin") + ":" + p.Bin() + ":" + os.Getenv("PATH")}
	return p.ExecEnv(ctx, env, args[0], args[1:]...)
}

// reads wants a command to succeed and to print something.
func (p person) reads(want string, args ...string) {
	p.t.Helper()
	if out, err := p.runs(p.t.Context(), args...); err != nil || !strings.Contains(out, want) {
		p.t.Errorf("%s: %v, no %q in\n%s", strings.Join(args, " "), err, want, out)
	}
}

// kubectlNetcheck is what a person does with kubectl alone: no node can be reached but by the API server.
func kubectlNetcheck(t *testing.T, w *world) {
	build := exec.CommandContext(t.Context(), "make", "-C", w.root, "build")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	admin := person{w, t, w.Kubeconfig}
	paths := 4*len(w.Nodes)*len(w.Nodes) - 2*len(w.Nodes)
	ok := fmt.Sprintf("ok: %d paths between %d nodes", paths, len(w.Nodes))
	admin.reads("kubectl-netcheck", "kubectl", "plugin", "list")
	admin.reads("kubectl netcheck [command]", "kubectl", "netcheck", "--help")
	admin.reads(ok, "kubectl", "netcheck", "check", "--wait", "1m")
	admin.reads("OK  ", "kubectl", "netcheck", "matrix")
	admin.reads("node1/host", "kubectl", "netcheck", "explain", "node1")
	admin.reads("node1\nnode2\n", "kubectl", "__complete", "netcheck", "explain", "")
	admin.reads("matrix\t", "kubectl", "__complete", "netcheck", "ma")
	if out, err := admin.runs(t.Context(), "kubectl", "netcheck", "check", "--context", "elsewhere"); err == nil || !strings.Contains(out, `context "elsewhere": no such context`) {
		t.Errorf("another context: %v: %s", err, out)
	}
	leastRole(t, w, ok)
	watchGoesOn(t, admin)
}

// leastRole grants a service account what the documentation says, right by right.
func leastRole(t *testing.T, w *world, ok string) {
	page, err := os.ReadFile(filepath.Join(w.root, "docs", "netcheck.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "    apiVersion: rbac.authorization.k8s.io/v1\n    kind: Role\n")
	role, _, ends := strings.Cut(rest, "\n\n")
	if !found || !ends {
		t.Fatal("docs/netcheck.md has no Role")
	}
	role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n" + strings.ReplaceAll(role, "    ", "")
	var rules []string
	var head strings.Builder
	for line := range strings.Lines(role + "\n") {
		if strings.HasPrefix(line, "- ") {
			rules = append(rules, line)
		} else {
			head.WriteString(line)
		}
	}
	p := person{w, t, w.account(t, "person")}
	w.kubectl(t, "-n", "netchecker", "create", "rolebinding", "netcheck", "--role=netcheck", "--serviceaccount=default:person")
	for n := range len(rules) + 1 {
		want := ok
		if n < len(rules) {
			want = fmt.Sprintf(`no permission to %s in namespace "netchecker"`, [...]string{"get services", "list pods", "create pods/portforward"}[n])
		}
		if n > 0 {
			if _, err := w.Kubectl(t.Context(), head.String()+strings.Join(rules[:n], ""), "apply", "-f", "-"); err != nil {
				t.Fatal(err)
			}
		}
		await(t, want, func() error { // rights come into force within a moment
			out, err := p.runs(t.Context(), "kubectl", "netcheck", "check")
			if !strings.Contains(out, want) || strings.Count(out, "\n") != 1 || (err == nil) != (n == len(rules)) {
				return fmt.Errorf("with %d rules: %w: %s", n, err, out)
			}
			t.Logf("with %d rules: %s", n, out)
			return nil
		})
	}
	onlyCreate := strings.Replace(head.String()+strings.Join(rules, ""), "[get, create]", "[create]", 1)
	if _, err := w.Kubectl(t.Context(), onlyCreate, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // it comes into force
	p.reads(ok, "kubectl", "netcheck", "check")
	w.kubectl(t, "-n", "netchecker", "delete", "role/netcheck", "rolebinding/netcheck")
	w.kubectl(t, "-n", "default", "delete", "serviceaccount", "person")
}

// account makes a service account without rights and a kubeconfig for it.
func (w *world) account(t *testing.T, name string) (kubeconfig string) {
	t.Helper()
	w.kubectl(t, "-n", "default", "create", "serviceaccount", name)
	token := strings.TrimSpace(w.kubectl(t, "-n", "default", "create", "token", name))
	kubeconfig = w.Path(name + ".kubeconfig")
	text := w.kubectl(t, "config", "view", "--raw", "--flatten")
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config := []string{"--kubeconfig=" + kubeconfig, "config"}
	cluster := strings.TrimSpace(w.kubectl(t, append(config, "view", "-o", "jsonpath={.clusters[0].name}")...))
	w.kubectl(t, append(config, "set-credentials", name, "--token="+token)...)
	w.kubectl(t, append(config, "set-context", name, "--cluster="+cluster, "--user="+name)...)
	w.kubectl(t, append(config, "use-context", name)...)
	return kubeconfig
}

// watchGoesOn takes the server away under a watch and brings another one.
func watchGoesOn(t *testing.T, p person) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	printed := make(chan string, 1)
	go func() {
		out, _ := p.runs(ctx, "kubectl", "netcheck", "watch", "--every=200ms") // it is killed
		printed <- out
	}()
	const look = 3 * time.Second // it has looked several times
	time.Sleep(look)
	p.world.kubectl(t, "-n", "netchecker", "scale", "deployment/netchecker-server", "--replicas=0")
	await(t, "no server", func() error {
		if pods := p.pods(t, "netchecker-server"); len(pods) > 0 {
			return fmt.Errorf("%d pods", len(pods))
		}
		return nil
	})
	time.Sleep(look)
	p.world.kubectl(t, "-n", "netchecker", "scale", "deployment/netchecker-server", "--replicas=1")
	p.rolledOut(t)
	p.reads("ok: ", "kubectl", "netcheck", "check", "--wait", "2m")
	time.Sleep(look)
	cancel()
	text := strings.TrimSpace(<-printed)
	lines := strings.Split(text, "\n")
	if !strings.Contains(lines[0], " OK ") || !strings.Contains(text, ": no server pod in namespace ") || !strings.Contains(lines[len(lines)-1], " OK ") {
		t.Errorf("watch printed\n%s", text)
	}
}
