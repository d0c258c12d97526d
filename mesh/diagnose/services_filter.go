package diagnose

import (
	"fmt"
	"net/netip"
	"net/url"

	"netchecker/probe"
)

// maxFilterFacts is how many rules of the packet filter a finding about a service shows.
const maxFilterFacts = 3

// filterFacts are what the packet filter of a node has, or lacks, that makes a service fail from there;
// nothing where its agent may not read it.
func (r *round) filterFacts(s *service, node string, cause Cause) (facts []Fact) {
	if len(r.pictures) == 0 {
		return nil
	}
	p := r.pictures[0]
	b := &bench{p: p, given: r.Evidence}
	at := -1
	var rest []int
	for n := range p.nodes {
		switch {
		case p.nodes[n].name == node:
			at = n
		case b.host(n) != nil:
			rest = append(rest, n)
		}
	}
	own := b.host(at)
	if own == nil || own.Firewall == nil {
		return nil
	}
	b.sample = spread(rest, maxBench)
	if cause == ServiceRulesMissing {
		return b.translation(at)
	}
	for _, rule := range b.drops(own) {
		if len(facts) < maxFilterFacts && s.meets(&rule) {
			facts = append(facts, b.fact(at, "firewall", rule.String(), "no such rule"))
		}
	}
	return facts
}

// translation compares the chain that translates Service addresses with that of healthy nodes.
func (b *bench) translation(n int) []Fact {
	const table, chain = "nat", "KUBE-SERVICES"
	rules := func(s *probe.Snapshot) int {
		if c := s.Firewall.Chain("", table, chain); c != nil {
			return c.Rules
		}
		return 0
	}
	want, _, asked := usual(b, func(_ int, s *probe.Snapshot) (int, bool) { return rules(s), s.Firewall != nil })
	if have := rules(b.host(n)); asked > 0 && have < want {
		return []Fact{b.fact(n, "rules of "+table+" "+chain, fmt.Sprint(have), fmt.Sprint(want))}
	}
	return nil
}

// meets reports whether a rule drops what is sent to a way of the service that fails.
func (s *service) meets(rule *probe.DropRule) bool {
	for _, v := range s.views {
		if len(v.bad) == 0 {
			continue
		}
		proto := "udp"
		if v.tcp || !s.dns {
			proto = "tcp"
		}
		to, ok := portOf(v.address)
		if !ok || rule.Proto != "" && rule.Proto != proto || rule.PortHigh != 0 && (to.Port() < rule.PortLow || to.Port() > rule.PortHigh) {
			continue
		}
		if !rule.Dst.IsValid() || rule.Dst.Contains(to.Addr()) != rule.DstNot {
			return true
		}
	}
	return false
}

// portOf is the address and port in host:port or a URL; false for names.
func portOf(text string) (netip.AddrPort, bool) {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		text = u.Host
	}
	to, err := netip.ParseAddrPort(text)
	return to, err == nil
}
