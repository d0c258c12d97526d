package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// verdict is what a fault must be called: kind and cause as the findings name them, and the nodes
// it is about, where k is the first node it is injected at and b the second. blind says that only
// NET_ADMIN can know the cause, so that "" is as good.
type verdict struct {
	fault string
	args  int // how many nodes it wants
	kind  string
	cause string
	where string // "k", "k,b" or "" for the cluster
	blind bool
}

// verdicts are the faults that have a name; the rest of the lab's stay without one on purpose.
var verdicts = []verdict{
	{"dup-podcidr", 2, "address_conflict", "duplicate_pod_cidr", "k,b", false},
	{"dup-podcidr-sameip", 2, "address_conflict", "duplicate_pod_ip", "k,b", false},
	{"podcidr-overlaps-lan", 1, "address_conflict", "pod_cidr_overlaps_lan", "k", false},
	{"docker0-overlaps-nodenet", 1, "address_conflict", "bridge_overlaps_node_network", "k", false},
	{"iptables-flush", 1, "forwarding_broken", "forward_dropped", "k", true},
	{"kubeproxy-rules-gone", 1, "service_broken", "service_rules_missing", "k", true},
	{"firewalld", 1, "port_blocked", "host_firewall_rejects", "k", true},
	{"nm-cni0-down", 1, "pod_attachment_broken", "bridge_down", "k", false},
	{"nm-flannel-down", 1, "overlay_broken", "overlay_device_down", "k", false},
	{"nm-flannel-bounced", 1, "overlay_broken", "overlay_routes_missing", "k", false},
	{"nm-cni0-noaddr", 1, "pod_attachment_broken", "bridge_address_missing", "k", false},
	{"nm-cloud-setup", 1, "node_routing_broken", "policy_rule_hijack", "k", false},
	{"dns-acl-udp", 1, "dns_failing", "dns_udp_blocked", "k", false},
	{"dns-acl-tcp", 1, "dns_failing", "dns_tcp_blocked", "k", false},
	{"coredns-dead", 0, "dns_failing", "dns_server_down", "", false},
	{"coredns-servfail", 0, "dns_failing", "dns_server_error", "", false},
	{"coredns-slow", 0, "dns_failing", "dns_server_slow", "", false},
	{"mtu-flannel-low", 1, "mtu_mismatch", "overlay_mtu_low", "k", false},
	{"mtu-fabric-low", 1, "mtu_blackhole", "underlay_mtu_low", "k", false},
	{"mtu-eth0-low", 1, "mtu_mismatch", "nic_mtu_low", "k", false},
	{"mtu-pmtud-blackhole", 1, "mtu_blackhole", "frag_needed_filtered", "k", false},
	{"mtu-pods-1500", 0, "mtu_mismatch", "pod_mtu_high", "", false},
	{"ip-forward-0", 1, "forwarding_broken", "ip_forward_off", "k", false},
	{"rp-filter-asym", 2, "pair_broken", "rp_filter_drop", "k,b", false},
	{"conntrack-full", 1, "node_unreachable", "conntrack_full", "k", false},
	{"fdb-missing", 2, "pair_broken", "fdb_entry_missing", "k,b", false},
	{"route-missing", 2, "pair_broken", "route_missing", "k,b", false},
	{"vtep-wrong-ip", 1, "overlay_broken", "vtep_address_wrong", "k", false},
	{"vxlan-port-mismatch", 1, "overlay_broken", "vxlan_port_mismatch", "k", false},
	{"vxlan-gone", 1, "overlay_broken", "overlay_device_missing", "k", false},
	{"fw-8472-in", 1, "overlay_broken", "vxlan_port_blocked", "k", true},
	{"fw-8472-all", 0, "overlay_broken", "vxlan_blocked", "", false},
	{"fw-agent-port", 1, "port_blocked", "agent_port_blocked", "k", true},
	{"icmp-blocked", 1, "protocol_blocked", "icmp_filtered", "k", true},
	{"sg-pair", 2, "pair_broken", "underlay_filtered", "k,b", false},
	{"node-dead", 1, "node_down", "", "k", false},
	{"nic-down", 1, "node_down", "", "k", true},
	{"agent-dead", 1, "agent_down", "process_down", "k", false},
	{"partition", 0, "partition", "", "", false},
	{"loss", 2, "partial_loss", "", "k,b", false},
	{"dup-ip", 1, "address_conflict", "duplicate_node_ip", "k", false},
	{"ecmp-blackhole", 0, "flow_blackhole", "", "", false},
	{"latency", 1, "high_latency", "", "k", false},
	{"vip-broken", 1, "service_broken", "service_rules_missing", "k", true},
	{"vip-no-endpoints", 0, "service_broken", "no_endpoints", "", false},
	{"server-isolated", 0, "server_unreachable", "server_down", "", false},
	{"netpol-ingress", 1, "pod_ingress_blocked", "policy_or_filter", "k", true},
	{"tcp-syn-drop", 1, "protocol_blocked", "tcp_filtered", "k", true},
}

// finding is what scenarios read of one.
type finding struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Cause    string  `json:"cause"`
	Summary  string  `json:"summary"`
	ClosedAt *string `json:"closed_at"`
	Location struct {
		Scope       string   `json:"scope"`
		Nodes       []string `json:"nodes"`
		Source      string   `json:"source"`
		Destination string   `json:"destination"`
		Culprit     string   `json:"culprit"`
	} `json:"location"`
}

