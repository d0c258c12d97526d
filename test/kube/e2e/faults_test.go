package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"netchecker/test/kube/cluster"
)

// fault breaks one thing. Paths and services are those that must show it, and no others may.
type fault struct {
	name  string
	begin func(t *testing.T, w *world, victim *cluster.Node)
	heal  func(t *testing.T, w *world, victim *cluster.Node)
	paths func(w *world, victim string) expectation
	// services says which must fail on which node; nil is none.
	services func(node, victim string, s service) bool
	// finding is the kind that names the fault.
	finding string
}

func faults(t *testing.T, w *world) {
	for _, f := range []fault{
		{"TheOverlayOfANodeIsCut", cutOverlay, mend, overlayOf, allOf, "overlay_broken"},
		{"NewConnectionsToAPodAreDropped", dropNew, mend, newToPod, nil, "pod_ingress_blocked"},
		{"KubeProxyIsGone", stopProxy, startProxy, noPath, servicesOf, "service_broken"},
		{"DNSIsGone", scaleDNS(0), scaleDNS(1), noPath, dnsEverywhere, "dns_failing"},
		{"ANodeIsDead", kill, boot, deadNode, nil, "node_down"},
	} {
		t.Run(f.name, func(t *testing.T) { f.run(t, w) })
	}
}

func (f fault) run(t *testing.T, w *world) {
	victim := w.victim(t)
	f.begin(t, w, victim)
	healed := false
	defer func() {
		if !healed {
			f.heal(t, w, victim)
		}
	}()
	want := f.paths(w, victim.Name)
	took := await(t, f.name, func() error {
		m, err := w.matrix(t.Context())
		if err != nil {
			return err
		}
		if err := w.exactly(m, want); err != nil {
			return err
		}
		return f.checkServices(m, victim.Name)
	})
	t.Logf("on exactly its paths after %.1f s", took.Seconds())
	f.awaitFinding(t, w)
	f.heal(t, w, victim)
	healed = true
	t.Logf("all ok %.1f s after healing", w.awaitAllOK(t).Seconds())
}

// checkServices wants failing what must fail and ok what must not. What a dead or cut off agent
// said last is neither.
func (f fault) checkServices(m *matrix, victim string) error {
	var wrong []string
	failing := 0
	for _, n := range m.Nodes {
		for network, a := range n.Agents {
			if a.State != "reporting" {
				continue
			}
			for _, s := range a.Services {
				want := "ok"
				if f.services != nil && f.services(n.Name, victim, s) {
					want = "failing"
					failing++
				}
				if s.State != want {
					wrong = append(wrong, fmt.Sprintf("%s/%s %s %s is %s, want %s", n.Name, network, s.Name, s.Address, s.State, want))
				}
			}
		}
	}
	if f.services != nil && failing == 0 {
		wrong = append(wrong, "no service that should fail")
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("services: %s", strings.Join(wrong[:min(8, len(wrong))], "; "))
}

// awaitFinding waits until the fault is called by its name, beside other words for it perhaps.
func (f fault) awaitFinding(t *testing.T, w *world) {
	t.Helper()
	var summary string
	took := await(t, f.finding, func() error {
		status, body, err := w.get(t.Context(), "/api/v1/findings")
		if err != nil || status != 200 {
			return fmt.Errorf("findings: %d %s %w", status, body, err)
		}
		var answer struct {
			Findings []struct{ Kind, Summary string }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return err
		}
		for _, found := range answer.Findings {
			if found.Kind == f.finding {
				summary = found.Summary
				return nil
			}
		}
		return fmt.Errorf("findings: %s", body)
	})
	t.Logf("found %.1f s later: %s", took.Seconds(), summary)
}

func noPath(*world, string) expectation { return nothingIsWrong }

// overlayOf: what goes through the tunnel is from or to a pod of another node, but for a pod's
// packets to another node, which leave masqueraded.
func overlayOf(_ *world, victim string) expectation {
	return func(p pair) []string {
		across := p.Source != p.Destination && (p.Source == victim || p.Destination == victim)
		if across && (p.Path == "pod-to-pod" || p.Path == "host-to-pod") {
			return []string{"failing"}
		}
		return nil
	}
}

// newToPod: flows that stand go on, as with every stateful filter, so udp may still be fine.
func newToPod(_ *world, victim string) expectation {
	return func(p pair) []string {
		if p.Destination == victim && p.Source != victim && strings.HasSuffix(p.Path, "-to-pod") {
			return []string{"degraded", "failing"}
		}
		return nil
	}
}

// deadNode: nobody reports its own paths any more, and all others fail to reach it.
func deadNode(_ *world, victim string) expectation {
	return func(p pair) []string {
		switch {
		case p.Source == victim:
			return []string{"unknown"}
		case p.Destination == victim:
			return []string{"failing"}
		}
		return nil
	}
}

// allOf: DNS and the server are pods of other nodes, beyond the tunnel.
func allOf(node, victim string, _ service) bool { return node == victim }

// servicesOf are those behind a service address: it means nothing on a node without kube-proxy.
func servicesOf(node, victim string, s service) bool {
	return node == victim && strings.Contains(s.Address, "10.96.")
}

func dnsEverywhere(_, _ string, s service) bool { return strings.HasPrefix(s.Kind, "dns-") }

// nft adds a table for the test to a node.
func nft(t *testing.T, n *cluster.Node, chains string) {
	t.Helper()
	if _, err := n.Exec(t.Context(), "nft", "table inet fault { "+chains+"\n}"); err != nil {
		t.Fatal(err)
	}
}

func mend(t *testing.T, _ *world, n *cluster.Node) {
	if _, err := n.Exec(t.Context(), "nft", "delete table inet fault"); err != nil {
		t.Error(err)
	}
}

func cutOverlay(t *testing.T, _ *world, n *cluster.Node) {
	nft(t, n, `chain in { type filter hook input priority -300; udp dport 8472 drop; }
		chain out { type filter hook output priority -300; udp dport 8472 drop; }`)
}

// dropNew is what a network policy without a rule for the agents does.
func dropNew(t *testing.T, w *world, n *cluster.Node) {
	for _, p := range w.pods(t, "netchecker-agent") {
		if p.Spec.NodeName == n.Name {
			nft(t, n, "chain forward { type filter hook forward priority -1; ip daddr "+p.Status.PodIP+" ct state new drop; }")
			return
		}
	}
	t.Fatalf("no agent's pod on %s", n.Name)
}

func stopProxy(t *testing.T, _ *world, n *cluster.Node) {
	n.Proxy.Kill()
	if _, err := n.Exec(t.Context(), "sh", "-ec", `nft list tables | grep -w kube-proxy | while read -r _ family name; do nft delete table "$family" "$name"; done`); err != nil {
		t.Fatal(err)
	}
}

func startProxy(t *testing.T, _ *world, n *cluster.Node) {
	if err := n.Proxy.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func scaleDNS(replicas int) func(*testing.T, *world, *cluster.Node) {
	return func(t *testing.T, w *world, _ *cluster.Node) {
		if _, err := w.Kubectl(t.Context(), "", "-n", "kube-system", "scale", "deployment/coredns", fmt.Sprintf("--replicas=%d", replicas)); err != nil {
			t.Fatal(err)
		}
	}
}

func kill(_ *testing.T, _ *world, n *cluster.Node) { n.Kill() }

func boot(t *testing.T, _ *world, n *cluster.Node) {
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}
