package evidence

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

func soon() time.Time { return time.Now().Add(10 * time.Second) }

// crowd makes a namespace of a busy node: routes to 5,000 pod networks, of which the first are
// those of peers, and neighbours beyond counting.
func crowd(t testing.TB, routes, neighbors int) Interest {
	t.Helper()
	own := link(t, "cni0", 1450, "10.0.0.1/8", "192.0.2.1/24") // the route of the second is the agent's own
	index := uint32(own.Attrs().Index)
	c, err := dialNetlink(unix.NETLINK_ROUTE, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	add := func(kind uint16, flags uint16, body []byte) {
		if err := c.ask(kind, flags|unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK, body, func(uint16, []byte) {}); err != nil {
			t.Fatalf("entry: %v", err)
		}
	}
	for i := range routes {
		body := []byte{unix.AF_INET, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0}
		body = attribute(body, unix.RTA_DST, []byte{11, byte(i >> 8), byte(i), 0})
		body = attribute(body, unix.RTA_GATEWAY, []byte{10, 1, byte(i >> 8), byte(i)})
		add(unix.RTM_NEWROUTE, 0, attribute(body, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, index)))
	}
	for i := range neighbors {
		body := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 0, 0, 0}, index)
		body = append(binary.NativeEndian.AppendUint16(body, unix.NUD_PERMANENT), 0, 1)
		body = attribute(body, unix.NDA_DST, []byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)})
		add(unix.RTM_NEWNEIGH, 0, attribute(body, unix.NDA_LLADDR, []byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	i := Interest{Self: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	for n := range 100 {
		i.Peers = append(i.Peers, netip.AddrFrom4([4]byte{11, 0, byte(n), 2}))
	}
	return i
}

func TestReadingACrowdedNodeIsBounded(t *testing.T) {
	ownNamespace(t)
	const routes, neighbors = 5000, 50000
	i := crowd(t, routes, neighbors)
	s, err := Read(t.Context(), i)
	if err != nil || len(s.Missing) > 0 {
		t.Fatalf("%v, missing %v", err, s.Missing)
	}
	if len(s.Routes) != 101 || len(s.Neighbors) != 100 || len(s.Lookups) != 101 {
		t.Errorf("kept %d routes, %d neighbours, %d lookups: want 101, 100, 101", len(s.Routes), len(s.Neighbors), len(s.Lookups))
	}
	if s.LeftOut.Routes < routes-100 || s.LeftOut.Neighbors != neighbors-100 {
		t.Errorf("left out %+v", s.LeftOut)
	}
	for _, peer := range i.Peers {
		r := s.RouteTo(peer, probe.MainTable)
		if r == nil || s.Neighbor(r.Via, "cni0") == nil {
			t.Fatalf("way to %v: %v", peer, r)
		}
	}
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(t.Context(), i); err != nil {
				b.Fatal(err)
			}
		}
	})
	t.Logf("%v and %d bytes allocated a reading, %d bytes on the wire", allocated.NsPerOp()/1000, allocated.AllocedBytesPerOp(), len(probe.AppendSnapshot(nil, s)))
	if got := allocated.AllocedBytesPerOp(); got > 4<<20 {
		t.Errorf("%d bytes allocated", got)
	}
}

func TestReadingThatRunsOutOfTimeSaysSo(t *testing.T) {
	ownNamespace(t)
	link(t, "cni0", 1450, "10.0.0.1/8")
	w := want(Interest{})
	if _, _, err := readLinks(time.Now()); err == nil {
		t.Error("links were read in no time")
	}
	if _, _, err := readRoutes(time.Now().Add(-time.Second), w, nil); err == nil {
		t.Error("routes were read in no time")
	}
	if _, err := readCounters(time.Now().Add(-time.Second)); err == nil {
		t.Error("counters were read in no time")
	}
	r := reading{stop: time.Now().Add(-time.Second), wanted: w}
	r.tables()
	r.files()
	if len(r.Missing) < 9 {
		t.Errorf("missing %v, want every part", r.Missing)
	}
}

func TestBlackholeAndUnreachableRoutesAreAnswers(t *testing.T) {
	ownNamespace(t)
	l := link(t, "lan0", 1500, "192.0.2.1/24", "2001:db8::1/64")
	c, err := dialNetlink(unix.NETLINK_ROUTE, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	_ = l
	i := Interest{Self: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	for n, kind := range []byte{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT} {
		dst := netip.AddrFrom4([4]byte{10, 0, byte(n), 0})
		body := []byte{unix.AF_INET, 24, 0, 0, 254, 4, 0, kind, 0, 0, 0, 0}
		body = attribute(body, unix.RTA_DST, dst.AsSlice())
		if err := c.ask(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_ACK, body, func(uint16, []byte) {}); err != nil {
			t.Fatal(err)
		}
		i.Peers = append(i.Peers, dst.Next())
	}
	i.Peers = append(i.Peers, netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8:1::9"))
	s, err := Read(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	want := []probe.Code{probe.CodeInvalid, probe.CodeHostUnreachable, probe.CodeNotPermitted, probe.CodeNetUnreachable, probe.CodeNone, probe.CodeNetUnreachable}
	for n, peer := range i.Peers {
		if got := s.Lookup(peer, netip.Addr{}); got == nil || got.Err != want[n] {
			t.Errorf("%v: %+v, want %v", peer, got, want[n])
		}
	}
	if r := s.RouteTo(i.Peers[0], probe.MainTable); r == nil || r.Type != probe.RouteBlackhole || r.String() != "blackhole 10.0.0.0/24" {
		t.Errorf("route %v", r)
	}
}

func TestRouteOverSeveralNextHopsIsOneEach(t *testing.T) {
	ownNamespace(t)
	link(t, "lan0", 1500, "192.0.2.1/24")
	var hops []byte
	for _, gw := range []byte{8, 9} {
		hop := attribute(make([]byte, nextHopLen), unix.RTA_GATEWAY, []byte{192, 0, 2, gw})
		binary.NativeEndian.PutUint16(hop, uint16(len(hop)))
		hops = append(hops, hop...)
	}
	body := attribute([]byte{unix.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0}, unix.RTA_MULTIPATH, hops)
	c, err := dialNetlink(unix.NETLINK_ROUTE, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.ask(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_ACK, body, func(uint16, []byte) {}); err != nil {
		t.Fatal(err)
	}
	s, err := Read(t.Context(), Interest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Routes) != 2 || s.Routes[0].String() != "default via 192.0.2.8 dev lan0" || s.Routes[1].Via != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("routes %v", s.Routes)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []struct{ routes, neighbors int }{{10, 10}, {5000, 50000}} {
		b.Run(fmt.Sprintf("%d routes, %d neighbours", size.routes, size.neighbors), func(b *testing.B) {
			ownNamespace(b)
			i := crowd(b, size.routes, size.neighbors)
			var s *probe.Snapshot
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if s, err = Read(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(probe.AppendSnapshot(nil, s))), "wire-B")
		})
	}
}
