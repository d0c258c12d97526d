package service

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"netchecker/probe"
)

const goodQuery = "kubernetes.default.svc.example.org"

// dnsServer answers on 127.0.0.1 by UDP and TCP on one port. The answer function gets the query
// and returns the messages to send, none for silence.
type dnsServer struct {
	addr    netip.AddrPort
	answer  func(query []byte) [][]byte
	queries atomic.Int32
	ports   sync.Map // the clients' addresses
}

func startDNS(t *testing.T, answer func(query []byte) [][]byte) *dnsServer {
	t.Helper()
	s := &dnsServer{answer: answer}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	s.addr = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(s.addr))
	if err != nil {
		t.Skipf("no TCP port like the UDP one: %v", err)
	}
	var g sync.WaitGroup
	g.Go(func() { s.serveUDP(udp) })
	g.Go(func() { s.serveTCP(tcp) })
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		g.Wait()
	})
	return s
}

func (s *dnsServer) serveUDP(conn *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.queries.Add(1)
		s.ports.Store(from, true)
		for _, m := range s.answer(buf[:n]) {
			_, _ = conn.WriteToUDPAddrPort(m, from)
		}
	}
}

func (s *dnsServer) serveTCP(listener *net.TCPListener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err == nil {
			query := make([]byte, binary.BigEndian.Uint16(head[:]))
			_, _ = io.ReadFull(conn, query)
			s.queries.Add(1)
			for _, m := range s.answer(query) {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
			}
			if len(s.answer(query)) == 0 { // silence, until the client gives up
				_, _ = conn.Read(head[:])
			}
		}
		conn.Close()
	}
}

// reply answers a query with a code, changed by edit.
func reply(query []byte, rcode dnsmessage.RCode, edit func(m *dnsmessage.Message)) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil
	}
	m.Response, m.RCode = true, rcode
	if edit != nil {
		edit(&m)
	}
	b, _ := m.Pack()
	return b
}

// one makes an answer function of a code and an edit.
func one(rcode dnsmessage.RCode, edit func(m *dnsmessage.Message)) func([]byte) [][]byte {
	return func(q []byte) [][]byte { return [][]byte{reply(q, rcode, edit)} }
}

func TestDNSAnswersAreJudgedByTheirCode(t *testing.T) {
	for _, c := range []struct {
		says   string
		answer func([]byte) [][]byte
		state  probe.State
		code   probe.Code
		detail string
	}{
		{"a good answer", one(dnsmessage.RCodeSuccess, nil), probe.OK, probe.CodeNone, ""},
		{"a truncated answer is one", one(dnsmessage.RCodeSuccess, func(m *dnsmessage.Message) { m.Truncated = true }), probe.OK, probe.CodeNone, ""},
		{"servfail", one(dnsmessage.RCodeServerFailure, nil), probe.Failing, probe.CodeBadAnswer, "servfail"},
		{"nxdomain of a name that must exist", one(dnsmessage.RCodeNameError, nil), probe.Failing, probe.CodeBadAnswer, "nxdomain"},
		{"a policy", one(dnsmessage.RCodeRefused, nil), probe.Failing, probe.CodeBadAnswer, "query refused"},
		{"formerr without the question", one(dnsmessage.RCodeFormatError, func(m *dnsmessage.Message) { m.Questions = nil }),
			probe.Failing, probe.CodeBadAnswer, "formerr"},
		{"an unknown code", one(11, nil), probe.Failing, probe.CodeBadAnswer, "rcode 11"},
	} {
		t.Run(c.says, func(t *testing.T) {
			s := startDNS(t, c.answer)
			for _, kind := range []string{probe.ServiceDNSUDP, probe.ServiceDNSTCP} {
				got := Probe(t.Context(), Target{Kind: kind, Address: s.addr.String(), Query: goodQuery})
				if got.State != c.state || got.Code != c.code || got.Detail != c.detail || got.RTT <= 0 {
					t.Errorf("%s: %+v, want %v %v %q", kind, got, c.state, c.code, c.detail)
				}
			}
		})
	}
}

func TestOnlyTheAnswerToOurQueryCounts(t *testing.T) {
	strange := map[string]func(m *dnsmessage.Message){
		"another id":       func(m *dnsmessage.Message) { m.ID++ },
		"another question": func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("evil.example.org.") },
		"another type":     func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeTXT },
		"a query":          func(m *dnsmessage.Message) { m.Response = false },
		"no question":      func(m *dnsmessage.Message) { m.Questions = nil },
	}
	for says, edit := range strange {
		t.Run(says, func(t *testing.T) {
			s := startDNS(t, func(q []byte) [][]byte {
				return [][]byte{{1, 2, 3}, reply(q, dnsmessage.RCodeSuccess, edit), reply(q, dnsmessage.RCodeServerFailure, nil)}
			})
			if got := DNS(t.Context(), s.addr, goodQuery, probe.ServiceDNSUDP); got.Detail != "servfail" {
				t.Errorf("udp: %+v, want the last answer's servfail", got)
			}
			only := startDNS(t, one(dnsmessage.RCodeSuccess, edit))
			if got := DNS(t.Context(), only.addr, goodQuery, probe.ServiceDNSTCP); got.Code != probe.CodeBadAnswer || got.Detail != errNotAnAnswer.Error() {
				t.Errorf("tcp: %+v, want %v", got, errNotAnAnswer)
			}
		})
	}
}

