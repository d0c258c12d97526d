package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netchecker/mesh"
)

// words says a reading in a sentence or two, and what to run there.
func (p *picture) words(d *reading) (summary, check string) {
	if s, c := p.causeWords(d); s != "" {
		return s, c
	}
	switch d.scope {
	case ScopeNode:
		return p.nodeWords(d)
	case ScopePair:
		return p.pairWords(d)
	case ScopeGroups:
		return p.groupWords(d)
	}
	return p.clusterWords(d)
}

// name is the node a reading is about.
func (p *picture) name(n int) string {
	if n < 0 {
		return ""
	}
	return p.nodes[n].name
}

// enumerate joins names, at most five of them.
func enumerate(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most-1], ", "), len(names)-most+1)
	}
	if len(names) > 1 {
		return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	return strings.Join(names, "")
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func (p *picture) nodeWords(d *reading) (string, string) {
	n := p.name(d.node)
	switch d.kind {
	case NodeDown:
		return fmt.Sprintf("%s is down or cut off: neither of its agents reports and no other node reaches it. Check its power, VM, network link and kubelet.", n),
			fmt.Sprintf("kubectl describe node %s", n)
	case NodeUnreachable:
		if d.alone {
			return fmt.Sprintf("%s, whose agents alone still report, reaches no other node: it is cut off from all others, or they are down. Check its network interface, its address (a second owner?), its firewall and its switch port.", n),
				"ip -s link; ip route; ip neigh"
		}
		return fmt.Sprintf("%s exchanges no packets with other nodes%s, yet it is alive and reports. Check its network interface, its address and its firewall.", n, lostWay(d.dir, n)),
			"ip -s link; ip route; ip neigh"
	case OverlayBroken:
		return fmt.Sprintf("The pod network between %s and all other nodes is broken%s, its host network is fine: the tunnel of %s does not work. Check the CNI agent (flannel, calico, cilium) on %s and that the tunnel's port is open.", n, lostWay(d.dir, n), n, n),
			"ip -d link show type vxlan; ip route; bridge fdb show; ip neigh show nud permanent"
	case ForwardingBroken:
		return fmt.Sprintf("%s forwards nothing to or from its pods; its own traffic and paths inside the node are fine. Check net.ipv4.ip_forward and the FORWARD chain (iptables and nft) on %s; restart kube-proxy and the CNI agent there.", n, n),
			"sysctl net.ipv4.ip_forward; iptables -S FORWARD; nft list ruleset"
	case PodAttachmentBroken:
		return fmt.Sprintf("The pods of %s are cut off, also from %s itself: their bridge or veth is broken. Check the CNI bridge (cni0, docker0, cali*) on %s.", n, n, n),
			"ip addr show; ip link show type bridge; bridge link"
	case PodIngressBlocked:
		return fmt.Sprintf("New connections into pods of %s are dropped, while its pods open connections outward and no part of the node is broken. What remains is a NetworkPolicy (default-deny ingress) or a filter on %s.", n, n),
			"kubectl get networkpolicy -A; iptables -S FORWARD"
	case PodEgressBlocked:
		return fmt.Sprintf("Pods of %s open no connections to other nodes, while others reach them. What remains is a NetworkPolicy (egress) or a filter on %s.", n, n),
			"kubectl get networkpolicy -A; iptables -S FORWARD"
	case NodeRoutingBroken:
		return fmt.Sprintf("On %s %s fails while all paths between nodes are fine. Check policy rules and routes on %s.", n, localWords(d), n),
			"ip rule; ip route show table all"
	case AgentDown:
		return p.agentWords(d)
	}
	return p.partWords(d)
}

func localWords(d *reading) string {
	toPod, toHost := d.cells.heard[0] && d.cells.local[0] == d.class, d.cells.heard[1] && d.cells.local[1] == d.class
	switch {
	case toPod && toHost:
		return "traffic between the node and its own pods"
	case toPod:
		return "traffic from the node to its own pods"
	case toHost:
		return "traffic from pods to their own node"
	}
	return "traffic from the node itself to pods on other nodes"
}

// lostWay says in which direction packets are lost, when that is known.
func lostWay(dir direction, n string) string {
	switch dir {
	case outOnly:
		return fmt.Sprintf(" (what %s sends is lost, what is sent to it arrives)", n)
	case inOnly:
		return fmt.Sprintf(" (what is sent to %s is lost, what it sends arrives)", n)
	}
	return ""
}

func (p *picture) agentWords(d *reading) (string, string) {
	n, which := p.name(d.node), "pod"
	switch {
	case d.own.silent[mesh.Pod] && d.own.silent[mesh.Host] && d.shape == shapeCut:
		which = "pod and host"
	case d.shape == shapeHostIn:
		which = "host"
	}
	if d.cause == ProcessHung {
		return fmt.Sprintf("The %s agent of %s hangs: its address answers ping, it answers nothing else and does not report. This is no network fault. Check the pod's CPU limit and its log.", which, n),
			fmt.Sprintf("kubectl get pods -A -o wide --field-selector spec.nodeName=%s", n)
	}
	return fmt.Sprintf("The %s agent of %s is not running: its port refuses at once. This is no network fault. Check the pod's restarts and its log.", which, n),
		fmt.Sprintf("kubectl get pods -A -o wide --field-selector spec.nodeName=%s", n)
}

// partWords says what concerns single protocols and sizes of one node.
func (p *picture) partWords(d *reading) (string, string) {
	n := p.name(d.node)
	which := "to and from " + n
	switch inward, outward := d.cells.touched(in) != 0, d.cells.touched(out) != 0; {
	case inward && !outward:
		which = "to " + n
	case outward && !inward:
		which = "from " + n
	}
	return p.qualityWords(d, which, n)
}

// qualityWords says what concerns a protocol, a size or the quality of paths; where is a phrase
// such as "to node3", at the node to look at.
func (p *picture) qualityWords(d *reading, where, at string) (string, string) {
	f := &d.suspect.facts
	look := ""
	if at != "" {
		look = " on " + at
	}
	switch d.kind {
	case PortBlocked:
		return p.portWords(d, where, at)
	case ProtocolBlocked:
		what, rest := "TCP connections", "ping and UDP"
		switch {
		case d.class == quiet:
			return fmt.Sprintf("ICMP echo (ping) %s is filtered or ignored; UDP and TCP are fine, so this is no network failure.", where), "iptables -S INPUT; sysctl net.ipv4.icmp_echo_ignore_all"
		case d.cause == UDPFiltered:
			what, rest = "UDP packets", "TCP connections"
		}
		return fmt.Sprintf("%s %s are dropped while %s are fine: a firewall or middlebox filters them. Check the firewall%s and security groups.", what, where, rest, look), "iptables -S; nft list ruleset"
	case MTUBlackhole:
		return fmt.Sprintf("Large packets %s vanish without an error%s: an MTU black hole; small ones pass, so connections open and then stall. Compare the MTUs along the path (switch port, VM network, VPN) and do not filter ICMP fragmentation-needed.", where, passSize(f)),
			"ip link | grep mtu; tracepath -n PEER"
	case MTUMismatch:
		return fmt.Sprintf("Packets of full size %s are refused as too big%s: MTUs differ. Align the MTU of the interfaces%s with the rest of the cluster.", where, passSize(f), look),
			"ip link | grep mtu"
	case HighLatency:
		return fmt.Sprintf("Round trips %s are slow (%s, far above what they were)%s. Check the link and queues of that path.", where, roundDuration(median(f.rtts)), localRTT(d)),
			"ip -s link; tc -s qdisc; ping PEER"
	case FlowBlackhole:
		return fmt.Sprintf("A part of the flows %s is dead, always the same source ports, while all others are fine: one member of an ECMP or LAG group drops everything. Check its members and links.", where),
			"traceroute with fixed source ports; the switch's LAG and ECMP counters"
	case PartialLoss:
		return fmt.Sprintf("%s packet loss %s%s. Check cable, port errors and policers on that path.", percent(median(f.loss)), where, lossWay(d, at)),
			"ip -s link; ethtool -S DEV | grep -i err"
	case AddressConflict:
		return fmt.Sprintf("Somebody else answers at the address of %s: an address is used twice. Compare the addresses and pod CIDRs of all nodes.", at), "kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR"
	case AgentUnhealthy:
		return fmt.Sprintf("The agent of %s accepts connections but does not answer on them. Check its CPU limit and log.", at), fmt.Sprintf("kubectl get pods -A -o wide --field-selector spec.nodeName=%s", at)
	}
	return fmt.Sprintf("%d paths %s fail in no pattern that names a place or a cause.", d.weight, where), "netcheck matrix"
}

func (p *picture) portWords(d *reading, where, at string) (string, string) {
	check := "iptables -S INPUT; nft list ruleset"
	proto := "TCP"
	if d.class == dead {
		proto = "UDP"
	}
	switch {
	case d.cause == AgentPortBlocked:
		return fmt.Sprintf("Only the agent's %s port is blocked %s; everything else passes, so the network itself is fine. Open the agent's port.", proto, where), check
	case d.shape == shapeHostOut:
		return fmt.Sprintf("%s opens no connections to other nodes while others reach it: its firewall drops what it sends. Check the OUTPUT rules on %s.", at, at), "iptables -S OUTPUT; nft list ruleset"
	case d.shape == shapeWall:
		return fmt.Sprintf("The host firewall of %s %s everything that is new, to the node and to its pods, while %s itself reaches others. Disable it (firewalld, ufw) or add the cluster's ports and networks.", at, verb(d), at), check
	}
	return fmt.Sprintf("The host firewall of %s %s new packets to the node itself, while its pods and its own connections are fine. Open the node's ports for the cluster.", at, verb(d)), check
}

func verb(d *reading) string {
	if d.cause == HostFirewallReject {
		return "rejects"
	}
	return "drops"
}

func passSize(f *sample) string {
	if size := median(f.sizes); size > 0 {
		return fmt.Sprintf(" (up to %d bytes pass)", size)
	}
	return ""
}

func localRTT(d *reading) string {
	if d.scope == ScopeNode {
		return "; paths inside the node are not, so it is the link and not the CPU"
	}
	return ""
}

func percent(share float64) string {
	if share <= 0 {
		return "Some"
	}
	return fmt.Sprintf("About %.0f %%", share*100)
}

func lossWay(d *reading, at string) string {
	if d.scope == ScopeNode && at != "" {
		return lostWay(d.dir, at)
	}
	return ""
}

func roundDuration(t time.Duration) string {
	if t >= 10*time.Millisecond {
		return t.Round(time.Millisecond).String()
	}
	return t.Round(10 * time.Microsecond).String()
}
