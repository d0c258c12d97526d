package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"netchecker/test/kube/cluster"
)

var holds = regexp.MustCompile(`(?m)^( +for: ).*$`)

// everyAlertFires runs a copy of the shipped rules in which each condition needs to hold for 5 s
// only, scraped every 3 s: the expressions are the shipped ones.
func everyAlertFires(t *testing.T, w *world) {
	p := w.prometheus(t, "prometheus-fast", func(text string) string {
		text = strings.ReplaceAll(text, "interval: 15s", "interval: 3s")
		return holds.ReplaceAllString(text, "${1}5s")
	})
	await(t, "targets", func() error { return p.scrapes(t.Context(), len(w.Nodes)) })
	p.quiet(t)
	for _, f := range []struct {
		name        string
		begin, heal func(*testing.T, *world, *cluster.Node)
		alerts      []string
	}{
		{"DNSIsGone", scaleDNS(0), scaleDNS(1), []string{"NetCheckerServiceFailing"}},
		{"ANodeIsDead", kill, boot, []string{"NetCheckerAgentsMissing", "NetCheckerPairFailing"}},
		{"ReportsCannotBeKept", mayWriteReports(false), mayWriteReports(true), []string{"NetCheckerStoreFailing"}},
		{"TheServerIsGone", scaleServer(0), scaleServer(1), []string{
			"NetCheckerMatrixStale", "NetCheckerAgentErrors", "NetCheckerReportsMissing", "NetCheckerTCPServerDelay", "NetCheckerDNSSlow"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			victim := w.victim(t)
			f.begin(t, w, victim)
			defer func() {
				f.heal(t, w, victim)
				w.rolledOut(t)
				w.awaitAllOK(t)
				p.quiet(t)
			}()
			took := await(t, "alerts", func() error {
				alerts, err := p.firing(t.Context())
				if err != nil {
					return err
				}
				for _, want := range f.alerts {
					if !slices.ContainsFunc(alerts, func(a string) bool { return strings.HasPrefix(a, want) }) {
						return fmt.Errorf("no %s among %q", want, alerts)
					}
				}
				return nil
			})
			t.Logf("%q after %.1f s", f.alerts, took.Seconds())
		})
	}
}

// mayWriteReports gives the server the right to write its reports as the manifests do, or takes it.
func mayWriteReports(may bool) func(*testing.T, *world, *cluster.Node) {
	return func(t *testing.T, w *world, _ *cluster.Node) {
		args := []string{"apply", "-f", filepath.Join(w.kube, "netchecker-rbac.yml")}
		if !may {
			args = []string{"-n", "netchecker", "patch", "role", "netchecker-server", "--type=json",
				`-p=[{"op":"replace","path":"/rules/0/verbs","value":["get","list","watch"]}]`}
		}
		if _, err := w.Kubectl(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
}

func scaleServer(replicas int) func(*testing.T, *world, *cluster.Node) {
	return func(t *testing.T, w *world, _ *cluster.Node) {
		if _, err := w.Kubectl(t.Context(), "", "-n", "netchecker", "scale", "deployment/netchecker-server", fmt.Sprintf("--replicas=%d", replicas)); err != nil {
			t.Fatal(err)
		}
	}
}
