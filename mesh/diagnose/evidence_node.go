package diagnose

import (
	"fmt"
	"strings"

	"netchecker/mesh"
	"netchecker/probe"
)

// nic looks at the interface that holds the suspect's address.
func (b *bench) nic() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	name, _, _ := usual(b, func(m int, s *probe.Snapshot) (string, bool) {
		if l := s.Holder(b.addr(m, mesh.Host)); l != nil {
			return l.Name, true
		}
		return "", false
	})
	l := s.Holder(b.addr(n, mesh.Host))
	if l == nil {
		l = s.Link(name)
	}
	heard := b.d.cells.known[hh][out] > 0
	if l == nil || heard && b.d.cells.at(hh, out) != broken { // what was read before it came up again
		return false
	}
	b.d.detail.dev = l.Name
	switch {
	case !l.Up:
		return b.settle(b.d.kind, NICDown, n, b.fact(n, "link "+l.Name, "down", "up"))
	case !l.LowerUp && l.Kind == "":
		return b.settle(b.d.kind, NICDown, n, b.fact(n, "carrier of "+l.Name, "none", "a link partner"))
	}
	return false
}

// conntrack looks for a full connection table: whatever opens a new flow is dropped, in every
// direction, and local senders are told that it is not permitted.
func (b *bench) conntrack() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	count, okCount := s.Sysctl("net.netfilter.nf_conntrack_count")
	limit, okLimit := s.Sysctl("net.netfilter.nf_conntrack_max")
	drops := s.Rate(probe.ConntrackDrop)
	switch known := okCount && okLimit && limit > 0; {
	case known && count*100 >= limit*95 && (drops > 0 || b.d.class == dead):
	case known && count*100 >= limit*70 && drops >= 1: // it hovers: old flows end, new ones come
	default:
		return false
	}
	b.d.detail.got, b.d.detail.want = fmt.Sprint(count), fmt.Sprint(limit)
	kind := b.d.kind
	if b.d.class == dead || b.d.class == weak || b.d.class == conn {
		kind = NodeUnreachable
	}
	return b.settle(kind, ConntrackFull, n,
		b.fact(n, "net.netfilter.nf_conntrack_count", b.d.detail.got, "well below "+b.d.detail.want),
		b.fact(n, "conntrack.drop", perSecond(drops), "0"))
}

// neighborTable looks for a neighbour table without room.
func (b *bench) neighborTable() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	limit, ok := s.Sysctl("net.ipv4.neigh.default.gc_thresh3")
	full := ok && limit > 0 && int64(s.NeighborTable.IPv4)*100 >= limit*98
	if !full && s.Rate(probe.NeighborTableFulls) < 0.2 {
		return false
	}
	b.d.detail.got, b.d.detail.want = fmt.Sprint(s.NeighborTable.IPv4), fmt.Sprint(limit)
	return b.settle(b.d.kind, NeighborTableFull, n, b.fact(n, "neighbours (net.ipv4.neigh.default.gc_thresh3)", b.d.detail.got, "well below "+b.d.detail.want),
		b.fact(n, probe.NeighborTableFulls.String(), perSecond(s.Rate(probe.NeighborTableFulls)), "0"))
}

// policyRule looks for a policy rule that the suspect has and healthy nodes do not.
func (b *bench) policyRule() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	for _, rule := range s.Rules {
		if rule.Usual() || rule.IPv6 != (b.p.family == mesh.IPv6) || b.common(rule) {
			continue
		}
		b.d.detail.route, b.d.detail.addr = rule.String(), fmt.Sprint(rule.Priority)
		return b.settle(NodeRoutingBroken, PolicyRuleHijack, n, b.fact(n, "ip rule", rule.String(), "none of priority "+fmt.Sprint(rule.Priority)))
	}
	return false
}

// common reports whether half of the healthy nodes have a rule of the same priority and table.
func (b *bench) common(rule probe.Rule) bool {
	have := 0
	for _, m := range b.sample {
		for _, other := range b.host(m).Rules {
			if other.Priority == rule.Priority && other.Table == rule.Table && other.IPv6 == rule.IPv6 {
				have++
				break
			}
		}
	}
	return 2*have > len(b.sample)
}

// forwarding looks at the settings without which a node forwards nothing.
func (b *bench) forwarding() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	names := []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"}
	drops := probe.IPInAddrErrors
	if b.p.family == mesh.IPv6 {
		names, drops = []string{"net.ipv6.conf.all.forwarding"}, probe.IP6InAddrErrors
	}
	for i := range s.Links {
		if l := &s.Links[i]; b.p.family == mesh.IPv4 && (l.Kind == "bridge" || l.VXLAN != nil || l.Kind == "") {
			names = append(names, "net.ipv4.conf."+strings.ReplaceAll(l.Name, ".", "/")+".forwarding")
		}
	}
	for _, name := range names {
		v, ok := s.Sysctl(name)
		if !ok || v != 0 {
			continue
		}
		normal, _, asked := usual(b, func(_ int, s *probe.Snapshot) (int64, bool) { return s.Sysctl(name) })
		if asked > 0 && normal == 0 {
			continue
		}
		b.d.detail.route = name
		facts := []Fact{b.fact(n, name, "0", "1")}
		if rate := s.Rate(drops); rate > 0 {
			facts = append(facts, b.fact(n, drops.String(), perSecond(rate), "0"))
		}
		return b.settle(ForwardingBroken, IPForwardOff, n, facts...)
	}
	return false
}

