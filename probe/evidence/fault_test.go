package evidence

import (
	"net/netip"
	"strings"
	"testing"

	"netchecker/probe"
)

var (
	host3 = netip.MustParseAddr("192.0.2.3")
	host1 = netip.MustParseAddr("192.0.2.1")
	pod3  = netip.MustParseAddr("10.244.3.2")
	pod4  = netip.MustParseAddr("10.244.4.2")
	none  netip.Addr
)

// vtep is the MAC and 02:…:i the node's.
func vtep(i byte) probe.MAC { return probe.MAC{0xee, 0xee, 0, 0, 0, i} }

// hears says whether a snapshot holds the evidence of a fault.
type hears func(s *probe.Snapshot) bool

func down(link string) hears {
	return func(s *probe.Snapshot) bool { l := s.Link(link); return l != nil && !l.Up }
}

func gone(link string) hears { return func(s *probe.Snapshot) bool { return s.Link(link) == nil } }

func mtu(link string, want int) hears {
	return func(s *probe.Snapshot) bool { l := s.Link(link); return l != nil && l.MTU == want }
}

func grows(c probe.Counter) hears { return func(s *probe.Snapshot) bool { return s.Growth(c) > 0 } }

func sysctl(name string, want int64) hears {
	return func(s *probe.Snapshot) bool { v, ok := s.Sysctl(name); return ok && v == want }
}

func holds(link, prefix string) hears {
	return func(s *probe.Snapshot) bool {
		l := s.Holder(netip.MustParsePrefix(prefix).Addr())
		return l != nil && l.Name == link
	}
}

func goes(dst, src netip.Addr, dev string) hears {
	return func(s *probe.Snapshot) bool { l := s.Lookup(dst, src); return l != nil && l.Dev == dev }
}

func routed(dst netip.Addr, dev string) hears {
	return func(s *probe.Snapshot) bool { r := s.RouteTo(dst, probe.MainTable); return r != nil && r.Dev == dev }
}

func resolves(ip string, mac probe.MAC) hears {
	return func(s *probe.Snapshot) bool {
		n := s.Neighbor(netip.MustParseAddr(ip), "")
		return n != nil && n.MAC == mac
	}
}

func unresolved(ip string) hears {
	return func(s *probe.Snapshot) bool {
		n := s.Neighbor(netip.MustParseAddr(ip), "")
		return n != nil && !n.State.Good()
	}
}

func listens(port uint16) hears {
	return func(s *probe.Snapshot) bool { return s.Listens("udp", port) }
}

// vanish means more packets than what a healthy node loses on the way.
func vanish(s *probe.Snapshot) bool { return s.Vanished() > 5 }

func behind(mac probe.MAC, end string) hears {
	return func(s *probe.Snapshot) bool {
		for _, e := range s.Behind(mac, "flannel.1") {
			if e.Dst == netip.MustParseAddr(end) {
				return true
			}
		}
		return false
	}
}

func not(h hears) hears { return func(s *probe.Snapshot) bool { return !h(s) } }

// faultEvidence says what must be read where. At the spared places none of it may be read.

