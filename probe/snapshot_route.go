package probe

import (
	"fmt"
	"net/netip"
	"strings"
)

// Route is one way to a destination; a route over several next hops is one Route each. Routes are
// comparable with ==. Kept are those that cover a peer or the agent itself, all default routes,
// and in the local table those that make a peer's address local.
type Route struct {
	Dst    netip.Prefix // 0.0.0.0/0 or ::/0 for a default route
	Via    netip.Addr   // next hop; the zero Addr when the destination is on the link
	Src    netip.Addr   // preferred source, mostly absent
	Dev    string       // "" for a blackhole and the like
	Table  uint32       // 254 main, 255 local
	Metric uint32
	MTU    uint32 // bytes; 0: the link's
	Type   RouteType
	Scope  uint8 // 0 universe, 253 link, 254 host
	Proto  uint8 // who wrote it: 2 kernel, 3 boot, 4 static, 16 dhcp, 186 bgp (bird 12)
	Onlink bool
	Dead   bool // its link is down or has no carrier
}

// MainTable and LocalTable are the route tables that every namespace has.
const (
	MainTable  = 254
	LocalTable = 255
)

// RouteType says what a route does with a packet, numbered as by the kernel.
type RouteType uint8

// The types of routes.
const (
	RouteUnicast     RouteType = 1
	RouteLocal       RouteType = 2 // the destination is this namespace itself
	RouteBroadcast   RouteType = 3
	RouteMulticast   RouteType = 5
	RouteBlackhole   RouteType = 6 // dropped in silence; local senders get EINVAL
	RouteUnreachable RouteType = 7 // EHOSTUNREACH
	RouteProhibit    RouteType = 8 // EACCES
	RouteThrow       RouteType = 9 // on to the next rule
)

var routeTypes = map[RouteType]string{
	RouteUnicast: "unicast", RouteLocal: "local", RouteBroadcast: "broadcast", RouteMulticast: "multicast",
	RouteBlackhole: "blackhole", RouteUnreachable: "unreachable", RouteProhibit: "prohibit", RouteThrow: "throw",
}

// String returns the type as ip(8) writes it.
func (t RouteType) String() string {
	if name, ok := routeTypes[t]; ok {
		return name
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// String returns the route as ip(8) would write it, such as
// "10.244.3.0/24 via 10.244.3.0 dev flannel.1".
func (r Route) String() string {
	var b strings.Builder
	if r.Type != RouteUnicast {
		b.WriteString(r.Type.String() + " ")
	}
	if r.Dst.Bits() == 0 {
		b.WriteString("default")
	} else {
		b.WriteString(r.Dst.String())
	}
	writeWay(&b, r.Via, r.Dev, r.Table)
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.Dead {
		b.WriteString(" dead")
	}
	return b.String()
}

func writeWay(b *strings.Builder, via netip.Addr, dev string, table uint32) {
	if via.IsValid() {
		fmt.Fprintf(b, " via %v", via)
	}
	if dev != "" {
		b.WriteString(" dev " + dev)
	}
	if table != MainTable && table != 0 {
		fmt.Fprintf(b, " table %d", table)
	}
}

// Rule is a policy rule: which table is asked for which packets. Rules are comparable with ==.
type Rule struct {
	Priority   uint32
	IPv6       bool
	From, To   netip.Prefix // the zero Prefix means all
	IIF, OIF   string
	Mark, Mask uint32
	Table      uint32
	Action     RuleAction
	Not        bool // the selector is inverted
}

// RuleAction is what a rule does, numbered as by the kernel.
type RuleAction uint8

// The actions of rules.
const (
	RuleLookup      RuleAction = 1
	RuleGoto        RuleAction = 2
	RuleNop         RuleAction = 3
	RuleBlackhole   RuleAction = 6
	RuleUnreachable RuleAction = 7
	RuleProhibit    RuleAction = 8
)

var ruleActions = map[RuleAction]string{
	RuleLookup: "lookup", RuleGoto: "goto", RuleNop: "nop", RuleBlackhole: "blackhole", RuleUnreachable: "unreachable", RuleProhibit: "prohibit",
}

// String returns the action as ip(8) writes it.
func (a RuleAction) String() string {
	if name, ok := ruleActions[a]; ok {
		return name
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Usual reports whether the rule is one of those that every namespace has: local, main, default.
func (r Rule) Usual() bool {
	plain := Rule{Priority: r.Priority, IPv6: r.IPv6, Table: r.Table, Action: RuleLookup}
	switch r.Priority {
	case 0:
		return r == plain && r.Table == LocalTable
	case 32766:
		return r == plain && r.Table == MainTable
	case 32767:
		return r == plain && r.Table == 253
	}
	return false
}

// String returns the rule as ip(8) would write it, such as
// "30400: from 192.0.2.3/32 lookup 30400".
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", r.Priority)
	if r.Not {
		b.WriteString(" not")
	}
	if r.From.IsValid() {
		fmt.Fprintf(&b, " from %v", r.From)
	} else {
		b.WriteString(" from all")
	}
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %v", r.To)
	}
	if r.Mark != 0 || r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.IIF != "" {
		b.WriteString(" iif " + r.IIF)
	}
	if r.OIF != "" {
		b.WriteString(" oif " + r.OIF)
	}
	b.WriteString(" " + r.Action.String())
	if r.Action == RuleLookup {
		fmt.Fprintf(&b, " %d", r.Table)
	}
	return b.String()
}

// Lookup is the kernel's own answer to "which way would you send to Dst?", policy rules and all
// tables considered. Lookups are comparable with ==.
type Lookup struct {
	Dst netip.Addr
	// Src is the source address of the question; the zero Addr when it was left to the kernel.
	// Lookups with a source are there when policy rules exist that could tell the difference.
	Src   netip.Addr
	Via   netip.Addr // next hop; the zero Addr when Dst is on the link
	Dev   string
	Table uint32
	Type  RouteType
	MTU   uint32 // bytes, as cached from path MTU discovery or set on the route; 0: the link's
	// Err is why there is no way; CodeNone when there is one.
	Err Code
}

// String returns the answer as "10.244.3.2 via 10.244.3.0 dev flannel.1".
func (l Lookup) String() string {
	var b strings.Builder
	b.WriteString(l.Dst.String())
	if l.Src.IsValid() {
		fmt.Fprintf(&b, " from %v", l.Src)
	}
	if l.Err != CodeNone {
		b.WriteString(": " + l.Err.String())
		return b.String()
	}
	writeWay(&b, l.Via, l.Dev, l.Table)
	return b.String()
}

// Lookup returns the kernel's answer for a destination and a source (the zero Addr: the kernel's
// choice), or nil when it was not asked.
func (s *Snapshot) Lookup(dst, src netip.Addr) *Lookup {
	for i := range s.Lookups {
		if s.Lookups[i].Dst == dst && s.Lookups[i].Src == src {
			return &s.Lookups[i]
		}
	}
	return nil
}

// RouteTo returns the most specific kept route of a table that covers an address, the one with the
// lowest metric among equals; nil for none. It knows nothing of policy rules: see Lookup for what
// the kernel makes of all of them.
func (s *Snapshot) RouteTo(addr netip.Addr, table uint32) *Route {
	var best *Route
	for i := range s.Routes {
		r := &s.Routes[i]
		if r.Table != table || !r.Dst.Contains(addr) {
			continue
		}
		if best == nil || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best = r
		}
	}
	return best
}
