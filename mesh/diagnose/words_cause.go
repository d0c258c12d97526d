package diagnose

import (
	"fmt"
	"strings"
)

// causeWords says a reading whose cause is known by evidence; "" for all others, whose words are
// those of the pattern.
func (p *picture) causeWords(d *reading) (summary, check string) {
	for _, say := range []func(*reading) (string, string){p.tunnelWords, p.addressWords, p.settingWords, p.entryWords, p.sizeWords} {
		if s, c := say(d); s != "" {
			return s, c
		}
	}
	return "", ""
}

// at is the node to look at, by name.
func (p *picture) at(d *reading) string {
	if d.culprit >= 0 {
		return p.name(d.culprit)
	}
	if d.node >= 0 {
		return p.name(d.node)
	}
	return p.name(d.from)
}

func (p *picture) tunnelWords(d *reading) (string, string) {
	n, t := p.at(d), &d.detail
	links := "ip -d link show " + t.dev
	switch d.cause {
	case OverlayDeviceMissing:
		return fmt.Sprintf("%s: the overlay device %s does not exist, so its pods reach no other node. Start the CNI agent (flannel, calico, cilium) on %s.", n, t.dev, n), links
	case OverlayDeviceDown:
		if n == "" {
			return fmt.Sprintf("The overlay device %s is down on most nodes: the pod network between nodes is dead. Check what took it down everywhere and restart the CNI agents.", t.dev), links
		}
		return fmt.Sprintf("%s: the overlay device %s is down; the routes to all peers went with it. Bring it up and restart the CNI agent on %s: routes and neighbours do not come back by themselves.", n, t.dev, n), links
	case OverlayRoutesMissing:
		return fmt.Sprintf("%s: the overlay device %s is up but the routes to other nodes' pods are missing (it was probably taken down and up again). Restart the CNI agent on %s and keep NetworkManager away from %s.", n, t.dev, n, t.dev), "ip route show dev " + t.dev
	case OverlayPeersMissing:
		if t.other != "" {
			return fmt.Sprintf("Other nodes have no way to the pods of %s by %s: its lease is missing or old. Restart the CNI agent on %s so that it registers again, then check the peers' routes.", n, t.dev, n), "ip route; ip neigh show dev " + t.dev + "; bridge fdb show dev " + t.dev
		}
		return fmt.Sprintf("%s: the neighbour or forwarding entries of its peers are missing on %s. Restart the CNI agent on %s, which writes them.", n, t.dev, n), "ip neigh show dev " + t.dev + "; bridge fdb show dev " + t.dev
	case VTEPAddressWrong:
		if d.scope == ScopePair {
			return fmt.Sprintf("%s sends pod traffic for %s to %s, but its address is %s: a stale tunnel entry on %s. Restart the CNI agent there.", n, p.name(d.to), t.got, t.want, t.dev), "bridge fdb show dev " + t.dev
		}
		return fmt.Sprintf("All peers send the pod traffic of %s to %s, but its address is %s: wrong public-ip annotation (the node's address changed, or the wrong interface was detected). Fix the annotation or --iface and restart the CNI agent.", n, t.got, t.want), "bridge fdb show dev " + t.dev
	case VTEPMACWrong:
		return fmt.Sprintf("Peers send the pod traffic of %s to link address %s, which is not that of its %s: the device was made anew and its lease is old. Restart the CNI agent on %s.", p.victim(d), t.got, t.dev, p.victim(d)), "ip neigh show dev " + t.dev + "; ip link show " + t.dev
	case VXLANPortMismatch:
		return fmt.Sprintf("%s: the vxlan UDP port of %s is %s, the cluster uses %s: its overlay is dead. Align the CNI's backend port on %s.", n, t.dev, t.got, t.want, n), links
	case VXLANIDMismatch:
		return fmt.Sprintf("%s: the vxlan VNI of %s is %s, the cluster uses %s: its overlay is dead. Align the CNI's backend configuration on %s.", n, t.dev, t.got, t.want, n), links
	case VXLANPortBlocked:
		return fmt.Sprintf("UDP port %s (vxlan) is blocked inbound at %s: overlay packets to it never arrive, those from it do%s. Open it in the firewall of %s.", t.want, n, p.byElimination(d), n), "iptables -S INPUT; nft list ruleset"
	}
	return "", ""
}

