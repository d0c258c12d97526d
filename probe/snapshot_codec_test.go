package probe

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// meshSnapshot is what a node of a mesh of n nodes says: a flannel network, two agents a node.
func meshSnapshot(n int) *Snapshot {
	pod := func(i, host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, byte(i), byte(host)}) }
	node := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	s := &Snapshot{
		At: time.Unix(1_790_000_000, 12345).UTC(), Interval: 30 * time.Second, Took: 3 * time.Millisecond,
		Sysctls:       map[string]int64{"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 2},
		NeighborTable: NeighborTable{IPv4: n, IPv6: 3, Bad: 1},
		Rules:         []Rule{{Table: LocalTable, Action: RuleLookup}, {Priority: 30400, From: netip.PrefixFrom(node(1), 32), Table: 30400, Action: RuleLookup}},
		Listeners:     []Listener{{Proto: "udp", Addr: netip.IPv4Unspecified(), Port: 8472}, {Proto: "tcp", Addr: netip.IPv6Unspecified(), Port: 8095, Queued: 3}},
		Missing:       []Missing{{"routes", "out of time"}},
		LeftOut:       LeftOut{Routes: 3, FirewallRules: 1},
	}
	s.Links = []Link{
		{Name: "lo", Kind: "loopback", Index: 1, Up: true, LowerUp: true, MTU: 65536, Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		{Name: "eth0", Index: 2, Up: true, LowerUp: true, Oper: OperUp, MTU: 1500, MAC: MAC{2, 0, 0, 0, 0, 1}, Qdisc: "fq",
			Addrs: []netip.Prefix{netip.PrefixFrom(node(1), 24)}, Offload: OffloadKnown | OffloadTSO, RX: Traffic{1000, 1, 2}},
		{Name: "flannel.1", Kind: "vxlan", Index: 4, Lower: "eth0", Up: true, LowerUp: true, MTU: 1450,
			VXLAN: &VXLAN{ID: 1, Port: 8472, Local: node(1)}},
	}
	for i := range Counters {
		if i%7 != 3 {
			s.Counters[i] = Count{Total: rand.Uint64N(1 << 40), Growth: rand.Uint64N(1000), Known: true}
		}
	}
	for i := 2; i <= n; i++ {
		mac := MAC{0xee, 0xee, 0, 0, 0, byte(i)}
		s.Routes = append(s.Routes, Route{Dst: netip.PrefixFrom(pod(i, 0), 24), Via: pod(i, 0), Dev: "flannel.1", Table: MainTable, Type: RouteUnicast, Onlink: true})
		s.Lookups = append(s.Lookups, Lookup{Dst: node(i), Dev: "eth0", Table: MainTable, Type: RouteUnicast},
			Lookup{Dst: pod(i, 2), Via: pod(i, 0), Dev: "flannel.1", Table: MainTable, Type: RouteUnicast, Err: CodeNetUnreachable})
		s.Neighbors = append(s.Neighbors, Neighbor{pod(i, 0), mac, "flannel.1", NeighborPermanent}, Neighbor{node(i), MAC{2, 0, 0, 0, 0, byte(i)}, "eth0", NeighborReachable})
		s.FDB = append(s.FDB, FDB{MAC: mac, Dst: node(i), Dev: "flannel.1", Permanent: true})
	}
	return s
}

func withFirewall(s *Snapshot) *Snapshot {
	s.Firewall = &Firewall{
		Chains: []Chain{{Family: "ip", Table: "filter", Name: "FORWARD", Hook: "forward", Priority: -300, Policy: "drop", Rules: 4, Jumps: 4}},
		Drops: []DropRule{{Family: "ip", Table: "filter", Chain: "INPUT", Verdict: "drop", Proto: "udp", PortLow: 8472, PortHigh: 8472, ICMPType: -1,
			Src: netip.MustParsePrefix("10.0.0.0/8"), SrcNot: true, Packets: 12, Growth: 2, SYN: true, State: "new", Partly: true}},
	}
	return s
}

func TestSnapshotSurvivesTheWire(t *testing.T) {
	for name, s := range map[string]*Snapshot{
		"5 nodes":        meshSnapshot(5),
		"100 nodes":      meshSnapshot(100),
		"firewall":       withFirewall(meshSnapshot(2)),
		"empty firewall": {At: time.Unix(1, 0).UTC(), Firewall: &Firewall{}},
		"nothing":        {},
	} {
		t.Run(name, func(t *testing.T) {
			b := AppendSnapshot([]byte("before"), s)
			got, err := ParseSnapshot(b[len("before"):])
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, s) {
				t.Errorf("got  %+v\nwant %+v", got, s)
			}
			t.Logf("%d bytes", len(b))
		})
	}
}

