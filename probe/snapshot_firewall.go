package probe

import (
	"fmt"
	"net/netip"
	"strings"
)

// Firewall is what a privileged agent read of the packet filter of its namespace: enough to say
// which rule drops what, not the rules themselves.
type Firewall struct {
	// Chains are the base chains (with a hook), and the chains of known programs (KUBE-…, FLANNEL-…,
	// CNI-…, cali-…, DOCKER…, CILIUM_…) with the number of their rules.
	Chains []Chain
	// Drops are the rules that drop or reject packets, in the order of their chains.
	Drops []DropRule
}

// Chain is a chain of the packet filter. Chains are comparable with ==.
type Chain struct {
	Family string // "ip", "ip6", "inet", "bridge", "arp"
	Table  string // "filter", "nat", …
	Name   string
	// Hook is where a base chain is called: "input", "forward", "output", "prerouting",
	// "postrouting", "ingress"; "" for a chain that others jump to.
	Hook     string
	Priority int32
	// Policy is what becomes of a packet at the end of a base chain: "accept" or "drop".
	Policy string
	Rules  int
	// Accepts, Jumps and NATs count the rules that accept, jump or translate addresses.
	Accepts, Jumps, NATs int
}

// DropRule is a rule that drops or rejects packets. A zero field is no condition. DropRules are
// comparable with ==.
type DropRule struct {
	Family, Table, Chain string
	Verdict              string       // "drop" or "reject"
	Proto                string       // "tcp", "udp", "icmp", "icmpv6", "sctp", or a number
	Src, Dst             netip.Prefix // the zero Prefix is no condition
	SrcNot, DstNot       bool         // all but Src, all but Dst
	PortLow, PortHigh    uint16       // destination ports; 0 and 0 for all
	ICMPType             int16        // -1 for all
	IIF, OIF             string       // "+" or "*" at the end stands for any rest
	// State are the states of connection tracking that it matches, as "new" or
	// "invalid,untracked"; "" for all.
	State string
	// SYN says that only packets that open a connection match.
	SYN bool
	// Packets counts what the rule has dropped, if it counts; Growth over Snapshot.Interval.
	Packets, Growth uint64
	// Partly says that the rule has conditions that are not shown here.
	Partly bool
}

// String returns the rule in the words of iptables.
func (r DropRule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s:", r.Family, r.Table, r.Chain)
	word := func(name, value string) {
		if value != "" {
			b.WriteString(" " + name + " " + value)
		}
	}
	prefix := func(name string, p netip.Prefix, not bool) {
		if p.IsValid() {
			if not {
				b.WriteString(" !")
			}
			word(name, p.String())
		}
	}
	word("-i", r.IIF)
	word("-o", r.OIF)
	prefix("-s", r.Src, r.SrcNot)
	prefix("-d", r.Dst, r.DstNot)
	word("-p", r.Proto)
	if r.PortHigh != 0 {
		if r.PortLow == r.PortHigh {
			word("--dport", fmt.Sprint(r.PortLow))
		} else {
			word("--dport", fmt.Sprintf("%d:%d", r.PortLow, r.PortHigh))
		}
	}
	if r.ICMPType >= 0 {
		word("--icmp-type", fmt.Sprint(r.ICMPType))
	}
	if r.SYN {
		b.WriteString(" --syn")
	}
	word("--ctstate", r.State)
	if r.Partly {
		b.WriteString(" …")
	}
	word("-j", r.Verdict)
	return b.String()
}

// Chain returns the chain of a family ("" for any), table and name, or nil.
func (f *Firewall) Chain(family, table, name string) *Chain {
	if f == nil {
		return nil
	}
	for i := range f.Chains {
		if c := &f.Chains[i]; (family == "" || c.Family == family) && c.Table == table && c.Name == name {
			return c
		}
	}
	return nil
}