var faultEvidence = []struct {
	fault  string
	args   []int
	at     string // places that must show it
	spared string // places that must not
	says   map[string]hears
}{
	{"dup-podcidr", []int{3, 4}, "node4", "node1", map[string]hears{"cni0 has node3's address": holds("cni0", "10.244.3.1/24")}},
	{"dup-podcidr", []int{3, 4}, "node1", "node3", map[string]hears{"node3's overlay address is node4's MAC": resolves("10.244.3.0", vtep(4))}},
	{"dup-podcidr-sameip", []int{3, 4}, "pod3 pod4", "pod1", map[string]hears{"the same pod address": holds("eth0", "10.244.3.2/24")}},
	{"podcidr-overlaps-lan", []int{3}, "node1 node4", "node3", map[string]hears{"route": routed(pod3, "eth0"), "way": goes(pod3, none, "eth0")}},
	{"docker0-overlaps-nodenet", []int{3}, "node3", "node1", map[string]hears{"way": goes(host1, none, "docker0"), "neighbour": unresolved("192.0.2.1")}},
	{"firewalld", []int{3}, "node3", "node1", map[string]hears{"vanished": vanish, "errors sent": grows(probe.ICMPOutDestUnreachs)}},
	{"nm-cni0-down", []int{3}, "node3", "node1", map[string]hears{"link": down("cni0")}},
	{"nm-flannel-down", []int{3}, "node3", "node1", map[string]hears{"link": down("flannel.1"), "listener": not(listens(8472)),
		"no ports": grows(probe.UDPNoPorts), "route": not(routed(pod4, "flannel.1"))}},
	{"nm-flannel-down", []int{3}, "node1 node4", "", map[string]hears{"errors received": grows(probe.ICMPInDestUnreachs)}},
	{"nm-flannel-bounced", []int{3}, "node3", "node1", map[string]hears{"route": not(routed(pod4, "flannel.1")), "neighbour": not(resolves("10.244.4.0", vtep(4)))}},
	{"nm-flannel-bounced", []int{3}, "node3", "", map[string]hears{"link is up": not(down("flannel.1")), "listener": listens(8472),
		"entry survives": behind(vtep(4), "192.0.2.4")}},
	{"nm-cni0-noaddr", []int{3}, "node3", "node1", map[string]hears{"filter": grows(probe.IPReversePathFilter),
		"address": func(s *probe.Snapshot) bool {
			l := s.Link("cni0")
			return l != nil && l.Up && !strings.Contains(netipJoin(l.Addrs), "10.244.")
		}}},
	{"nm-cloud-setup", []int{3}, "node3", "node1", map[string]hears{"way from the node's address": goes(pod3, host3, "eth0"),
		"rule": func(s *probe.Snapshot) bool {
			for _, r := range s.Rules {
				if r.Priority == 30400 && r.From == netip.PrefixFrom(host3, 32) && r.Table == 30400 && !r.Usual() {
					return s.RouteTo(pod3, 30400) != nil
				}
			}
			return false
		}}},
	{"mtu-flannel-low", []int{3}, "node3", "node1", map[string]hears{"mtu": mtu("flannel.1", 1400), "too big": grows(probe.IPFragFails)}},
	{"mtu-eth0-low", []int{3}, "node3", "node1", map[string]hears{"mtu": mtu("eth0", 1400)}},
	{"mtu-pmtud-blackhole", []int{3}, "node3", "node1", map[string]hears{"mtu": mtu("flannel.1", 1400), "too big": grows(probe.IPFragFails),
		"errors dropped": grows(probe.IPOutDiscards), "errors made": grows(probe.ICMPOutDestUnreachs)}},
	{"mtu-pods-1500", nil, "node3 node1", "", map[string]hears{"bridge": mtu("cni0", 1500), "overlay": mtu("flannel.1", 1450)}},
	{"ip-forward-0", []int{3}, "node3", "node1", map[string]hears{"setting": sysctl("net.ipv4.ip_forward", 0), "dropped": grows(probe.IPInAddrErrors)}},
	{"rp-filter-strict", []int{3}, "node3", "node1", map[string]hears{"setting": sysctl("net.ipv4.conf.flannel/1.rp_filter", 1)}},
	{"rp-filter-strict", []int{3}, "node3", "", map[string]hears{"does no harm": not(grows(probe.IPReversePathFilter))}},
	{"rp-filter-asym", []int{3, 4}, "node3", "node1", map[string]hears{"filter": grows(probe.IPReversePathFilter), "route": routed(pod4, "eth0")}},
	{"conntrack-full", []int{3}, "node3", "node1", map[string]hears{"dropped": grows(probe.ConntrackDrop),
		"level": func(s *probe.Snapshot) bool {
			level, limit := s.Sysctls["net.netfilter.nf_conntrack_count"], s.Sysctls["net.netfilter.nf_conntrack_max"]
			return limit > 0 && level >= limit*95/100
		}}},
	{"fdb-missing", []int{3, 4}, "node3", "node1", map[string]hears{"entry": not(behind(vtep(4), "192.0.2.4")),
		"dropped": func(s *probe.Snapshot) bool { return s.Link("flannel.1").TX.Dropped > 5 }}},
	{"route-missing", []int{3, 4}, "node3", "node1", map[string]hears{"way": goes(pod4, none, "eth0"), "route": routed(pod4, "eth0")}},
	{"vtep-wrong-ip", []int{3}, "node1 node4", "node3", map[string]hears{"entry": behind(vtep(3), "192.0.2.200"), "end": unresolved("192.0.2.200")}},
	{"vxlan-port-mismatch", []int{3}, "node3", "node1", map[string]hears{"listener": listens(4789),
		"port": func(s *probe.Snapshot) bool { l := s.Link("flannel.1"); return l.VXLAN != nil && l.VXLAN.Port == 4789 }}},
	{"vxlan-port-mismatch", []int{3}, "node1 node3 node4", "", map[string]hears{"no ports": grows(probe.UDPNoPorts)}},
	{"vxlan-gone", []int{3}, "node3", "node1", map[string]hears{"link": gone("flannel.1"), "listener": not(listens(8472)), "route": not(routed(pod4, "flannel.1"))}},
	{"fw-8472-in", []int{3}, "node3", "node1 node4", map[string]hears{"vanished": vanish}},
	{"fw-agent-port", []int{3, echoPort}, "node3", "node1 node4", map[string]hears{"vanished": vanish}},
	{"tcp-syn-drop", []int{3}, "node3", "node1 node4", map[string]hears{"vanished": vanish}},
	{"nic-down", []int{3}, "node3", "node1", map[string]hears{"link": down("eth0"), "no way": func(s *probe.Snapshot) bool {
		l := s.Lookup(host1, none)
		return l != nil && l.Err == probe.CodeNetUnreachable
	}}},
	{"dup-ip", []int{3}, "node1", "", map[string]hears{"a stranger's MAC": func(s *probe.Snapshot) bool {
		n := s.Neighbor(host3, "eth0")
		return n != nil && n.MAC[0] == 0x36
	}}},
	{"server-isolated", nil, "node1", "node3", map[string]hears{"cable": func(s *probe.Snapshot) bool {
		for _, l := range s.Links {
			if l.Kind == "veth" && l.Master == "cni0" && !(l.Up && l.LowerUp) {
				return true
			}
		}
		return false
	}}},
}