// victim is the other node than the one to look at.
func (p *picture) victim(d *reading) string {
	if d.scope == ScopePair {
		return p.name(d.to)
	}
	return p.name(d.node)
}

// byElimination says honestly what a cause rests on.
func (p *picture) byElimination(d *reading) string {
	if d.eliminated {
		return " (device, routes and entries are right on both sides)"
	}
	return ""
}

func (p *picture) addressWords(d *reading) (string, string) {
	n, t, m := p.at(d), &d.detail, p.name(d.peer)
	if d.scope == ScopePair {
		n, m = p.name(d.a), p.name(d.b)
	}
	switch d.cause {
	case DuplicatePodCIDR:
		return fmt.Sprintf("Pod CIDR conflict: %s and %s both own %s, and peers send to the last that wrote its lease, so pods of %s are unreachable. Compare Node.spec.podCIDR and the CNI's leases, then re-create the lease, bridge and pods of one of them.", n, m, t.addr, n),
			"kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR"
	case DuplicatePodIP:
		if m != "" {
			return fmt.Sprintf("Duplicate pod IP %s on %s and %s: answers for the pod of one come from the other. Fix the pod CIDRs and delete both pods.", t.addr, n, m), "kubectl get pods -A -o wide | grep " + t.addr
		}
		return fmt.Sprintf("Another machine answers at the pod address of %s: an address is used twice. Compare the pod CIDRs of all nodes.", p.at(d)), "kubectl get pods -A -o wide"
	case PodCIDROverlapsLAN:
		return fmt.Sprintf("The pod network of %s overlaps a physical network: %s have the route %s, which wins over %s. Remove that route (DHCP option 121, NetworkManager) or renumber the pod network.", n, t.other, t.route, t.dev), "ip route get " + t.addr
	case BridgeOverlapsNodeNetwork:
		return fmt.Sprintf("%s: %s (%s) overlaps the node network, so %s sends what is for other nodes into %s. Change docker's bip and default-address-pools, or delete %s.", n, t.dev, t.addr, n, t.dev, t.dev), "ip route; ip addr show " + t.dev
	case DuplicateNodeIP:
		if t.addr == "" {
			return fmt.Sprintf("Another machine answers at the address of %s: the address is used twice. Find its other owner (switch MAC table).", n), "arping -D the address"
		}
		return fmt.Sprintf("Duplicate IP %s: peers resolve it to %s, but %s of %s has %s. Find the other owner (switch MAC table), remove it and clear ARP.", t.addr, t.got, t.dev, n, t.want), "arping -D -I " + t.dev + " " + t.addr
	}
	return "", ""
}