func TestSnapshotIsShortenedToItsLimit(t *testing.T) {
	s := meshSnapshot(2)
	for i := range 5000 {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		s.Routes = append(s.Routes, Route{Dst: netip.PrefixFrom(a, 32), Table: uint32(i)})
		s.Neighbors = append(s.Neighbors, Neighbor{IP: a})
	}
	b := AppendSnapshot(nil, s)
	got, err := ParseSnapshot(b)
	if err != nil || len(b) > MaxSnapshotBytes {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if lost := len(s.Routes) - len(got.Routes); lost == 0 || lost != got.LeftOut.Routes-s.LeftOut.Routes {
		t.Errorf("%d routes lost, left out %d", lost, got.LeftOut.Routes)
	}
	if len(s.Routes) != 5001 || s.LeftOut.Routes != 3 || len(got.FDB) != 1 {
		t.Error("the snapshot itself was changed, or a short list was cut")
	}
}

func TestSnapshotFromElsewhereIsNotTrusted(t *testing.T) {
	good := AppendSnapshot(nil, withFirewall(meshSnapshot(3)))
	for i := range good {
		if _, err := ParseSnapshot(good[:i]); err != nil && !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%d bytes: error %v", i, err)
		}
	}
	long := append([]byte{snapshotVersion, 200, 0xff, 0xff, 0x07}, make([]byte, MaxSnapshotBytes)...)
	for name, b := range map[string][]byte{
		"empty": nil, "version": {9}, "too long": long, "length": {snapshotVersion, sectionHead, 0xff, 0xff},
		"order": {snapshotVersion, sectionRules, 1, 0, sectionRoutes, 1, 0}, "count": {snapshotVersion, sectionRoutes, 2, 0xff, 0x7f},
		"trailing": {snapshotVersion, sectionRoutes, 2, 0, 0}, "control character": {snapshotVersion, sectionStrings, 2, 1, 0x1b},
		"prefix of 99 bits": {snapshotVersion, sectionRoutes, 7, 1, 4, 10, 0, 0, 0, 99},
	} {
		if _, err := ParseSnapshot(b); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if s, err := ParseSnapshot([]byte{snapshotVersion, 200, 3, 1, 2, 3}); err != nil || s == nil {
		t.Errorf("a section of a newer version: %v", err)
	}
}

func TestTextThatCannotBePrintedIsReplaced(t *testing.T) {
	s := &Snapshot{Links: []Link{{Name: "bad\x1b[31m\xff", Kind: strings.Repeat("é", 300)}}}
	got, err := ParseSnapshot(AppendSnapshot(nil, s))
	if err != nil || got.Links[0].Name != "bad?[31m?" || len(got.Links[0].Kind) > maxWireString {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParseSnapshot(f *testing.F) {
	f.Add(AppendSnapshot(nil, withFirewall(meshSnapshot(3))))
	f.Add([]byte{snapshotVersion, 200, 3, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSnapshot(b)
		if err != nil {
			return
		}
		wire := AppendSnapshot(nil, s)
		again, err := ParseSnapshot(wire)
		if err != nil || len(wire) > MaxSnapshotBytes || !bytes.Equal(AppendSnapshot(nil, again), wire) {
			t.Errorf("%x became %x, %v", b, wire, err)
		}
	})
}

func BenchmarkSnapshotCodec(b *testing.B) {
	for _, n := range []int{5, 100} {
		s := meshSnapshot(n)
		wire := AppendSnapshot(nil, s)
		b.Run(fmt.Sprintf("append/%d nodes", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				wire = AppendSnapshot(wire[:0], s)
			}
			b.ReportMetric(float64(len(wire)), "wire-B")
		})
		b.Run(fmt.Sprintf("parse/%d nodes", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseSnapshot(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
