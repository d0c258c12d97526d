package gossip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sys/unix"
)

func testSocket(t *testing.T, bind string) *socket {
	t.Helper()
	s, err := listen(netip.MustParseAddrPort(bind), &counters{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.advertise = netip.AddrPortFrom(netip.MustParseAddrPort(bind).Addr(), s.port())
	t.Cleanup(func() { s.Shutdown() })
	return s
}

func sockopt(t *testing.T, c any, level, name int) int {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) })
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSegmentsAndPacketsStaySmall(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			ip := netip.MustParseAddr(addr)
			s := testSocket(t, netip.AddrPortFrom(ip, 0).String())
			if got := sockopt(t, s.tcp, unix.IPPROTO_TCP, unix.TCP_MAXSEG); got != maxSegment {
				t.Errorf("listener: TCP_MAXSEG %d, want %d", got, maxSegment)
			}
			dialled, err := s.DialTimeout(netip.AddrPortFrom(ip, s.port()).String(), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer dialled.Close()
			accepted := <-s.StreamCh()
			defer accepted.Close()
			for end, conn := range map[string]net.Conn{"dialled": dialled, "accepted": accepted} {
				got := sockopt(t, conn.(*stream).Conn, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
				if got > maxSegment || got < maxSegment-40 {
					t.Errorf("%s: segments of %d bytes, want %d less options", end, got, maxSegment)
				}
			}
			if ip.Is4() {
				if got := sockopt(t, s.out, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); got != unix.IP_PMTUDISC_DONT {
					t.Errorf("IP_MTU_DISCOVER %d, want %d", got, unix.IP_PMTUDISC_DONT)
				}
			}
		})
	}
}

func TestEveryAddressOfBothFamilies(t *testing.T) {
	s := testSocket(t, "0.0.0.0:0")
	for _, addr := range []string{"127.0.0.1", "::1"} {
		from := testSocket(t, netip.AddrPortFrom(netip.MustParseAddr(addr), 0).String())
		to := netip.AddrPortFrom(netip.MustParseAddr(addr), s.port()).String()
		if _, err := from.WriteTo([]byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		select {
		case p := <-s.PacketCh():
			got := p.From.(*net.UDPAddr).AddrPort()
			if string(p.Buf) != "hello" || got.Addr() != from.advertise.Addr() {
				t.Errorf("%q from %v, want hello from %v", p.Buf, got, from.advertise.Addr())
			}
			if got.Port() == from.port() {
				t.Errorf("sent from the port that receives, %v: masqueraded, it takes what is meant for the node", got)
			}
			if _, err := s.WriteTo([]byte("back"), from.advertise.String()); err != nil {
				t.Errorf("answering %v: %v", from.advertise, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("nothing came over %s", addr)
		}
	}
}

func TestShutdownEndsConnectionsInUse(t *testing.T) {
	s := testSocket(t, "127.0.0.1:0")
	conn, err := s.DialTimeout(s.advertise.String(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		done <- err
	}()
	s.Shutdown()
	select {
	case err := <-done:
		if err == nil {
			t.Error("read returned without an error")
		}
	case <-time.After(5 * time.Second):
		t.Error("read goes on after shutdown")
	}
	if _, err := s.DialTimeout(s.advertise.String(), time.Second); err == nil {
		t.Error("dialled after shutdown")
	}
	if _, err := s.track(conn); !errors.Is(err, net.ErrClosed) {
		t.Errorf("tracked after shutdown: %v", err)
	}
}

// observed is a transport that notes the largest packet.
type observed struct {
	*socket
	largest chan int // of length 1
}

func (o *observed) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	n := <-o.largest
	o.largest <- max(n, len(b))
	return o.socket.WriteToAddress(b, a)
}

func TestPacketsOfABusyMesh(t *testing.T) {
	path := t.TempDir() + "/keys"
	writeKeys(t, path, keyOf('k', 32))
	var members []*Gossip
	var seeds []string
	largest := make(chan int, 1)
	largest <- 0
	for i := range 30 {
		s := testSocket(t, "127.0.0.1:0")
		a := loopAgent(i)
		a.GossipPort = s.port()
		members = append(members, start(t, Config{Self: a, KeyFile: path, Seeds: seeds, Transport: &observed{s, largest}}))
		seeds = []string{seedOf(members[0].Self())}
	}
	within(t, 60*time.Second, "whole", func() bool { return whole(members, 30) })
	closeAll(members)
	n := <-largest
	t.Logf("largest packet: %d bytes, %d with headers of IPv6 and UDP", n, n+48)
	if n+48 > MaxPacket || n < 900 {
		t.Errorf("largest packet %d bytes + 48 of headers: want below %d and the room used", n, MaxPacket)
	}
}

func TestMeshOverIPv6(t *testing.T) {
	var members []*Gossip
	var seeds []string
	for i := range 4 {
		a := loopAgent(i)
		a.IPv4, a.IPv6 = netip.Addr{}, netip.IPv6Loopback()
		members = append(members, start(t, Config{Self: a, Bind: netip.MustParseAddrPort("[::1]:0"), Seeds: seeds}))
		seeds = []string{seedOf(members[0].Self())}
	}
	within(t, 30*time.Second, "whole", func() bool { return whole(members, 4) })
	if err := members[3].Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "left", func() bool { return life(members[0], testAgent(3)) == "agent-3 left" })
	if s := members[0].Stats(); s.PacketsReceived == 0 || s.PacketsSent == 0 || s.Streams == 0 || s.StreamBytesSent == 0 {
		t.Errorf("nothing counted: %+v", s)
	}
}
