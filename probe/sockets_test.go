package probe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
)

// agentOn starts an echo and its HTTP server on the loopback addresses and returns its port.
func agentOn(t *testing.T, id uint64) uint16 {
	t.Helper()
	e, l := echoOn(t, id)
	server := &http.Server{Handler: e.Handler()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	wg.Go(func() { _ = e.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		server.Close()
		wg.Wait()
	})
	return e.Port()
}

// echoOn opens an echo on a port that is free for TCP as well: other packages' tests run beside
// this one and hold ports of their own.
func echoOn(t *testing.T, id uint64) (*echo.Echo, net.Listener) {
	t.Helper()
	var taken []*echo.Echo
	defer func() {
		for _, e := range taken {
			e.Close()
		}
	}()
	for {
		e, err := echo.New(echo.Config{Self: id, Boot: 1})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", e.Port()))
		if err == nil {
			return e, l
		}
		if taken = append(taken, e); len(taken) == 20 {
			t.Fatal(err)
		}
	}
}

// mute starts a program that accepts connections and does what it is told with them.
func mute(t *testing.T, treat func(net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			treat(c)
			open = append(open, c)
		}
		for _, c := range open {
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// TestSockets needs no privilege: everything is on the loopback interface.
func TestSockets(t *testing.T) {
	port := agentOn(t, 7)
	at := func(host string, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(host), port)
	}
	closed := mute(t, func(net.Conn) {}) // udp is closed there; tcp hangs
	resets := mute(t, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		b := make([]byte, 1)
		_, _ = c.Read(b)
		c.Close()
	})
	refused := failing(probe.CodeRefused)
	cases := []struct {
		to     netip.AddrPort
		id     uint64
		bytes  uint16
		expect [probe.Kinds]outcome // icmp is not looked at: it may not be permitted
	}{
		{at("127.0.0.1", port), 7, 1500, [4]outcome{fine, fine, fine}},
		{at("::1", port), 7, 9000, [4]outcome{fine, fine, fine}},
		{at("127.0.0.2", port), 8, 1500, [4]outcome{failing(probe.CodeWrongPeer), failing(probe.CodeWrongPeer), failing(probe.CodeWrongPeer)}},
		{at("127.0.0.3", 1), 9, 1500, [4]outcome{refused, refused, refused}},
		{at("127.0.0.1", closed), 10, 1500, [4]outcome{refused, refused, failing(probe.CodeHung)}},
		{at("127.0.0.1", resets), 11, 1500, [4]outcome{refused, refused, failing(probe.CodeReset)}},
	}
	var targets []probe.Target
	for _, c := range cases {
		targets = append(targets, probe.Target{ID: c.id, Addr: c.to, Bytes: c.bytes})
	}
	var mu sync.Mutex
	rtts := map[probe.Kind]time.Duration{}
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, OnRTT: func(k probe.Kind, _ uint64, rtt time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		rtts[k] = rtt
	}})
	if err != nil {
		t.Fatal(err)
	}
	e.SetTargets(targets)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var wrong strings.Builder
		for i, s := range e.Snapshot(nil) {
			for _, k := range []probe.Kind{probe.UDP, probe.MTU, probe.TCP} {
				if got := s.Probes[k]; !cases[i].expect[k].fits(got) {
					wrong.WriteString(fmt.Sprintf("\n%v: %v: %v %q", s.Target.Addr, k, got.State, got.Code))
				}
			}
		}
		if wrong.String() == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("after 20 seconds:%s\n%+v", wrong.String(), e.Stats())
			break
		}
	}
	if d := e.Doubt(); d&probe.DoubtLoopback != 0 {
		t.Errorf("doubt %q", d)
	}
	if periods := e.Periods(); periods[probe.UDP] != time.Second {
		t.Errorf("periods %v", periods)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, k := range []probe.Kind{probe.UDP, probe.MTU, probe.TCP} {
		if rtts[k] <= 0 {
			t.Errorf("%v: no round trip", k)
		}
	}
}

// crooked is a peer that takes the tcp probe and answers it over udp, under the right key. open counts
// its connections that the other end has not closed.
type crooked struct {
	udp         net.PacketConn
	mu          sync.Mutex
	from        net.Addr // of the last udp probe
	taken, open int
}

func (c *crooked) serveUDP() {
	b := make([]byte, 2048)
	for {
		_, from, err := c.udp.ReadFrom(b)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.from = from
		c.mu.Unlock()
	}
}

func (c *crooked) serveTCP(conn net.Conn) {
	c.mu.Lock()
	c.taken, c.open = c.taken+1, c.open+1
	to := c.from
	c.mu.Unlock()
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil && to != nil {
		b := make([]byte, probe.PacketSize)
		var p probe.Packet
		if _, err := io.ReadFull(r.Body, b); err == nil && p.Decode(b) == nil {
			p.Type = probe.TypeReply
			p.Encode(b)
			probe.NewKeys().Seal(b)
			_, _ = c.udp.WriteTo(b, to)
		}
	}
	_, _ = io.Copy(io.Discard, conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
}

// A peer must not be able to use up our descriptors.
func TestSockets_a_tcp_probe_is_not_answered_over_udp(t *testing.T) {
	e7, l := echoOn(t, 7)
	e7.Close() // the port is free for both
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e7.Port())
	c := &crooked{}
	var err error
	if c.udp, err = net.ListenPacket("udp4", at.String()); err != nil {
		t.Fatal(err)
	}
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, IPv4: true})
	if err != nil {
		t.Fatal(err)
	}
	e.SetTargets([]probe.Target{{ID: 7, Addr: at}})
	var wg sync.WaitGroup
	wg.Go(c.serveUDP)
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serveTCP(conn) })
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() { _ = e.Run(ctx) })
	defer func() {
		cancel()
		l.Close()
		c.udp.Close()
		wg.Wait()
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c.mu.Lock()
		taken, open := c.taken, c.open
		c.mu.Unlock()
		if taken >= 8 && open <= 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connections are left open", open, taken)
		}
	}
	if s := e.Snapshot(nil)[0].Probes[probe.TCP]; s.State == probe.OK {
		t.Errorf("a peer that answers no connection: %+v", s)
	}
}

func TestSockets_NewEngine_says_what_is_wrong(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  probe.Config
		want string
	}{
		{"a negative rate", probe.Config{Rate: -1}, "probe engine: rate -1: want 1 or more probes per second"},
		{"an address that is not ours", probe.Config{IPv4: true, Local4: netip.MustParseAddr("192.0.2.1")},
			`probe engine: bind IPv4 udp socket to "192.0.2.1": cannot assign requested address`},
	} {
		if _, err := probe.NewEngine(tt.cfg); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// A port that is replaced while answers are on their way still receives them.
func TestSockets_replaced_ports_lose_nothing(t *testing.T) {
	port := agentOn(t, 7)
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, IPv4: true, Local4: netip.MustParseAddr("127.0.0.1"),
		Off: [probe.Kinds]bool{probe.MTU: true, probe.TCP: true, probe.ICMP: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.SetTargets([]probe.Target{{ID: 7, Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}})
	for range 30 {
		time.Sleep(probe.Tick)
		e.Step()
		e.RotateAll()
	}
	time.Sleep(4 * probe.Tick)
	e.Step()
	if s := e.Stats(); s.Received[probe.UDP] == 0 || s.Lost[probe.UDP] != 0 || s.Sent[probe.UDP]-s.Received[probe.UDP] > 1 {
		t.Errorf("%+v", s)
	}
}
