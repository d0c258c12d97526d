package evidence

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"

	"netchecker/probe"
)

const (
	snmpText = `Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams
Ip: 1 64 1000 1 2 300
Tcp: RtoAlgorithm MaxConn RetransSegs
Tcp: 1 -1 7
`
	snmp6Text    = "Ip6InReceives                   \t518\nUdp6NoPorts   \t3\nIcmp6OutType133\t1\n"
	statText     = "entries  clashres found new invalid drop early_drop\n00000010  00000000 0000000a 00000000 00000001 00000011 00000001\n00000010  00000000 00000001 00000000 00000000 00000001 00000000\n"
	softnetText  = "0000000a 00000001 00000002 00000000\n00000005 00000001 00000000 00000000\n"
	udpText      = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n 1234: 00000000:2118 00000000:0000 07 00000000:00000100 00:00000000 00000000     0        0 1 2 0 12\n 1235: 030200C0:1F9F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n"
	tcp6Text     = "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000000000000000000000000000:1F9F 00000000000000000000000000000000:0000 0A 00000000:00000002 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0\n   1: 0000000000000000FFFF0000030200C0:1F9F 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0\n"
	wantedPort   = 0x1F9F
	overlayPort8 = 0x2118
)

func TestCountersAreFoundByTheirNames(t *testing.T) {
	var c counts
	parseTwoLines(snmpText, &c)
	parseOneLine(snmp6Text, &c)
	parseColumns(statText, "conntrack.", &c)
	parseSoftnet(softnetText, &c)
	for counter, want := range map[probe.Counter]uint64{
		probe.IPInReceives: 1000, probe.IPInAddrErrors: 2, probe.IPForwarded: 300, probe.TCPRetransSegs: 7, probe.IP6InReceives: 518,
		probe.UDP6NoPorts: 3, probe.ConntrackDrop: 18, probe.ConntrackFound: 11, probe.ConntrackEarlyDrop: 1,
		probe.SoftnetProcessed: 15, probe.SoftnetDropped: 2, probe.SoftnetSqueezed: 2,
	} {
		if got := c[counter]; got != (probe.Count{Total: want, Known: true}) {
			t.Errorf("%v = %+v, want %d", counter, got, want)
		}
	}
	if c[probe.IPOutNoRoutes].Known || c[probe.ConntrackInsertFailed].Known {
		t.Error("a counter that is not there is known")
	}
}

// This kernel has every counter that we know by name, but those of the first namespace and of
// modules that are not loaded.
func TestCounterNamesAreTheKernels(t *testing.T) {
	c, err := readCounters(soon())
	if err != nil {
		t.Fatal(err)
	}
	optional := map[string]string{"conntrack.found": "stat/nf_conntrack", "Ip6.InReceives": "snmp6", "arp_cache.table_fulls": "stat/arp_cache"}
	for name, file := range optional {
		if _, err := os.Stat(procNet + file); err == nil && !c[counterByName[name]].Known {
			t.Errorf("%s is not in %s", name, file)
		}
	}
	for i := range probe.Counter(probe.IP6InReceives) {
		if !c[i].Known {
			t.Errorf("%v was not found", i)
		}
	}
}

func TestListenersAreThoseOfWantedPorts(t *testing.T) {
	ports := map[uint16]bool{wantedPort: true, overlayPort8: true}
	got := appendListeners(nil, []byte(udpText), "udp", ports)
	got = appendListeners(got, []byte(tcp6Text), "tcp", ports)
	want := []probe.Listener{
		{Proto: "udp", Addr: netip.IPv4Unspecified(), Port: 8472, Queued: 256, Dropped: 12},
		{Proto: "udp", Addr: netip.MustParseAddr("192.0.2.3"), Port: 8095},
		{Proto: "tcp", Addr: netip.IPv6Unspecified(), Port: 8095, Queued: 2},
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the texts are those of a little-endian machine")
	}
	if len(got) != len(want) {
		t.Fatalf("listeners %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("listener %+v, want %+v", got[i], want[i])
		}
	}
}

