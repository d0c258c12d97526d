package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The module whose release has the types of the Prometheus operator, and its hash.
const (
	operatorModule = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	operatorSum    = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
)

// dryRun has the API server check a folder of manifests without keeping anything.
func (w *world) dryRun(t *testing.T, folder string) {
	t.Helper()
	out, err := w.Exec(t.Context(), "kubectl", "apply", "--dry-run=server", "-k", filepath.Join(w.root, folder))
	if err != nil {
		t.Error(err)
	}
	// It warns of a field that it does not know or that is to go, and of what PodSecurity would refuse.
	if strings.Contains(out, "Warning") && !strings.Contains(out, "last-applied-configuration") {
		t.Errorf("the API server warns of %s:\n%s", folder, out)
	}
}

// kubectl runs kubectl beside the cluster and wants it to succeed.
func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Exec(t.Context(), "kubectl", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kustomize installs as the README says, and removes it.
func kustomize(t *testing.T, w *world, before []string) {
	base := filepath.Join(w.root, "deploy", "base")
	w.kubectl(t, "apply", "-f", filepath.Join(base, "namespace.yaml"))
	w.kubectl(t, "-n", "netchecker", "create", "secret", "generic", "netchecker-keys",
		"--from-literal=gossip-key=bmV0Y2hlY2tlciBvbiBhIHJlYWwgY2x1c3Rlci4uLi4=", "--from-literal=master-key=bWFzdGVyIG9mIGEgcmVhbCBjbHVzdGVyLi4uLi4uLi4=")
	w.dryRun(t, "deploy/base")
	w.kubectl(t, "apply", "-k", base)
	w.rolledOut(t)
	t.Logf("all paths ok %.1f s after the last pod was ready", w.awaitAllOK(t).Seconds())
	w.kubectl(t, "delete", "-k", base)
	w.asBefore(t, before)
}

// withOperator makes the types and the namespace that the script looks for.
func (w *world) withOperator(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", operatorModule).Output()
	if err != nil {
		t.Fatal(err, string(out))
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != operatorSum {
		t.Fatalf("%s has the sum %s, want %s", operatorModule, module.Sum, operatorSum)
	}
	crds := filepath.Join(module.Dir, "example", "prometheus-operator-crd")
	for _, kind := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		w.kubectl(t, "create", "-f", filepath.Join(crds, "monitoring.coreos.com_"+kind+".yaml"))
		w.kubectl(t, "wait", "--for=condition=Established", "crd/"+kind+".monitoring.coreos.com", "--timeout=60s")
	}
	w.kubectl(t, "create", "namespace", "monitoring")
}

// operator runs the script where the operator's types are there, and removes what it made.
func operator(t *testing.T, w *world) {
	w.withOperator(t)
	before := w.objects(t)
	out, err := w.script(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{"servicemonitor", "podmonitor", "prometheusrule"} {
		if !strings.Contains(out, made+".monitoring.coreos.com/") {
			t.Errorf("no %s was made:\n%s", made, out)
		}
	}
	w.rolledOut(t)
	w.dryRun(t, "deploy/monitoring")
	w.dryRun(t, "deploy/base")
	if _, err := w.script(t.Context(), "PURGE=true"); err != nil {
		t.Fatal(err)
	}
	w.asBefore(t, before)
}

// helm installs the chart with everything it can make, upgrades it to the same and removes it. The
// operator's types are there.
func helm(t *testing.T, w *world) {
	before := w.objects(t)
	run := func(args ...string) {
		t.Helper()
		if _, err := w.Exec(t.Context(), "helm", append([]string{"--namespace=netchecker"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	chart := filepath.Join(w.root, "deploy", "helm", "netchecker")
	run("install", "netchecker", chart, "--create-namespace", "--set=monitoring.create=true", "--wait", "--timeout=5m")
	t.Logf("all paths ok %.1f s after helm", w.awaitAllOK(t).Seconds())
	keys := w.kubectl(t, "-n", "netchecker", "get", "secret", "netchecker-keys", "-o", "jsonpath={.data}")
	run("upgrade", "netchecker", chart, "--set=monitoring.create=true", "--wait", "--timeout=5m")
	if after := w.kubectl(t, "-n", "netchecker", "get", "secret", "netchecker-keys", "-o", "jsonpath={.data}"); after != keys {
		t.Error("an upgrade makes other keys")
	}
	for _, app := range []string{"netchecker-server", "netchecker-agent", "netchecker-agent-hostnet"} {
		for _, p := range w.pods(t, app) {
			if p.DeletionTimestamp != nil || p.Generation > 1 {
				t.Errorf("an upgrade to the same replaces %s", p.Name)
			}
		}
	}
	run("uninstall", "netchecker", "--wait")
	w.kubectl(t, "delete", "namespace", "netchecker")
	w.asBefore(t, before)
}
