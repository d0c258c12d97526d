package diagnose

import (
	"net/netip"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

func macOf(kind byte, n int) probe.MAC {
	return probe.MAC{kind, 0, 0, 0, byte((n + 1) >> 8), byte(n + 1)}
}

func vtepIP(n int) netip.Addr   { a := podAddr(n).As4(); a[3] = 0; return netip.AddrFrom4(a) }
func gateway(n int) netip.Addr  { a := podAddr(n).As4(); a[3] = 1; return netip.AddrFrom4(a) }
func podNet(n int) netip.Prefix { return netip.PrefixFrom(vtepIP(n), 24) }
func nodeNet() netip.Prefix     { return netip.MustParsePrefix("192.0.0.0/16") }

// snapshotOf is what an agent of a healthy flannel cluster reads.
func (w *world) snapshotOf(at place) *probe.Snapshot {
	s := &probe.Snapshot{At: w.now, Interval: 10 * time.Second, Sysctls: map[string]int64{
		"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.forwarding": 1, "net.ipv4.icmp_echo_ignore_all": 0,
		"net.netfilter.nf_conntrack_count": 500, "net.netfilter.nf_conntrack_max": 262144,
	}}
	for c := range s.Counters {
		s.Counters[c].Known = true
	}
	s.Counters[probe.IPInReceives].Growth, s.Counters[probe.IPInDelivers].Growth = 1000, 995
	s.Rules = []probe.Rule{{Priority: 0, Table: probe.LocalTable, Action: probe.RuleLookup}, {Priority: 32766, Table: probe.MainTable, Action: probe.RuleLookup}}
	if at.network == mesh.Pod {
		s.Links = []probe.Link{{Name: "eth0", Kind: "veth", Up: true, LowerUp: true, MTU: 1450, Addrs: []netip.Prefix{netip.PrefixFrom(podAddr(at.node), 24)}}}
		w.touch(at, s)
		return s
	}
	n := at.node
	s.Links = []probe.Link{
		{Name: "eth0", Up: true, LowerUp: true, MTU: 1500, MAC: macOf(2, n), Addrs: []netip.Prefix{netip.PrefixFrom(hostAddr(n), 16)}},
		{Name: "cni0", Kind: "bridge", Up: true, LowerUp: true, MTU: 1450, Addrs: []netip.Prefix{netip.PrefixFrom(gateway(n), 24)}},
		{Name: "flannel.1", Kind: "vxlan", Up: true, LowerUp: true, MTU: 1450, MAC: macOf(0xee, n), VXLAN: &probe.VXLAN{ID: 1, Port: 8472, Local: hostAddr(n)},
			Addrs: []netip.Prefix{netip.PrefixFrom(vtepIP(n), 32)}},
		{Name: "veth1", Kind: "veth", Master: "cni0", Up: true, LowerUp: true, MTU: 1450},
	}
	s.Routes = []probe.Route{{Dst: podNet(n), Dev: "cni0", Table: probe.MainTable, Type: probe.RouteUnicast},
		{Dst: nodeNet(), Dev: "eth0", Table: probe.MainTable, Type: probe.RouteUnicast},
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.254"), Dev: "eth0", Table: probe.MainTable, Type: probe.RouteUnicast}}
	if w.hostRoutes {
		s.Links[0].Kind = "bond"
		s.Links = slices.DeleteFunc(s.Links, func(l probe.Link) bool { return l.VXLAN != nil })
	}
	s.Listeners = []probe.Listener{{Proto: "udp", Port: 8472}, {Proto: "udp", Port: 8095}}
	for m := range w.n {
		if m == n || !w.looksAt(m) {
			continue
		}
		if w.hostRoutes {
			s.Routes = append(s.Routes, probe.Route{Dst: podNet(m), Via: hostAddr(m), Dev: "eth0", Table: probe.MainTable, Type: probe.RouteUnicast})
			s.Neighbors = append(s.Neighbors, probe.Neighbor{IP: hostAddr(m), MAC: macOf(2, m), Dev: "eth0", State: probe.NeighborReachable})
			continue
		}
		s.Routes = append(s.Routes, probe.Route{Dst: podNet(m), Via: vtepIP(m), Dev: "flannel.1", Table: probe.MainTable, Type: probe.RouteUnicast, Onlink: true})
		s.Neighbors = append(s.Neighbors, probe.Neighbor{IP: vtepIP(m), MAC: macOf(0xee, m), Dev: "flannel.1", State: probe.NeighborPermanent},
			probe.Neighbor{IP: hostAddr(m), MAC: macOf(2, m), Dev: "eth0", State: probe.NeighborReachable})
		s.FDB = append(s.FDB, probe.FDB{MAC: macOf(0xee, m), Dst: hostAddr(m), Dev: "flannel.1", Permanent: true})
	}
	w.touch(at, s)
	w.lookups(at, s)
	return s
}

// looksAt reports whether agents tell of their ways to a node: in a big mesh only of the first few, and
// of those that do not answer.
func (w *world) looksAt(m int) bool { return w.limit == 0 || m < w.limit || slices.Contains(w.hurt, m) }

// touch applies what the faults change in what an agent reads.
func (w *world) touch(at place, s *probe.Snapshot) {
	for _, f := range w.faults {
		if f.evidence != nil && w.now.Sub(w.since) >= detect {
			f.evidence(at, s)
		}
	}
}

// lookups answers as the kernel would from the routes.
func (w *world) lookups(at place, s *probe.Snapshot) {
	for m := range w.n {
		if !w.looksAt(m) {
			continue
		}
		for _, to := range []netip.Addr{podAddr(m), hostAddr(m)} {
			if m == at.node && to == hostAddr(m) {
				continue
			}
			l := probe.Lookup{Dst: to, Err: probe.CodeNetUnreachable}
			if r := s.RouteTo(to, probe.MainTable); r != nil {
				l = probe.Lookup{Dst: to, Via: r.Via, Dev: r.Dev, Table: r.Table, Type: r.Type}
				if r.Type == probe.RouteBlackhole {
					l.Err = probe.CodeInvalid
				}
			}
			s.Lookups = append(s.Lookups, l)
		}
	}
}

func dropRoutes(s *probe.Snapshot, is func(probe.Route) bool) {
	var kept []probe.Route
	for _, r := range s.Routes {
		if !is(r) {
			kept = append(kept, r)
		}
	}
	s.Routes = kept
}

func dropNeighbors(s *probe.Snapshot, is func(probe.Neighbor) bool) {
	var kept []probe.Neighbor
	for _, n := range s.Neighbors {
		if !is(n) {
			kept = append(kept, n)
		}
	}
	s.Neighbors = kept
}

func grow(s *probe.Snapshot, c probe.Counter, n uint64) { s.Counters[c].Growth += n }

// vanish makes packets come in and be delivered to nobody.
func vanish(s *probe.Snapshot, n uint64) { s.Counters[probe.IPInReceives].Growth += n }
