package diagnose

import (
	"fmt"

	"netchecker/probe"
)

// nodeVerdict is why a service fails for the agents of one node; false when that is nobody's concern.
func (r *round) nodeVerdict(s *service, node string, virtual, direct []*serviceView) (Kind, Cause, bool) {
	fails := func(list []*serviceView, tcp, udp bool) (bad, asked int) {
		for _, v := range list {
			if v.tcp && !tcp || !v.tcp && !udp {
				continue
			}
			bad += r.countOn(v.bad, node)
			asked += r.countOn(v.agents, node)
		}
		return bad, asked
	}
	badVIP, _ := fails(virtual, true, true)
	badDirect, askedDirect := fails(direct, true, true)
	udp, askedUDP := fails(s.views, false, true)
	tcp, askedTCP := fails(s.views, true, false)
	switch {
	case s.dns && udp > 0 && tcp == 0 && 2*udp >= askedUDP:
		return DNSFailing, DNSUDPBlocked, true
	case s.dns && tcp > 0 && udp == 0 && 2*tcp >= askedTCP:
		return DNSFailing, DNSTCPBlocked, true
	case badVIP > 0 && badDirect == 0 && askedDirect > 0:
		return ServiceBroken, ServiceRulesMissing, true
	case badDirect > 0 && badVIP == 0 && len(virtual) > 0:
		return "", "", false // it works where it is used
	}
	return r.kindOf(s), CauseUnknown, true
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
