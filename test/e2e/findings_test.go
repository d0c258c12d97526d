package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

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
	// least is the smallest lab in which the fault has a place.
	least int
}

// verdicts are the faults that have a name; the rest of the lab's stay without one on purpose.
var verdicts = []verdict{
	{"dup-podcidr", 2, "address_conflict", "duplicate_pod_cidr", "k,b", false, 4},
	{"dup-podcidr-sameip", 2, "address_conflict", "duplicate_pod_ip", "k,b", false, 4},
	{"podcidr-overlaps-lan", 1, "address_conflict", "pod_cidr_overlaps_lan", "k", false, 3},
	{"docker0-overlaps-nodenet", 1, "address_conflict", "bridge_overlaps_node_network", "k", false, 3},
	{"iptables-flush", 1, "forwarding_broken", "forward_dropped", "k", true, 3},
	{"kubeproxy-rules-gone", 1, "service_broken", "service_rules_missing", "k", true, 3},
	{"firewalld", 1, "port_blocked", "host_firewall_rejects", "k", true, 3},
	{"nm-cni0-down", 1, "pod_attachment_broken", "bridge_down", "k", false, 3},
	{"nm-flannel-down", 1, "overlay_broken", "overlay_device_down", "k", false, 3},
	{"nm-flannel-bounced", 1, "overlay_broken", "overlay_routes_missing", "k", false, 3},
	{"nm-cni0-noaddr", 1, "pod_attachment_broken", "bridge_address_missing", "k", false, 3},
	{"nm-cloud-setup", 1, "node_routing_broken", "policy_rule_hijack", "k", false, 3},
	{"dns-acl-udp", 1, "dns_failing", "dns_udp_blocked", "k", false, 3},
	{"dns-acl-tcp", 1, "dns_failing", "dns_tcp_blocked", "k", false, 3},
	{"coredns-dead", 0, "dns_failing", "dns_server_down", "", false, 3},
	{"coredns-servfail", 0, "dns_failing", "dns_server_error", "", false, 3},
	{"coredns-slow", 0, "dns_failing", "dns_server_slow", "", false, 3},
	{"mtu-flannel-low", 1, "mtu_mismatch", "overlay_mtu_low", "k", false, 3},
	{"mtu-fabric-low", 1, "mtu_blackhole", "underlay_mtu_low", "k", false, 3},
	{"mtu-eth0-low", 1, "mtu_mismatch", "nic_mtu_low", "k", false, 3},
	{"mtu-pmtud-blackhole", 1, "mtu_blackhole", "frag_needed_filtered", "k", false, 3},
	{"mtu-pods-1500", 0, "mtu_mismatch", "pod_mtu_high", "", false, 3},
	{"ip-forward-0", 1, "forwarding_broken", "ip_forward_off", "k", false, 3},
	{"rp-filter-asym", 2, "pair_broken", "rp_filter_drop", "k,b", false, 4},
	{"conntrack-full", 1, "node_unreachable", "conntrack_full", "k", false, 3},
	{"fdb-missing", 2, "pair_broken", "fdb_entry_missing", "k,b", false, 4},
	{"route-missing", 2, "pair_broken", "route_missing", "k,b", false, 3},
	{"vtep-wrong-ip", 1, "overlay_broken", "vtep_address_wrong", "k", false, 3},
	{"vxlan-port-mismatch", 1, "overlay_broken", "vxlan_port_mismatch", "k", false, 3},
	{"vxlan-gone", 1, "overlay_broken", "overlay_device_missing", "k", false, 3},
	{"fw-8472-in", 1, "overlay_broken", "vxlan_port_blocked", "k", true, 3},
	{"fw-8472-all", 0, "overlay_broken", "vxlan_blocked", "", false, 3},
	{"fw-agent-port", 1, "port_blocked", "agent_port_blocked", "k", true, 3},
	{"icmp-blocked", 1, "protocol_blocked", "icmp_filtered", "k", true, 3},
	{"sg-pair", 2, "pair_broken", "underlay_filtered", "k,b", false, 3},
	{"node-dead", 1, "node_down", "", "k", false, 3},
	{"nic-down", 1, "node_down", "", "k", true, 3},
	{"agent-dead", 1, "agent_down", "process_down", "k", false, 3},
	{"partition", 0, "partition", "", "", false, 4},
	{"loss", 2, "partial_loss", "", "k,b", false, 3},
	{"dup-ip", 1, "address_conflict", "duplicate_node_ip", "k", false, 3},
	{"ecmp-blackhole", 0, "flow_blackhole", "", "", false, 4},
	{"latency", 1, "high_latency", "", "k", false, 3},
	{"vip-broken", 1, "service_broken", "service_rules_missing", "k", true, 3},
	{"vip-no-endpoints", 0, "service_broken", "no_endpoints", "", false, 3},
	{"server-isolated", 0, "server_unreachable", "server_down", "", false, 3},
	{"netpol-ingress", 1, "pod_ingress_blocked", "policy_or_filter", "k", true, 3},
	{"rp-filter-strict", 1, "", "", "", true, 3},
	{"tcp-syn-drop", 1, "protocol_blocked", "tcp_filtered", "k", true, 3},
}

// beyond are faults that the diagnosis was not made for: NETCHECKER_FAULTS=beyond.
var beyond = []verdict{
	{"one-way", 2, "one_way", "", "k,b", false, 3},
	{"input-drop", 1, "port_blocked", "host_firewall_drops", "k", true, 3},
	{"netpol-egress", 1, "pod_egress_blocked", "policy_or_filter", "k", true, 3},
	{"pod-link-down", 1, "pod_attachment_broken", "pod_link_down", "k", false, 3},
	{"route-blackhole", 2, "pair_broken", "route_blackholed", "k,b", false, 4},
	{"bridge-overlaps-pods", 2, "pair_broken", "route_wrong", "k,b", false, 4},
	{"neigh-missing", 2, "pair_broken", "neighbor_entry_missing", "k,b", false, 4},
	{"vtep-mac", 1, "overlay_broken", "overlay_peers_missing", "k", false, 3},
	{"host-agent-dead", 1, "agent_down", "process_down", "k", false, 3},
	{"agent-hung", 1, "agent_down", "process_hung", "k", false, 3},
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

func (v *verdict) caused(f *finding) bool {
	return f.Cause == v.cause || v.blind && f.Cause == "" && !privileged()
}

// privileged reports whether host agents may read the packet filter.
func privileged() bool { return os.Getenv("NETCHECKER_EVIDENCE") == "privileged" }