func TestSysctlPathsKeepTheDotsOfLinks(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":                 "/proc/sys/net/ipv4/ip_forward",
		"net.ipv4.conf.flannel/1.rp_filter":   "/proc/sys/net/ipv4/conf/flannel.1/rp_filter",
		"net.ipv4.neigh.default.gc_thresh3":   "/proc/sys/net/ipv4/neigh/default/gc_thresh3",
		"net.bridge.bridge-nf-call-ip6tables": "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestInterestCoversPrefixesOfItsAddresses(t *testing.T) {
	w := want(Interest{
		Self:  []netip.Addr{netip.MustParseAddr("10.244.1.2"), netip.MustParseAddr("fd00::1")},
		Peers: []netip.Addr{netip.MustParseAddr("10.244.3.2"), netip.MustParseAddr("::ffff:192.0.2.3"), netip.MustParseAddr("fd00::3%eth0"), {}},
	})
	for text, want := range map[string][2]bool{
		"10.244.3.0/24": {true, true}, "10.244.1.0/24": {true, false}, "10.244.2.0/24": {false, false}, "192.0.2.3/32": {true, true},
		"192.0.2.128/25": {false, false}, "fd00::/64": {true, true}, "fd00::1/128": {true, false}, "0.0.0.0/0": {true, true}, "fe80::/64": {false, false},
		"10.244.3.2/25": {true, true},
	} {
		p := netip.MustParsePrefix(text)
		if got := [2]bool{w.covers(p), w.coversPeer(p)}; got != want {
			t.Errorf("%s covers one, a peer: %v, want %v", text, got, want)
		}
	}
}

func FuzzProcTexts(f *testing.F) {
	for _, text := range []string{snmpText, snmp6Text, statText, softnetText, udpText, tcp6Text, "", "\n", ":", "Ip:\nIp:"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c counts
		text := string(b)
		parseTwoLines(text, &c)
		parseOneLine(text, &c)
		parseColumns(text, "conntrack.", &c)
		parseSoftnet(text, &c)
		for _, proto := range []string{"udp", "tcp"} {
			if got := appendListeners(nil, b, proto, map[uint16]bool{8472: true, 8095: true}); len(got) > MaxListeners {
				t.Errorf("%d listeners", len(got))
			}
		}
	})
}

var expressionNames = map[string]bool{"meta": true, "ct": true, "payload": true, "bitwise": true, "cmp": true, "range": true, "immediate": true,
	"reject": true, "counter": true, "match": true, "target": true, "lookup": true}

func FuzzNetlinkMessages(f *testing.F) {
	links := map[int]*device{2: {Link: probe.Link{Name: "eth0", Index: 2}}}
	f.Add([]byte{2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 8, 0, 1, 0, 10, 244, 3, 0, 8, 0, 4, 0, 2, 0, 0, 0})
	f.Add([]byte{7, 0, 0, 0, 2, 0, 0, 0, 0x80, 0, 2, 0, 10, 0, 2, 0, 0xee, 0xee, 0, 0, 0, 3, 0, 0, 8, 0, 1, 0, 192, 0, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := want(Interest{Peers: []netip.Addr{netip.MustParseAddr("10.244.3.2")}})
		parseLink(b)
		parseAddr(b)
		parseNeighbor(b)
		if len(b) >= ruleHeadSize {
			parseRule(b)
		}
		if routeConcerns(b, w) {
			appendRoute(nil, b, links)
		}
		parseChain(append([]byte{2, 0, 0, 0}, b...))
		parseRuleMessage(append([]byte{2, 0, 0, 0}, b...), map[uint32]operand{})
		r := nftRule{family: 2, loaded: map[uint32]operand{}}
		for _, name := range []string{"tcp", "udp", "icmp", "conntrack", "state", "comment"} {
			r.match([]byte(name), uint32(len(b)%4), b)
		}
		for _, what := range []string{"network", "transport", "l4proto", "ctstate", "iif"} {
			for offset := range uint32(26) {
				r.compare(operand{what: what, offset: offset, size: uint32(len(b)), mask: b[:len(b)/2]}, uint32(offset%2), b)
				r.compare(operand{what: what, offset: offset, size: uint32(len(b))}, uint32(offset%2), b)
			}
		}
		for name := range expressionNames {
			r.expression([]byte(name), b)
		}
		interrupted := false
		c := &netlinkConn{seq: 1}
		c.answers(b, &interrupted, func(uint16, []byte) {})
	})
}
