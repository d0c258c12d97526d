package diagnose

import (
	"fmt"
	"slices"

	"netchecker/probe"
)

// toll is how many ways to a service an agent of one node asks, how many of those fail, and how many
// fail or are late.
type toll struct{ asked, bad, troubled int }

func anyWay(*serviceView) bool { return true }

func (r *round) toll(node string, list []*serviceView, take func(*serviceView) bool) (n toll) {
	for _, v := range list {
		if take(v) {
			n.asked += r.countOn(v.agents, node)
			n.bad += r.countOn(v.bad, node)
			n.troubled += r.countOn(v.troubled(), node)
		}
	}
	return n
}

// nodeVerdict is why a service fails for the agents of one node; false when that is nobody's concern.
// What fails accuses; what is late may yet fail, so that it accuses nobody and excuses nobody.
func (r *round) nodeVerdict(s *service, node string) (Kind, Cause, bool) {
	vip := r.toll(node, s.views, func(v *serviceView) bool { return v.virtual })
	direct := r.toll(node, s.views, func(v *serviceView) bool { return !v.virtual })
	udp := r.toll(node, s.views, func(v *serviceView) bool { return !v.tcp })
	tcp := r.toll(node, s.views, func(v *serviceView) bool { return v.tcp })
	switch {
	case s.dns && udp.bad > 0 && tcp.asked > 0 && tcp.troubled == 0 && 2*udp.bad >= udp.asked:
		return DNSFailing, DNSUDPBlocked, true
	case s.dns && tcp.bad > 0 && udp.asked > 0 && udp.troubled == 0 && 2*tcp.bad >= tcp.asked && !r.noTCP(node):
		return DNSFailing, DNSTCPBlocked, true
	case vip.bad > 0 && direct.troubled == 0 && direct.asked > 0:
		return ServiceBroken, ServiceRulesMissing, true
	case vip.troubled == 0 && vip.asked > 0:
		return "", "", false // it works where it is used
	}
	return r.kindOf(s), CauseUnknown, true
}

// noTCP reports whether a node has trouble with other services that are reached by TCP.
func (r *round) noTCP(node string) bool {
	return slices.ContainsFunc(r.asked, func(s *service) bool {
		return !s.dns && r.toll(node, s.views, anyWay).troubled > 0
	})
}

// sayNodes enters a finding about a service that fails from some nodes only.
func (r *round) sayNodes(s *service, nodes []string, kind Kind, cause Cause, virtual, direct []*serviceView) {
	who, does, asks := enumerate(nodes), "does", "it asks"
	if len(nodes) > 1 {
		does, asks = "do", "they ask"
	}
	text := ""
	switch cause {
	case DNSUDPBlocked:
		text = fmt.Sprintf("UDP port 53 is blocked on or near %s (TCP 53 works, the mesh is fine)%s. Check firewall, NetworkPolicy and security groups for UDP 53 from %s to %s.", who, r.localDrop(s, nodes), who, addresses(direct))
	case DNSTCPBlocked:
		text = fmt.Sprintf("TCP port 53 is blocked on or near %s: big (truncated) DNS answers fail, small ones work. Check firewall, NetworkPolicy and security groups for TCP 53 from %s to %s.", who, who, addresses(direct))
	case ServiceRulesMissing:
		text = fmt.Sprintf("%s %s not translate the Service address of %s (%s), which works elsewhere, and its pod answers directly: kube-proxy on %s is dead or out of sync, or its rules were flushed. Check kube-proxy there.", who, does, s.name, addresses(virtual), who)
	default:
		text = fmt.Sprintf("%s fails from %s only (%s), while the mesh and other nodes are fine: something between %s and what %s filters. Check firewall, NetworkPolicy and security groups for that port.", title(s), who, addresses(s.views), who, asks)
	}
	c := r.serviceFinding(s, nodes, ScopeNode, kind, cause, text)
	if !slices.ContainsFunc(nodes, func(n string) bool { return r.toll(n, s.views, anyWay).bad > 0 }) {
		c.hold = serviceHoldWait
	}
	if facts := r.filterFacts(s, nodes[0], cause); len(nodes) == 1 && len(facts) > 0 {
		c.Evidence, c.proof = append(facts, c.Evidence...), 2
	}
	r.enter(c)
}

// localDrop says that the node itself refused to send, when it did.
func (r *round) localDrop(s *service, nodes []string) string {
	for _, v := range s.views {
		if v.codes[probe.CodeNotPermitted] > 0 && len(nodes) == 1 && r.countOn(v.bad, nodes[0]) > 0 {
			return "; sending is not permitted, so it is an OUTPUT rule on " + nodes[0] + " itself"
		}
	}
	return ""
}

// dnsBlocked enters a finding about one protocol of DNS that fails for everybody, at some of its pods or
// at all. Where those all live on one node, as that one's own routes show, it is the one place that all
// ways to them have in common.
func (r *round) dnsBlocked(s *service, cause Cause, direct []*serviceView, where string) bool {
	protocol, other, effect := "UDP", "TCP", "names are not resolved"
	if cause == DNSTCPBlocked {
		protocol, other, effect = "TCP", "UDP", "big answers fail"
	}
	asked := ofProtocol(direct, cause == DNSTCPBlocked)
	bad := slices.DeleteFunc(slices.Clone(asked), func(v *serviceView) bool { return !v.all() })
	if len(bad) > 0 {
		where = addresses(bad)
	}
	if n := len(asked); n > len(bad) && len(bad) > 0 {
		effect = fmt.Sprintf("%s at %d of %d DNS pods", effect, len(bad), n)
	}
	text := fmt.Sprintf("DNS over %s fails from every node, over %s it works: %s. Open %s port 53 to the DNS pods (%s).", protocol, other, effect, protocol, where)
	home := r.homeOf(bad)
	if home == "" {
		r.enter(r.serviceFinding(s, nil, ScopeCluster, DNSFailing, cause, text))
		return true
	}
	c := r.serviceFinding(s, []string{home}, ScopeNode, DNSFailing, cause, fmt.Sprintf("%s Node %s, on which they run, is what all ways to them have in common: check its firewall and the NetworkPolicies for them.", text, home))
	c.Severity = Critical
	if facts := r.filterFacts(s, home, cause); len(facts) > 0 {
		c.Evidence, c.proof = append(facts, c.Evidence...), 2
	}
	r.enter(c)
	return true
}