func TestTheCaseOfTheQuestionDoesNotMatter(t *testing.T) {
	s := startDNS(t, one(dnsmessage.RCodeSuccess, func(m *dnsmessage.Message) {
		m.Questions[0].Name = dnsmessage.MustNewName("KUBERNETES.default.svc.EXAMPLE.org.")
	}))
	if got := DNS(t.Context(), s.addr, goodQuery, probe.ServiceDNSUDP); got.State != probe.OK {
		t.Errorf("%+v", got)
	}
}

func TestEveryQueryHasASocketOfItsOwn(t *testing.T) {
	s := startDNS(t, one(dnsmessage.RCodeSuccess, nil))
	for range 10 {
		DNS(t.Context(), s.addr, goodQuery, probe.ServiceDNSUDP)
	}
	n := 0
	s.ports.Range(func(any, any) bool { n++; return true })
	if n < 8 { // the kernel may give one port twice
		t.Errorf("10 queries came from %d ports", n)
	}
}

func TestAClosedPortIsRefused(t *testing.T) {
	addr := closedPort(t)
	for _, kind := range []string{probe.ServiceDNSUDP, probe.ServiceDNSTCP} {
		got := DNS(t.Context(), addr, goodQuery, kind)
		if got.State != probe.Failing || got.Code != probe.CodeRefused || got.RTT != 0 {
			t.Errorf("%s: %+v, want failing, refused", kind, got)
		}
	}
}

// closedPort returns a port of 127.0.0.1 on which nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestSilenceIsATimeOutByUDPAndAHungProcessByTCP(t *testing.T) {
	s := startDNS(t, func([]byte) [][]byte { return nil })
	for kind, want := range map[string]probe.Code{probe.ServiceDNSUDP: probe.CodeTimeout, probe.ServiceDNSTCP: probe.CodeHung} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		got := DNS(ctx, s.addr, goodQuery, kind)
		cancel()
		if got.State != probe.Failing || got.Code != want {
			t.Errorf("%s: %+v, want %v", kind, got, want)
		}
	}
}

func TestACancelledProbeSaysNothingOfTheService(t *testing.T) {
	s := startDNS(t, func([]byte) [][]byte { return nil })
	for _, kind := range []string{probe.ServiceDNSUDP, probe.ServiceDNSTCP} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		got := DNS(ctx, s.addr, goodQuery, kind)
		if got.State != probe.Unknown || time.Since(start) > 2*time.Second {
			t.Errorf("%s: %+v after %v, want unknown at once", kind, got, time.Since(start))
		}
	}
}

func TestALateAnswerIsSlow(t *testing.T) {
	if got := answered(3 * time.Second); got.State != probe.Degraded || got.Code != probe.CodeSlow || got.Detail != "answered after 3.0 s" {
		t.Errorf("%+v", got)
	}
	if got := answered(SlowAfter); got.State != probe.OK {
		t.Errorf("%+v", got)
	}
}

func TestAServerThatHangsUpResets(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 512))
			conn.Close()
		}
	}()
	got := DNS(t.Context(), netip.MustParseAddrPort(listener.Addr().String()), goodQuery, probe.ServiceDNSTCP)
	if got.State != probe.Failing || got.Code != probe.CodeReset {
		t.Errorf("%+v, want reset", got)
	}
	listener.Close()
	<-done
}

func FuzzDNSAnswer(f *testing.F) {
	q, err := newQuestion(goodQuery)
	if err != nil {
		f.Fatal(err)
	}
	q.id = 7
	binary.BigEndian.PutUint16(q.packed, 7)
	f.Add(q.packed)
	f.Add(reply(q.packed, dnsmessage.RCodeSuccess, nil))
	f.Add(reply(q.packed, dnsmessage.RCodeServerFailure, func(m *dnsmessage.Message) { m.Questions = nil }))
	f.Fuzz(func(t *testing.T, b []byte) {
		rcode, err := q.read(b)
		if err != nil {
			if !errors.Is(err, errNotAnAnswer) {
				t.Errorf("error %v", err)
			}
			return
		}
		if len(b) < 12 || binary.BigEndian.Uint16(b) != 7 || b[2]&0x80 == 0 || dnsmessage.RCode(b[3]&0xF) != rcode {
			t.Errorf("took %x for an answer with code %d", b, rcode)
		}
	})
}