func findings(t *testing.T, c *cluster.Cluster) []finding {
	_, body, err := c.Get(t.Context(), "/api/v1/findings")
	if err != nil {
		return nil
	}
	var answer struct{ Findings []finding }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("findings: %v: %.200s", err, body)
	}
	return answer.Findings
}

// at reports whether a finding is about the nodes of the verdict.
func (v *verdict) at(f *finding, nodes []int) bool {
	var want []string
	for i, part := range strings.Split(v.where, ",") {
		if part != "" {
			want = append(want, lab.NodeName(nodes[i]))
		}
	}
	if len(want) == 0 {
		return f.Location.Scope == "cluster" || f.Location.Scope == "groups" || f.Location.Scope == "zone"
	}
	got := slices.Clone(f.Location.Nodes)
	for _, n := range []string{f.Location.Source, f.Location.Destination} {
		if n != "" && !slices.Contains(got, n) {
			got = append(got, n)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	return slices.Equal(got, want)
}

func (v *verdict) caused(f *finding) bool { return f.Cause == v.cause || v.blind && f.Cause == "" }

// score is how one run of a fault was called.
type score struct {
	located, caused bool
	wrong           []string
	took            time.Duration
}

// judge injects the fault at random nodes and waits until it is called by its name, then a while
// more for anything that should not be said.
func judge(t *testing.T, c *cluster.Cluster, v *verdict) (s score) {
	t.Helper()
	nodes := rand.Perm(c.Lab.Nodes())
	for i := range nodes {
		nodes[i]++
	}
	heal := breakIt(t, c, v, nodes)
	began := time.Now()
	var seen []finding
	for time.Since(began) < 25*time.Second && !(s.located && s.caused) {
		for _, f := range findings(t, c) {
			if f.Kind != v.kind || !v.at(&f, nodes) {
				continue
			}
			if !s.located {
				s.located, s.took = true, time.Since(began)
			}
			if v.caused(&f) && !s.caused {
				s.caused, s.took = true, time.Since(began)
			}
		}
		pause(t.Context())
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); pause(t.Context()) {
		seen = findings(t, c)
		for _, f := range seen {
			text := fmt.Sprintf("%s/%s %v %s>%s: %s", f.Kind, f.Cause, f.Location.Nodes, f.Location.Source, f.Location.Destination, f.Summary)
			if (f.Kind != v.kind || !v.at(&f, nodes) || f.Cause != "" && !v.caused(&f)) && !slices.Contains(s.wrong, text) {
				s.wrong = append(s.wrong, text)
			}
		}
	}
	for _, f := range seen {
		t.Logf("  says: %s", f.Summary)
	}
	heal()
	awaitQuiet(t, c)
	t.Logf("VERDICT %-26s at %v located %-5v cause %-5v wrong %d after %.1f s, broken at %s", v.fault, nodes[:v.args], s.located, s.caused, len(s.wrong), s.took.Seconds(), began.UTC().Format("15:04:05"))
	for _, w := range s.wrong {
		t.Logf("  wrong: %s", w)
	}
	return s
}

// breakIt injects the fault; what is returned heals it.
func breakIt(t *testing.T, c *cluster.Cluster, v *verdict, nodes []int) func() {
	t.Helper()
	k := nodes[0]
	if v.fault == "agent-dead" {
		c.KillAgent(k, mesh.Pod)
		return func() { restart(t, c, k, mesh.Pod) }
	}
	args := slices.Clone(nodes[:v.args])
	if v.fault == "fw-agent-port" {
		args = append(args, 8095)
	}
	heal, err := c.Lab.Inject(t.Context(), v.fault, args...)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := heal(); err != nil {
			t.Error(err)
		}
		if v.fault == "node-dead" {
			restart(t, c, k, mesh.Pod)
			restart(t, c, k, mesh.Host)
		}
	}
}

func restart(t *testing.T, c *cluster.Cluster, i int, network mesh.Network) {
	t.Helper()
	if err := c.StartAgent(i, network); err != nil {
		t.Error(err)
	}
}

// awaitQuiet waits until all paths are ok and nothing is found.
func awaitQuiet(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	awaitAllOK(t, c)
	began := time.Now()
	for len(findings(t, c)) > 0 {
		if time.Since(began) > patience {
			t.Errorf("still found after healing: %+v", findings(t, c))
			return
		}
		pause(t.Context())
	}
}

// TestFaultsAreCalledByTheirNames injects the faults that NETCHECKER_FAULTS names, separated by
// commas, or all of them, NETCHECKER_RUNS times each. Diagnosis is on trial: without it the test
// is skipped, and -diagnose is off in the product.
func TestFaultsAreCalledByTheirNames(t *testing.T) {
	list := os.Getenv("NETCHECKER_FAULTS")
	if list == "" {
		t.Skip("diagnosis is on trial: NETCHECKER_FAULTS=all, or make faults, shows how it does")
	}
	chosen := strings.Split(list, ",")
	c := start(t, lab.Config{Nodes: 5}, cluster.Config{ServerArgs: []string{"-diagnose"}})
	for i := range verdicts {
		v := &verdicts[i]
		if !slices.Contains(chosen, v.fault) && !slices.Contains(chosen, "all") {
			continue
		}
		t.Run(v.fault, func(t *testing.T) {
			for range runs() {
				s := judge(t, c, v)
				if !s.located {
					t.Errorf("not located")
				} else if !s.caused {
					t.Errorf("cause not named")
				}
				if len(s.wrong) > 0 {
					t.Errorf("%d wrong findings", len(s.wrong))
				}
			}
		})
	}
}