func (p *picture) settingWords(d *reading) (string, string) {
	n, t := p.at(d), &d.detail
	switch d.cause {
	case IPForwardOff:
		return fmt.Sprintf("%s: %s=0, so the node does not route pod traffic (host network and paths inside the node are fine). Set it to 1 in /etc/sysctl.d and find what resets it.", n, t.route), "sysctl " + t.route
	case ForwardDropped:
		how := "rules that drop or a missing accept"
		if d.eliminated {
			how = "what remains, since its settings, links and routes are right, is its FORWARD chain"
		}
		return fmt.Sprintf("%s drops what it should forward to and from pods (%s): rules were flushed while the policy is DROP, or a firewall forbids it. Restart kube-proxy and the CNI agent, stop the tool that flushes, or set iptables -P FORWARD ACCEPT.", n, how),
			"iptables -S FORWARD; iptables-legacy -S FORWARD; nft list ruleset"
	case BridgeDown:
		return fmt.Sprintf("%s: the bridge %s is down, so all pods of %s are cut off, also from their own node. Run `ip link set %s up` and mark %s and veth* unmanaged in NetworkManager.", n, t.dev, n, t.dev, t.dev), "ip link show " + t.dev
	case BridgeMissing:
		return fmt.Sprintf("%s: the bridge %s does not exist, so its pods are cut off, also from their own node. Restart the CNI on %s and re-create its pods.", n, t.dev, n), "ip link show type bridge"
	case BridgeAddressMissing:
		return fmt.Sprintf("%s: %s has lost its address, the gateway of all pods there. Add it again or re-create %s, and restart the CNI.", n, t.dev, t.dev), "ip addr show " + t.dev
	case PodLinkDown:
		return fmt.Sprintf("%s: the link of the agent's pod is down or gone, so the pod is cut off from its own node. Delete the pod; if others suffer too, restart the CNI on %s.", n, n), "ip link; ip route; ip neigh"
	case PolicyRuleHijack:
		hint := ""
		if t.addr == "30400" {
			hint = " Disable nm-cloud-setup.service and its timer."
		}
		return fmt.Sprintf("%s: the policy rule %q takes packets out of the main routing table: %s and from the node to Service addresses fail.%s Delete the rule.", n, t.route, localWords(d), hint), "ip rule; ip route show table all"
	case ConntrackFull:
		return fmt.Sprintf("%s: the connection tracking table is full (%s of %s): new flows are dropped in every direction, to local pods too. Raise net.netfilter.nf_conntrack_max and find what opens so many flows.", n, t.got, t.want), "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max; conntrack -S"
	case NeighborTableFull:
		return fmt.Sprintf("%s: the neighbour table is full (%s of %s): addresses cannot be resolved. Raise net.ipv4.neigh.default.gc_thresh1 to 3.", n, t.got, t.want), "sysctl net.ipv4.neigh.default.gc_thresh3; ip -s neigh | wc -l"
	case NICDown:
		return fmt.Sprintf("%s: the interface %s is down or has no carrier; the node lives but is cut off. Check cable, port and driver.", n, t.dev), "ip -s link show " + t.dev
	case ICMPEchoIgnored:
		return fmt.Sprintf("%s ignores pings (net.ipv4.icmp_echo_ignore_all=1); UDP and TCP are fine, so this is no network failure.", n), "sysctl net.ipv4.icmp_echo_ignore_all"
	case RPFilterDrop:
		if d.scope == ScopePair {
			return fmt.Sprintf("%s drops packets from the pods of %s by strict rp_filter (IPReversePathFilter grows): its route back is %s, while they arrive on %s. Fix the stale route or set rp_filter=2.", n, p.name(d.from), t.route, t.dev), "ip route; sysctl -a | grep rp_filter; nstat -az TcpExtIPReversePathFilter"
		}
		return fmt.Sprintf("%s drops packets by strict rp_filter (IPReversePathFilter grows): they arrive on another interface than its route back. Fix the route or set rp_filter=2.", n), "ip route; sysctl -a | grep rp_filter; nstat -az TcpExtIPReversePathFilter"
	case QueueShaped:
		return fmt.Sprintf("%s: the queue of %s is %s, unlike on other nodes: it delays or drops packets. Remove it (tc qdisc del dev %s root) or find who set it.", n, t.dev, t.got, t.dev), "tc -s qdisc show dev " + t.dev
	case NICErrors:
		return fmt.Sprintf("%s: the interface %s counts errors, unlike on other nodes: packets are lost there. Check cable, port, duplex and driver.", n, t.dev), "ethtool -S " + t.dev
	}
	return "", ""
}