func netipJoin(prefixes []netip.Prefix) string {
	var b strings.Builder
	for _, p := range prefixes {
		b.WriteString(p.String() + " ")
	}
	return b.String()
}

// The readers run as user 65534 without any capability.
func TestFaultsAreReadableWithoutPrivileges(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	healthy := r.read(t, false, "node1", "node3", "node4", "pod1", "pod3")
	for name, s := range healthy {
		if len(s.Missing) > 0 || len(s.Links) == 0 || s.Interval < readAfter {
			t.Errorf("%s is healthy, but: %s", name, summary(s))
		}
		if s.Vanished() > 5 {
			t.Errorf("%s loses packets although healthy: %s", name, summary(s))
		}
		t.Logf("%s: %v, %d bytes", name, s.Took, len(probe.AppendSnapshot(nil, s)))
	}
	for i := 0; i < len(faultEvidence); i++ {
		first := i // the cases of one fault share its injection
		for i+1 < len(faultEvidence) && faultEvidence[i+1].fault == faultEvidence[first].fault {
			i++
		}
		t.Run(faultEvidence[first].fault, func(t *testing.T) {
			heal, err := r.Inject(t.Context(), faultEvidence[first].fault, faultEvidence[first].args...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := heal(); err != nil {
					t.Error(err)
				}
			}()
			got := r.read(t, false, "node1", "node3", "node4", "pod1", "pod3", "pod4")
			for _, c := range faultEvidence[first : i+1] {
				for what, says := range c.says {
					for place := range strings.FieldsSeq(c.at) {
						if !says(got[place]) {
							t.Errorf("%s does not show %q: %s", place, what, summary(got[place]))
						}
					}
					for place := range strings.FieldsSeq(c.spared) {
						if says(got[place]) {
							t.Errorf("%s shows %q, which is the other's: %s", place, what, summary(got[place]))
						}
					}
				}
			}
		})
	}
}
