package diagnose

import (
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// filterOf is the packet filter of a healthy node: kube-proxy's and the CNI's chains behind a policy.
func filterOf() *probe.Firewall {
	return &probe.Firewall{Chains: []probe.Chain{
		{Family: "ip", Table: "filter", Name: "INPUT", Hook: "input", Policy: "accept"},
		{Family: "ip", Table: "filter", Name: "FORWARD", Hook: "forward", Policy: "drop", Rules: 4, Jumps: 4},
		{Family: "ip", Table: "nat", Name: "KUBE-SERVICES", Rules: 4, Jumps: 4},
	}, Drops: []probe.DropRule{{Family: "ip", Table: "filter", Chain: "KUBE-FORWARD", Verdict: "drop", State: "invalid", ICMPType: -1}}}
}

// Agents that may read the packet filter name the rule that drops, or the chain that is empty.
func TestTheRuleThatDropsIsNamed(t *testing.T) {
	drop := func(chain, proto string, port uint16) probe.DropRule {
		return probe.DropRule{Family: "ip", Table: "filter", Chain: chain, Verdict: "drop", Proto: proto, PortLow: port, PortHigh: port, ICMPType: -1, Growth: 20}
	}
	const k = 2
	for _, c := range []struct {
		name   string
		path   func(k, o int, from, to place) (effect, bool)
		fault  fault
		change func(f *probe.Firewall)
		kind   Kind
		cause  Cause
		fact   string
	}{
		{"iptables-flush", forwardingOf, fault{}, func(f *probe.Firewall) { f.Chains[1].Rules, f.Chains[1].Jumps = 0, 0 },
			ForwardingBroken, ForwardDropped, "policy drop, 0 rules"},
		{"fw-8472-in", overlayOf(true, false), fault{}, func(f *probe.Firewall) { f.Drops = append(f.Drops, drop("INPUT", "udp", 8472)) },
			OverlayBroken, VXLANPortBlocked, "-p udp --dport 8472 -j drop"},
		{"fw-agent-port", func(k, _ int, _, to place) (effect, bool) {
			return effect{fails: onlyTCP, forth: true}, to == place{k, mesh.Host}
		}, fault{}, func(f *probe.Firewall) { f.Drops = append(f.Drops, drop("INPUT", "tcp", 8095)) },
			PortBlocked, AgentPortBlocked, "-p tcp --dport 8095 -j drop"},
		{"netpol-ingress", func(k, _ int, from, to place) (effect, bool) {
			return dies(true, false), touches(from, to, k) && to == place{k, mesh.Pod}
		}, fault{}, func(f *probe.Firewall) {
			f.Drops = append(f.Drops, probe.DropRule{Family: "ip", Table: "filter", Chain: "FORWARD", Verdict: "drop", State: "new", ICMPType: -1, Growth: 9})
		}, PodIngressBlocked, PolicyOrFilter, "--ctstate new -j drop"},
		{"dns-acl-udp", nil, brokenService("udp", k, probe.CodeTimeout, ""), func(f *probe.Firewall) { f.Drops = append(f.Drops, drop("OUTPUT", "udp", 53)) },
			DNSFailing, DNSUDPBlocked, "OUTPUT: -p udp --dport 53 -j drop"},
		{"kubeproxy-rules-gone", nil, brokenService("vip", k, probe.CodeTimeout, ""), func(f *probe.Firewall) { f.Chains[2].Rules, f.Chains[2].Jumps = 0, 0 },
			ServiceBroken, ServiceRulesMissing, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5, nil)
			w.evidence, w.services = true, true
			f := c.fault
			if c.path != nil {
				f.path = func(from, to place) (effect, bool) { return c.path(k, 0, from, to) }
			}
			healthy := fault{evidence: func(at place, s *probe.Snapshot) {
				if at.network == mesh.Host {
					s.Firewall = filterOf()
				}
			}}
			f.evidence = func(at place, s *probe.Snapshot) {
				if at == (place{k, mesh.Host}) {
					c.change(s.Firewall)
				}
			}
			w.start()
			w.inject(healthy, f)
			found := w.run(14 * time.Second)
			for _, wrong := range w.check(found, truth{kind: c.kind, cause: c.cause, nodes: []int{k}}) {
				t.Error(wrong)
			}
			for _, finding := range found {
				if !slices.ContainsFunc(finding.Evidence, func(e Fact) bool { return e.Node == w.names[k] && strings.Contains(e.Value, c.fact) }) {
					t.Errorf("no %q in the evidence: %+v", c.fact, finding.Evidence)
				}
			}
		})
	}
}
