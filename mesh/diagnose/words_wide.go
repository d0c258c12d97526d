package diagnose

import "fmt"

func (p *picture) pairWords(d *reading) (string, string) {
	a, b := p.name(d.from), p.name(d.to)
	where := fmt.Sprintf("between %s and %s", a, b)
	if !d.both {
		where = fmt.Sprintf("from %s to %s", a, b)
	}
	switch d.kind {
	case PairBroken:
		if d.network == "host" {
			return fmt.Sprintf("Nothing passes %s, on the host network or between pods%s. Check security groups, switch ACLs and the link between exactly these two.", where, p.alone()),
				fmt.Sprintf("on %s: traceroute to %s; security groups of both", a, b)
		}
		return fmt.Sprintf("The pod network %s is broken while their host network is fine%s. Check the route, neighbour and tunnel entry for %s on %s, then the reverse; restarting the CNI agent rewrites them.", where, p.andOthers(), b, a),
			fmt.Sprintf("on %s: ip route get POD-IP; bridge fdb show; ip neigh", a)
	case OneWay:
		return fmt.Sprintf("Packets from %s to %s are lost, those from %s to %s arrive: a one-way filter or broken link between exactly these two. Check security groups, ACLs and routes for that direction.", a, b, b, a),
			fmt.Sprintf("on %s: traceroute to %s", a, b)
	}
	return p.qualityWords(d, where, a)
}

func (p *picture) groupWords(d *reading) (string, string) {
	small, rest := "", enumerate(p.names(d.groups[0]))
	for i, g := range d.groups[1:] {
		if i > 0 {
			small += "} and {"
		}
		small += enumerate(p.names(g))
	}
	where := fmt.Sprintf("between {%s} and {%s}", rest, small)
	switch d.kind {
	case Partition:
		what, check := "The network", "the uplink or core between them"
		if d.network == "pod" {
			what, check = "The pod network", "what filters the tunnel's port between them (host network is fine)"
		}
		if d.silent {
			return fmt.Sprintf("%s is split: {%s} cannot be reached from {%s} and do not report, all at the same moment. Check %s, or whether they lost power together.", what, small, rest, check),
				"traceroute across; switch uplinks"
		}
		return fmt.Sprintf("%s is split %s: every path between the groups is dead, inside them all is well. Check %s.", what, where, check), "traceroute across; switch uplinks"
	case OneWay:
		from, to := rest, small
		if d.dir == inOnly {
			from, to = to, from
		}
		return fmt.Sprintf("Packets from {%s} to {%s} are lost, those in the other direction arrive. Check filters and routes between the groups.", from, to), "traceroute across; ACLs"
	}
	return p.qualityWords(d, where, "")
}

func (p *picture) clusterWords(d *reading) (string, string) {
	switch d.kind {
	case OverlayBroken:
		return "The pod network is broken between all nodes while host-to-host works, and nothing on the nodes differs: the tunnel's port (vxlan: UDP 8472) is filtered on the way. Open it in the firewall or hypervisor (for instance NSX), or change the port.",
			"nc -u NODE 8472; tcpdump -ni any udp port 8472 on two nodes"
	case NodeUnreachable:
		return "No node reaches any other: the network between all of them is down, or a firewall closes it. Check the switch and recent firewall changes.", "traceroute between nodes"
	case ForwardingBroken:
		return "No node forwards to or from its pods; host-to-host is fine. Check net.ipv4.ip_forward and the FORWARD chain everywhere, and what was rolled out last.", "sysctl net.ipv4.ip_forward; iptables -S FORWARD"
	case PodIngressBlocked, PodEgressBlocked:
		return "Pods of different nodes do not reach each other while hosts do reach pods: a NetworkPolicy or filter for pod traffic is in force everywhere. Check policies in the agents' namespace.", "kubectl get networkpolicy -A"
	case Unexplained:
		return fmt.Sprintf("%d paths fail, scattered over many pairs in no pattern that names a place or a cause. Look at the matrix; several faults at once may look so.", d.weight), "netcheck matrix"
	}
	where := "between all nodes"
	switch {
	case d.inside && d.kind == NodeRoutingBroken:
		return fmt.Sprintf("On most nodes (%s) pods and their own node do not reach each other, while all paths between nodes are fine. Check policy rules, routes and filters there, and what was rolled out last.", enumerate(p.names(d.peers))), "ip rule; ip route show table all"
	case d.inside:
		where = "between pods and their own node, on most nodes,"
	case d.network == "pod":
		where = "between pods of all nodes"
	}
	return p.qualityWords(d, where, "")
}

// alone says that the nodes of a pair are well otherwise, where there are others to say so.
func (p *picture) alone() string {
	if len(p.nodes) < 3 {
		return ""
	}
	return ", while both reach all others"
}

func (p *picture) andOthers() string {
	if len(p.nodes) < 3 {
		return ""
	}
	return " and both reach all others"
}
