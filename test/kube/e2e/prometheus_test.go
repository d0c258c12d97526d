package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netchecker/test/kube/child"
	"netchecker/test/kube/cluster"
)

// prometheus is Debian's, on a node: it asks the cluster's DNS and scrapes pods, as one in a pod would.
type prometheus struct {
	node   *cluster.Node
	daemon *child.Daemon
}

// files are what an operator takes from deploy/monitoring for a Prometheus without operator.
var files = []string{"prometheus.yml", "netchecker.rules.yml"}

// prometheus starts it on the server's node with the shipped files, after change (nil: as they are).
func (w *world) prometheus(t *testing.T, name string, change func(text string) string) *prometheus {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("no Prometheus: make setup installs it: ", err)
	}
	dir := w.Path(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(w.root, "deploy", "monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		content := string(text)
		if change != nil {
			content = change(content)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	resolv := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 10.96.0.10\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{node: w.serverNode(t)}
	start := fmt.Sprintf("mount --bind %s /etc/resolv.conf && exec prometheus --config.file=%s/prometheus.yml --storage.tsdb.path=%s/data --web.listen-address=127.0.0.1:9090",
		resolv, dir, dir)
	p.daemon = &child.Daemon{
		Name: "prometheus", Log: filepath.Join(dir, "prometheus.log"),
		Command: append(p.node.Enter(), "unshare", "--mount", "sh", "-ec", start),
		Ready: func(ctx context.Context) error {
			status, _, err := fetch(ctx, p.node.HTTP(), "http://127.0.0.1:9090/-/ready")
			if err == nil && status != 200 {
				err = fmt.Errorf("status %d", status)
			}
			return err
		},
	}
	if err := p.daemon.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.daemon.Kill)
	return p
}

func (p *prometheus) get(ctx context.Context, path string, data any) error {
	_, body, err := fetch(ctx, p.node.HTTP(), "http://127.0.0.1:9090"+path)
	if err != nil {
		return err
	}
	answer := struct {
		Status string
		Data   any
	}{Data: data}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus: %s", body)
	}
	return nil
}

// scrapes wants the server and all agents as healthy targets.
func (p *prometheus) scrapes(ctx context.Context, nodes int) error {
	var data struct {
		ActiveTargets []struct {
			ScrapePool, ScrapeURL, Health, LastError string
		}
	}
	if err := p.get(ctx, "/api/v1/targets", &data); err != nil {
		return err
	}
	up := map[string]int{}
	for _, target := range data.ActiveTargets {
		if target.Health != "up" {
			return fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
		}
		up[target.ScrapePool]++
	}
	if up["netchecker-server"] != 1 || up["netchecker-agent"] != 2*nodes {
		return fmt.Errorf("targets %v, want 1 server and %d agents", up, 2*nodes)
	}
	return nil
}

// firing lists the alerts that fire, "name label=value …" with the labels that matter here.
func (p *prometheus) firing(ctx context.Context) ([]string, error) {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := p.get(ctx, "/api/v1/alerts", &data); err != nil {
		return nil, err
	}
	var out []string
	for _, a := range data.Alerts {
		if a.State != "firing" {
			continue
		}
		var text strings.Builder
		text.WriteString(a.Labels["alertname"])
		for _, label := range []string{"source", "destination", "network", "node", "kind"} {
			if value := a.Labels[label]; value != "" {
				text.WriteString(" " + label + "=" + value)
			}
		}
		out = append(out, text.String())
	}
	slices.Sort(out)
	return out, nil
}

// quiet wants nothing firing but the watchdog, which always does.
func (p *prometheus) quiet(t *testing.T) {
	t.Helper()
	took := await(t, "only the watchdog fires", func() error {
		alerts, err := p.firing(t.Context())
		if err == nil && !slices.Equal(alerts, []string{"NetCheckerWatchdog"}) {
			err = fmt.Errorf("firing: %q", alerts)
		}
		return err
	})
	t.Logf("only the watchdog fires after %.1f s", took.Seconds())
}

// prometheusFires runs the shipped files as they are through the fault of an overlay.
func prometheusFires(t *testing.T, w *world) {
	p := w.prometheus(t, "prometheus", nil)
	await(t, "targets", func() error { return p.scrapes(t.Context(), len(w.Nodes)) })
	p.quiet(t)

	victim := w.victim(t)
	cutOverlay(t, w, victim)
	healed := false
	defer func() {
		if !healed {
			mend(t, w, victim)
		}
	}()
	var want []string
	for _, n := range w.Nodes {
		if n != victim {
			want = append(want,
				fmt.Sprintf("NetCheckerPairFailing source=%s destination=%s network=pod", n.Name, victim.Name),
				fmt.Sprintf("NetCheckerPairFailing source=%s destination=%s network=pod", victim.Name, n.Name))
		}
	}
	want = append(want, "NetCheckerNodeOverlayFailing network=pod node="+victim.Name)
	took := await(t, "alerts", func() error {
		alerts, err := p.firing(t.Context())
		if err != nil {
			return err
		}
		// Findings have names of their own.
		alerts = slices.DeleteFunc(alerts, func(a string) bool {
			return a == "NetCheckerWatchdog" || strings.HasPrefix(a, "NetCheckerFindingOpen") && strings.Contains(a, "node="+victim.Name)
		})
		slices.Sort(want)
		if !slices.Equal(alerts, want) {
			return fmt.Errorf("firing %q, want %q", alerts, want)
		}
		return nil
	})
	t.Logf("the pairs' and the overlay's alerts fire after %.1f s", took.Seconds())
	mend(t, w, victim)
	healed = true
	w.awaitAllOK(t)
	p.quiet(t)
}
