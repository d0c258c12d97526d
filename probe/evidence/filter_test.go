package evidence

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"netchecker/probe"
)

// drops finds a rule by its words in DropRule.String, and that it has dropped something.
func drops(words string, counted bool) hears {
	return func(s *probe.Snapshot) bool {
		for _, d := range s.Firewall.Drops {
			if d.String() == words && (!counted || d.Growth > 0) {
				return true
			}
		}
		return false
	}
}

func rules(table, chain string, want int) hears {
	return func(s *probe.Snapshot) bool {
		c := s.Firewall.Chain("ip", table, chain)
		return c != nil && c.Rules == want
	}
}

// filterEvidence is what takes NET_ADMIN to see.
var filterEvidence = []struct {
	fault string
	args  []int
	says  map[string]hears
}{
	{"iptables-flush", []int{3}, map[string]hears{"FORWARD": rules("filter", "FORWARD", 0), "KUBE-SERVICES": rules("nat", "KUBE-SERVICES", 0)}},
	{"kubeproxy-rules-gone", []int{3}, map[string]hears{"KUBE-SERVICES": rules("nat", "KUBE-SERVICES", 0)}},
	{"vip-broken", []int{3}, map[string]hears{"KUBE-SERVICES": rules("nat", "KUBE-SERVICES", 3)}},
	{"firewalld", []int{3}, map[string]hears{"input": drops("inet firewalld input: -j reject", false), "forward": drops("inet firewalld forward: -j reject", false)}},
	{"fw-8472-in", []int{3}, map[string]hears{"rule": drops("ip filter INPUT: -p udp --dport 8472 -j drop", true)}},
	{"fw-agent-port", []int{3, echoPort}, map[string]hears{"rule": drops("ip filter INPUT: -p tcp --dport 7070 -j drop", true)}},
	{"icmp-blocked", []int{3}, map[string]hears{"rule": drops("ip filter INPUT: -p icmp --icmp-type 8 -j drop", false)}},
	{"netpol-ingress", []int{3}, map[string]hears{"rule": drops("ip filter FORWARD: -d 10.244.3.2/32 --ctstate new -j drop", true)}},
	{"dns-acl-udp", []int{3}, map[string]hears{"forward": drops("ip filter FORWARD: -p udp --dport 53 -j drop", false),
		"output": drops("ip filter OUTPUT: -p udp --dport 53 -j drop", false)}},
	{"dns-acl-tcp", []int{3}, map[string]hears{"output": drops("ip filter OUTPUT: -p tcp --dport 53 -j drop", false)}},
	{"tcp-syn-drop", []int{3}, map[string]hears{"input": drops("ip filter INPUT: -i eth0 -p tcp --syn -j drop", true)}},
	{"mtu-pmtud-blackhole", []int{3}, map[string]hears{"output": drops("ip filter OUTPUT: -p icmp --icmp-type 3 … -j drop", true)}},
}

func TestFilterFaultsAreReadableWithNetAdmin(t *testing.T) {
	t.Parallel() // nearly all of its time is waiting
	r := newRig(t, 3)
	healthy := r.read(t, true, "node3")["node3"]
	f := healthy.Firewall
	if len(healthy.Missing) > 0 || f == nil {
		t.Fatalf("missing %v, firewall %v", healthy.Missing, f)
	}
	if c := f.Chain("ip", "filter", "FORWARD"); c == nil || c.Hook != "forward" || c.Policy != "drop" || c.Rules != 4 || c.Jumps != 4 || c.Priority != 0 {
		t.Errorf("FORWARD is %+v", c)
	}
	if c := f.Chain("ip", "nat", "KUBE-SERVICES"); c == nil || c.Hook != "" || c.Rules != 4 || c.Jumps != 4 {
		t.Errorf("KUBE-SERVICES is %+v", c)
	}
	for _, want := range []string{"ip filter KUBE-FORWARD: --ctstate invalid -j drop", "ip filter KUBE-FIREWALL: ! -s 127.0.0.0/8 -d 127.0.0.0/8 … -j drop"} {
		if !drops(want, false)(healthy) {
			t.Errorf("no rule %q in %v", want, f.Drops)
		}
	}
	if f.Chain("", "nat", "KUBE-SVC-DNS") != nil {
		t.Error("a chain of a single service is kept")
	}
	for _, c := range filterEvidence {
		t.Run(c.fault, func(t *testing.T) {
			heal, err := r.Inject(t.Context(), c.fault, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := heal(); err != nil {
					t.Error(err)
				}
			}()
			got := r.read(t, true, "node1", "node3")
			for what, says := range c.says {
				if !says(got["node3"]) {
					t.Errorf("node3 does not show %s: %v %+v", what, got["node3"].Firewall.Drops, got["node3"].Firewall.Chains)
				}
				if says(got["node1"]) {
					t.Errorf("node1 shows %s", what)
				}
			}
		})
	}
}

func TestFilterIsMissingWithoutNetAdmin(t *testing.T) {
	r := newRig(t, 1)
	l := r.Node(1)
	var out, errs strings.Builder
	p := r.Command(l.Namespace, os.Args[0])
	p.Env = append(os.Environ(), childVariable+"="+order([]netip.Addr{l.Addr}, []netip.Addr{host1}, 0, true))
	p.Stdout, p.Stderr = &out, &errs
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err, errs.String())
	}
	s, err := probe.ParseSnapshot([]byte(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	// Other parts may be missing for want of time on a busy machine; they are no concern here.
	said := slices.ContainsFunc(s.Missing, func(m probe.Missing) bool {
		return strings.HasPrefix(m.Part, "firewall") && strings.Contains(m.Why, "not permitted")
	})
	if s.Firewall != nil || !said {
		t.Errorf("firewall %v, missing %v", s.Firewall, s.Missing)
	}
}
