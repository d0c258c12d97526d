package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// contractHolds is what the old netchecker's clients rely on.
func contractHolds(t *testing.T, w *world) {
	n := len(w.Nodes)
	pods := map[string]string{} // name → node
	for _, app := range []string{"netchecker-agent", "netchecker-agent-hostnet"} {
		for _, p := range w.pods(t, app) {
			pods[p.Name] = p.Spec.NodeName
		}
	}
	if len(pods) != 2*n {
		t.Errorf("%d agent pods, want %d", len(pods), 2*n)
	}
	await(t, "a report of each agent", func() error { // the last ones come within an interval
		_, body, err := w.get(t.Context(), "/api/v1/agents/")
		if got := strings.Count(body, `"podname"`); err == nil && got < 2*n {
			err = fmt.Errorf("%d reports, want %d", got, 2*n)
		}
		return err
	})
	for _, node := range w.Nodes { // the node port answers on each
		status, body, err := w.getVia(t.Context(), node, "/api/v1/agents/")
		if err != nil || status != 200 {
			t.Errorf("agents through %s: %d, %v", node.Name, status, err)
			continue
		}
		var reports map[string]struct{ Nodename, Podname string }
		if err := json.Unmarshal([]byte(body), &reports); err != nil {
			t.Fatal(err)
		}
		if got, want := slices.Sorted(maps.Keys(reports)), slices.Sorted(maps.Keys(pods)); !slices.Equal(got, want) {
			t.Errorf("reports of %q through %s, want exactly %q", got, node.Name, want)
		}
		for name, r := range reports {
			if r.Podname != name || r.Nodename != pods[name] {
				t.Errorf("%s reports as %s on %s", name, r.Podname, r.Nodename)
			}
		}
	}
	servers := w.pods(t, "netchecker-server")
	if len(servers) != 1 || !strings.HasPrefix(servers[0].Name, "netchecker-server") {
		t.Errorf("%d server pods, want one", len(servers))
	}
	serviceHasAName(t, w)
	_, metrics, err := w.get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range w.Nodes {
		for _, network := range []string{"private", "host"} {
			if series := fmt.Sprintf(`ncagent_report_count_total{agent="%s-%s_network"}`, node.Name, network); !strings.Contains(metrics, series) {
				t.Errorf("no %s", series)
			}
		}
	}
}

// serviceHasAName asks the cluster's DNS for the service and the service for an answer, from a node.
func serviceHasAName(t *testing.T, w *world) {
	node := w.Nodes[0]
	client := node.HTTP()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return node.Dial(ctx, network, "10.96.0.10:53")
	}}
	ips, err := resolver.LookupNetIP(t.Context(), "ip4", "netchecker-service.netchecker.svc.cluster.local.")
	if err != nil || len(ips) != 1 {
		t.Fatalf("netchecker-service is %v, %v, want one address", ips, err)
	}
	status, body, err := fetch(t.Context(), client, fmt.Sprintf("http://%s:8081/api/v1/ping", ips[0]))
	if err != nil || status != 200 || body != "" {
		t.Errorf("ping of the service: %d %q, %v", status, body, err)
	}
}

// deployingAgain runs the script on what it has made.
func deployingAgain(t *testing.T, w *world) {
	before := w.versions(t)
	out, err := w.script(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if strings.HasSuffix(line, " configured\n") || strings.HasSuffix(line, " created\n") {
			t.Errorf("deploying again: %s", line)
		}
	}
	for name, version := range w.versions(t) {
		if before[name] != version {
			t.Errorf("%s was at %s, is at %s", name, before[name], version)
		}
	}
}

// versions maps every object of the script's manifests, and the pods, to its generation, or where
// Kubernetes counts none to its version.
func (w *world) versions(t *testing.T) map[string]string {
	t.Helper()
	columns := "custom-columns=:kind,:metadata.name,:metadata.generation,:metadata.resourceVersion"
	manifests, err := filepath.Glob(filepath.Join(w.kube, "netchecker-*.yml"))
	if err != nil || len(manifests) < 5 {
		t.Fatalf("manifests %q, %v", manifests, err)
	}
	var text strings.Builder
	text.WriteString(w.kubectl(t, "-n", "netchecker", "get", "pods", "--no-headers", "-o", columns))
	for _, file := range manifests {
		text.WriteString(w.kubectl(t, "get", "-f", file, "--no-headers", "-o", columns))
	}
	out := map[string]string{}
	for line := range strings.Lines(text.String()) {
		f := strings.Fields(line)
		if len(f) != 4 {
			t.Fatalf("kubectl says %q", line)
		}
		version := f[2]
		if version == "<none>" {
			version = f[3]
		}
		out[f[0]+" "+f[1]] = version
	}
	return out
}