func (p *picture) entryWords(d *reading) (string, string) {
	n, t := p.at(d), &d.detail
	to := p.victim(d)
	what := "pods of " + to
	if d.network == "host" || d.scope == ScopeNode {
		what = strings.TrimPrefix(to, "pods of ")
	}
	switch d.cause {
	case FDBEntryMissing:
		return fmt.Sprintf("%s: the forwarding entry for the tunnel of %s is missing on %s, so packets from %s to pods of %s are dropped before they leave. Restart the CNI agent on %s.", n, to, t.dev, n, to, n), "bridge fdb show dev " + t.dev
	case NeighborEntryMissing:
		return fmt.Sprintf("%s: the neighbour entry for the tunnel of %s is missing on %s, so packets from %s to pods of %s are dropped. Restart the CNI agent on %s.", n, to, t.dev, n, to, n), "ip neigh show dev " + t.dev
	case RouteMissing:
		if d.scope == ScopeNode {
			return fmt.Sprintf("%s has no route to other nodes. Check its addresses and routes (DHCP, NetworkManager).", n), "ip route; ip addr"
		}
		return fmt.Sprintf("%s has no route to %s (%s goes %s). Restart the CNI agent (flannel, calico-node) on %s.", n, what, t.addr, t.route, n), "ip route get " + t.addr
	case RouteWrong:
		if d.scope == ScopeNode {
			return fmt.Sprintf("%s sends what is for other nodes the wrong way (%s). Remove that route.", n, t.route), "ip route"
		}
		return fmt.Sprintf("%s sends packets for %s the wrong way (%s instead of %s). Remove the stale route and restart the CNI agent on %s.", n, what, t.route, t.dev, n), "ip route get " + t.addr
	case RouteBlackholed:
		return fmt.Sprintf("%s throws away packets for %s by a route of type blackhole or unreachable (%s). Remove it and restart the CNI agent on %s.", n, what, t.route, n), "ip route get " + t.addr
	}
	return "", ""
}

func (p *picture) sizeWords(d *reading) (string, string) {
	n, t := p.at(d), &d.detail
	check := "ip link | grep mtu"
	switch d.cause {
	case NICMTULow:
		return fmt.Sprintf("%s: the MTU of %s is %s, other nodes have %s: large packets fail. Align it with the network.", n, t.dev, t.got, t.want), check
	case OverlayMTULow:
		return fmt.Sprintf("%s: the MTU of %s is %s, the cluster uses %s: larger packets from %s that may not be fragmented fail. Align the MTU.", n, t.dev, t.got, t.want, n), check
	case FragNeededFiltered:
		return fmt.Sprintf("%s: the MTU of %s is %s (others have %s) and ICMP fragmentation-needed is filtered: connections open and then stall on data. Allow ICMP type 3 code 4, fix the MTU, or clamp the MSS.", n, t.dev, t.got, t.want), "iptables -S OUTPUT | grep icmp; " + check
	case PodMTUHigh:
		return fmt.Sprintf("Pods use MTU %s over an overlay of %s (%s) on all nodes. Set the MTU of the CNI to %s and re-create the pods.", t.got, t.want, t.dev, t.want), check
	case RouteMTULow:
		return fmt.Sprintf("%s: the route %s has MTU %s, its link %s. Remove the MTU from the route.", n, t.route, t.got, t.want), "ip route"
	case UnderlayMTULow:
		if t.want != "" && d.scope == ScopeNode {
			size := ""
			if s := median(d.suspect.facts.sizes); s > 0 {
				size = fmt.Sprintf(" only %d bytes", s)
			} else {
				size = " less than its interfaces"
			}
			return fmt.Sprintf("The physical path to %s carries%s while the nodes use %s: a silent MTU black hole for host and pod traffic. Fix the MTU of the switch port, VM network or VPN, or lower that of nodes and pods.", n, size, t.want), "tracepath -n from another node; " + check
		}
	}
	return "", ""
}
