package echo_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
)

// TestMain fails when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	status := m.Run()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing.Value.String() != "" {
		os.Exit(status) // its workers leave package os/signal running
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			status = 1
			break
		}
	}
	os.Exit(status)
}

func start(t *testing.T, cfg echo.Config) *echo.Echo {
	t.Helper()
	e, err := echo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func request(kind probe.Kind, seq uint32, length int) []byte {
	b := make([]byte, length)
	(&probe.Packet{Type: probe.TypeRequest, Kind: kind, Sender: 1, Boot: 1, Seq: seq, Period: 100, Cookie: uint64(seq), Responder: 7}).Encode(b)
	probe.NewKeys().Seal(b)
	return b
}

func TestEcho_answers_over_both_families_from_the_address_that_was_asked(t *testing.T) {
	e := start(t, echo.Config{Self: 7, Boot: 70})
	for _, host := range []string{"127.0.0.1", "127.0.0.77", "::1"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), e.Port())
		conn, err := net.Dial("udp", to.String()) // a connected socket takes answers of that address alone
		if err != nil {
			t.Logf("%s: %v", host, err)
			continue
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		for _, junk := range [][]byte{nil, []byte("hello"), make([]byte, 80), bytes.Repeat([]byte{255}, 1400)} {
			conn.Write(junk)
		}
		seq := uint32(to.Addr().As16()[15])
		conn.Write(request(probe.MTU, seq, 1400))
		b := make([]byte, 2000)
		n, err := conn.Read(b)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		var p probe.Packet
		if err := p.Decode(b[:n]); err != nil || n != probe.PacketSize || p.Responder != 7 || p.Cookie != uint64(seq) {
			t.Errorf("%s: %d bytes: %v %+v", host, n, err, p)
		}
		if hold := time.Duration(p.Hold); hold <= 0 || hold > 3*time.Second {
			t.Errorf("%s: held for %v", host, hold)
		}
		if _, right := probe.NewKeys().Check(b[:n]); !right {
			t.Errorf("%s: wrong tag", host)
		}
	}
	if s := e.Stats(); s.Answered < 2 || s.Bad < 8 {
		t.Errorf("%+v", s)
	}
	for _, h := range e.Heard(nil) {
		if h.Sender != 1 || h.State[probe.MTU] != probe.HeardOK {
			t.Errorf("%+v", h)
		}
	}
}

func TestEcho_New_says_what_is_wrong(t *testing.T) {
	e := start(t, echo.Config{Self: 7})
	_, err := echo.New(echo.Config{Self: 8, Port: e.Port(), IPv4: true})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("listen on udp port %d over IPv4", e.Port())) {
		t.Errorf("%v", err)
	}
}

func TestHandler(t *testing.T) {
	r := echo.NewResponder(echo.Config{Self: 7, Boot: 70})
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	post := func(body []byte) (*http.Response, []byte) {
		t.Helper()
		resp, err := http.Post(server.URL+"/probe", "", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		return resp, b.Bytes()
	}
	for i, length := range []int{probe.PacketSize, 8192} {
		resp, b := post(request(probe.TCP, uint32(i+1), length))
		var p probe.Packet
		if resp.StatusCode != 200 || len(b) != length || p.Decode(b) != nil || p.Responder != 7 {
			t.Errorf("%d bytes: status %d, %d bytes, %+v", length, resp.StatusCode, len(b), p)
		}
	}
	for _, tt := range []struct {
		name string
		body []byte
		want int
	}{
		{"too short", make([]byte, 79), 400},
		{"too long", make([]byte, 8193), 400},
		{"a udp probe", request(probe.UDP, 9, 80), 400},
		{"a wrong tag", append(request(probe.TCP, 9, 80)[:79], 0), 403},
		{"the same again", request(probe.TCP, 1, 80), 200}, // one repetition a second is answered
		{"and again", request(probe.TCP, 1, 80), 200},
		{"and again, too often", request(probe.TCP, 1, 80), 403},
	} {
		if resp, b := post(tt.body); resp.StatusCode != tt.want {
			t.Errorf("%s: status %d, %q", tt.name, resp.StatusCode, b)
		}
	}
	resp, err := http.Get(server.URL + "/probe")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", resp.StatusCode, resp.Header)
	}
	if h := r.Heard(nil)[0]; h.Counts[probe.TCP] != 2 {
		t.Errorf("%+v", h)
	}
}

func ExampleResponder() {
	r := echo.NewResponder(echo.Config{Self: 7, Boot: 1})
	ask := make([]byte, probe.PacketSize)
	(&probe.Packet{Type: probe.TypeRequest, Sender: 1, Seq: 1, Responder: 7}).Encode(ask)
	probe.NewKeys().Seal(ask)
	var answer probe.Packet
	_ = answer.Decode(r.Respond(ask, netip.MustParseAddrPort("10.0.0.1:4000"), probe.SystemClock()()))
	fmt.Println(answer.Responder, answer.Highest, r.Heard(nil)[0].Counts)
	// Output: 7 1 [1 0 0 0]
}
