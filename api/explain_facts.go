package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netchecker/probe"
)

// factsOf puts what was read of a node into words that can be compared with those of another node.
// What differs from node to node anyway, such as addresses, stands in none of them.
func factsOf(s *probe.Snapshot) map[fact]string {
	out := map[fact]string{}
	for name, value := range s.Sysctls {
		if !level(name) {
			out[fact{"sysctls", name}] = strconv.FormatInt(value, 10)
		}
	}
	for i := range s.Links {
		linkFacts(&s.Links[i], out)
	}
	routeFacts(s, out)
	listeners := map[string]bool{}
	for _, l := range s.Listeners {
		listeners[fmt.Sprintf("%s/%d", l.Proto, l.Port)] = true
	}
	for name := range listeners {
		out[fact{"ports", name}] = "open"
	}
	bad := 0
	for _, n := range s.Neighbors {
		if !n.State.Good() {
			bad++
		}
	}
	out[fact{"neighbours", "of peers that do not answer"}] = strconv.Itoa(bad)
	if s.Firewall != nil {
		for _, c := range s.Firewall.Chains {
			if c.Hook != "" {
				out[fact{"firewall", strings.Join([]string{"policy of", c.Family, c.Table, c.Name}, " ")}] = c.Policy
			}
		}
		for _, d := range s.Firewall.Drops {
			out[fact{"firewall", d.String()}] = "there"
		}
	}
	return out
}

// level reports whether a name among the sysctls is of what is there now and not of a setting.
func level(name string) bool {
	return strings.HasSuffix(name, "_count") || strings.HasSuffix(name, ".entries")
}

func linkFacts(l *probe.Link, out map[fact]string) {
	words := []string{"down"}
	if l.Up {
		words[0] = "up"
	}
	if l.Up && !l.LowerUp {
		words = append(words, "no carrier")
	}
	if l.Master != "" {
		words = append(words, "port of "+l.Master)
	}
	words = append(words, "mtu "+strconv.Itoa(l.MTU))
	if len(l.Addrs) == 0 {
		words = append(words, "no address")
	}
	out[fact{"links", "link " + l.Name}] = strings.Join(words, ", ")
	if l.Qdisc != "" {
		out[fact{"links", "qdisc of " + l.Name}] = l.Qdisc
	}
	if v := l.VXLAN; v != nil {
		out[fact{"tunnels", "vxlan " + l.Name}] = fmt.Sprintf("vni %d, port %d", v.ID, v.Port)
		local := "an address of this node"
		if !v.Local.IsValid() {
			local = "none"
		}
		out[fact{"tunnels", "local end of " + l.Name}] = local
	}
}

// routeFacts counts routes and tunnel entries by link: every node has one for each other node.
func routeFacts(s *probe.Snapshot, out map[fact]string) {
	routes, tunnels, named := map[string]int{}, map[string]int{}, map[string]int{}
	for _, r := range s.Routes {
		if r.Table == probe.LocalTable {
			continue
		}
		switch {
		case r.Type != probe.RouteUnicast:
			out[fact{"routes", r.Type.String() + " routes"}] = "there"
		case r.Dst.Bits() == 0:
			out[fact{"routes", fmt.Sprintf("default route of table %d", r.Table)}] = "dev " + r.Dev
		default:
			routes[r.Dev]++
		}
	}
	for dev, n := range routes {
		out[fact{"routes", "number of routes dev " + dev}] = strconv.Itoa(n)
	}
	for _, e := range s.FDB {
		if e.Dst.IsValid() {
			tunnels[e.Dev]++
		}
	}
	for dev, n := range tunnels {
		out[fact{"tunnels", "number of far ends known to " + dev}] = strconv.Itoa(n)
	}
	for _, n := range s.Neighbors {
		if n.State == probe.NeighborPermanent {
			named[n.Dev]++
		}
	}
	for dev, n := range named {
		out[fact{"neighbours", "number of permanent ones dev " + dev}] = strconv.Itoa(n)
	}
	var rules []string
	for _, r := range s.Rules {
		text := fmt.Sprintf("%d: to table %d", r.Priority, r.Table)
		if r.IPv6 {
			text = "v6 " + text
		}
		rules = append(rules, text)
	}
	slices.Sort(rules)
	out[fact{"rules", "policy rules"}] = strings.Join(rules, "; ")
	unreachable := 0
	for _, l := range s.Lookups {
		if l.Err != probe.CodeNone || l.Type == probe.RouteBlackhole || l.Type == probe.RouteUnreachable || l.Type == probe.RouteProhibit {
			unreachable++
		}
	}
	out[fact{"routes", "number of peers without a way"}] = strconv.Itoa(unreachable)
}