// forwardFiltered is what remains when the settings are right: the FORWARD chain drops. Only an
// agent that may read the rules can show it.
func (b *bench) forwardFiltered() bool {
	n := b.d.node
	s := b.host(n)
	if s == nil {
		return false
	}
	if f := s.Firewall; f != nil {
		for i := range f.Chains {
			c := &f.Chains[i]
			if c.Hook != "forward" || c.Policy != "drop" || c.Accepts+c.Jumps > 0 && !b.barer(c) {
				continue
			}
			b.d.detail.got = fmt.Sprintf("policy drop, %d rules", c.Rules)
			return b.settle(ForwardingBroken, ForwardDropped, n, b.fact(n, c.Family+" "+c.Table+" "+c.Name, b.d.detail.got, "rules of kube-proxy and the CNI that accept"))
		}
		for _, rule := range b.drops(s) {
			if strings.EqualFold(rule.Chain, "forward") || chainHook(f, rule) == "forward" {
				return b.settle(ForwardingBroken, ForwardDropped, n, b.fact(n, "firewall", rule.String(), "no such rule"))
			}
		}
	}
	forward, ok := s.Sysctl("net.ipv4.ip_forward")
	if !ok || forward == 0 || !b.fresh(n) {
		return false
	}
	return b.remain(ForwardingBroken, ForwardDropped, b.fact(n, "net.ipv4.ip_forward, links, routes and neighbours", "right", "right"))
}

// barer reports whether a chain has far fewer rules than on healthy nodes.
func (b *bench) barer(c *probe.Chain) bool {
	rules, _, asked := usual(b, func(_ int, s *probe.Snapshot) (int, bool) {
		other := s.Firewall.Chain(c.Family, c.Table, c.Name)
		if other == nil {
			return 0, false
		}
		return other.Rules, true
	})
	return asked > 0 && 2*c.Rules < rules
}

func chainHook(f *probe.Firewall, rule probe.DropRule) string {
	if c := f.Chain(rule.Family, rule.Table, rule.Chain); c != nil {
		return c.Hook
	}
	return ""
}

// drops are the rules that drop and that healthy nodes do not have.
func (b *bench) drops(s *probe.Snapshot) (list []probe.DropRule) {
	if s == nil || s.Firewall == nil {
		return nil
	}
	for _, rule := range s.Firewall.Drops {
		if rule.Partly && rule.Growth == 0 || rule.State == "invalid" {
			continue
		}
		common := 0
		for _, m := range b.sample {
			if f := b.host(m).Firewall; f != nil {
				for _, other := range f.Drops {
					if other.Chain == rule.Chain && other.Table == rule.Table && other.Proto == rule.Proto && other.PortLow == rule.PortLow && other.State == rule.State && other.Dst == rule.Dst {
						common++
						break
					}
				}
			}
		}
		if 2*common <= len(b.sample) || len(b.sample) == 0 {
			list = append(list, rule)
		}
	}
	return list
}

// echoIgnored looks for the setting that makes a kernel ignore pings; where it is off, a filter remains.
func (b *bench) echoIgnored() bool {
	for _, n := range b.suspects() {
		s := b.host(n)
		if s == nil {
			continue
		}
		name := "net.ipv4.icmp_echo_ignore_all"
		if b.p.family == mesh.IPv6 {
			name = "net.ipv6.icmp.echo_ignore_all"
		}
		switch v, ok := s.Sysctl(name); {
		case ok && v == 1:
			return b.settle(ProtocolBlocked, ICMPEchoIgnored, n, b.fact(n, name, "1", "0"))
		case ok && b.fresh(n):
			b.remain(ProtocolBlocked, ICMPFiltered, b.fact(n, name, "0", "0"))
		}
	}
	return false
}

// filterRule names the rule that drops, where an agent may read the rules; it settles no cause
// that the pattern has not, but shows it.
func (b *bench) filterRule() bool {
	for _, n := range b.suspects() {
		for _, rule := range b.drops(b.host(n)) {
			b.d.facts = append(b.d.facts, b.fact(n, "firewall", rule.String(), "no such rule"))
			if len(b.d.facts) >= 4 {
				break
			}
		}
		if here, there := b.rates(n, vanished); here >= 1 && here >= 4*there && b.d.shape != shapePodOut {
			b.d.facts = append(b.d.facts, b.fact(n, "packets that came in and were delivered to nobody", perSecond(here), "at most "+perSecond(there)))
		}
		if len(b.d.facts) > 0 && b.d.eliminated {
			b.d.eliminated = false
		}
	}
	return false
}

// rejecting tells a firewall that rejects from one that drops by what the suspect sends out.
func (b *bench) rejecting() bool {
	n := b.d.node
	if b.d.kind != PortBlocked || b.d.cause != HostFirewallDrop || !b.stands(n, 1, growth(probe.ICMPOutDestUnreachs)) {
		return false
	}
	here, there := b.rates(n, growth(probe.ICMPOutDestUnreachs))
	return b.settle(PortBlocked, HostFirewallReject, n, b.fact(n, probe.ICMPOutDestUnreachs.String(), perSecond(here), "at most "+perSecond(there)))
}
