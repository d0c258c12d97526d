package probe_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
	"netchecker/probe/echo"
)

// A child is this test binary run again as one agent's engine or echo, in a process and, if asked, a
// namespace of its own. It answers each line on its standard input with a report.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// report is what a child says of itself.
type report struct {
	CPU      time.Duration // user and system time so far
	Stats    probe.Stats
	RTT      map[uint64]int64 // by cookie, ns, since the last report
	Resident int64            // bytes
	Paths    []probe.PathStatus
	Notes    []string
}

// childConfig is how a child is told what to be.
type childConfig struct {
	Role    string // echo, engine or dialer
	Port    uint16
	Rate    int
	Targets []probe.Target
	Count   int // so many benchTargets instead
	Off     [probe.Kinds]bool
	RTT     bool
	// Exchange makes a dialer ask, not only connect.
	Exchange bool
	UID      int // drop to this user, without any capability
}

const childVariable = "NETCHECKER_PROBE_TEST_CHILD"

func startChild(t testing.TB, namespace string, cfg childConfig) *child {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0])}
	if namespace != "" {
		c.cmd = exec.Command("ip", "netns", "exec", namespace, os.Args[0])
	}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	c.lines.Buffer(nil, 1<<28)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Errorf("%s child: %v", cfg.Role, err)
		}
	})
	c.report(t) // it is up
	return c
}

// stop ends the child; a second call does nothing.
func (c *child) stop() error {
	if c.cmd.ProcessState != nil {
		return nil
	}
	c.stdin.Close()
	return c.cmd.Wait()
}

func (c *child) report(t testing.TB) (r report) {
	t.Helper()
	if _, err := io.WriteString(c.stdin, "report\n"); err != nil {
		t.Fatal(err)
	}
	if !c.lines.Scan() {
		t.Fatalf("child is gone: %v", c.lines.Err())
	}
	if err := json.Unmarshal(c.lines.Bytes(), &r); err != nil {
		t.Fatalf("child says %q: %v", c.lines.Text(), err)
	}
	return r
}

// runChild is main of a child.
func runChild(text string) {
	var cfg childConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		panic(err)
	}
	if cfg.Count > 0 {
		cfg.Targets = benchTargets(cfg.Count)
	}
	if cfg.UID != 0 {
		for _, err := range []error{unix.Setgroups(nil), unix.Setresgid(cfg.UID, cfg.UID, cfg.UID), unix.Setresuid(cfg.UID, cfg.UID, cfg.UID)} {
			if err != nil {
				panic(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait <-chan struct{}
	var fill func(*report)
	switch cfg.Role {
	case "echo":
		wait, fill = childEcho(ctx, cfg)
	case "engine":
		wait, fill = childEngine(ctx, cfg)
	case "dialer":
		wait, fill = childDialer(ctx, cfg)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		r := report{CPU: cpu(), Resident: resident()}
		if fill != nil {
			fill(&r)
		}
		b, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(b))
	}
	cancel()
	<-wait
}

func childEcho(ctx context.Context, cfg childConfig) (<-chan struct{}, func(*report)) {
	e, err := echo.New(echo.Config{Self: 7, Boot: 7, Any: true, Port: cfg.Port, PerSource: 1e6, Total: 1e6})
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", cfg.Port))
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: e.Handler()}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener) }()
	go func() {
		defer close(done)
		_ = e.Run(ctx)
		server.Close()
	}()
	return done, nil
}

func childEngine(ctx context.Context, cfg childConfig) (<-chan struct{}, func(*report)) {
	rtts := make(map[uint64]int64)
	var cookie uint64
	config := probe.Config{Self: 1, Boot: uint64(time.Now().UnixNano()), Rate: cfg.Rate, Off: cfg.Off}
	if cfg.RTT {
		config.OnRTT = func(k probe.Kind, _ uint64, rtt time.Duration) { rtts[cookie] = int64(rtt) }
	}
	e, err := probe.NewEngine(config)
	if err != nil {
		panic(err)
	}
	if cfg.RTT {
		e.Tap(func(a *probe.Arrival) {
			var p probe.Packet
			if p.Decode(a.Data) == nil {
				cookie = p.Cookie
			}
		})
	}
	e.SetTargets(cfg.Targets)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx)
	}()
	return done, func(r *report) {
		r.Stats, r.Notes = e.Stats(), e.Notes()
		if len(cfg.Targets) < 100 {
			r.Paths = e.Snapshot(nil)
		}
		if cfg.RTT {
			r.RTT = rtts // the test asks only when nothing is on its way
		}
	}
}

// childDialer makes connections with the standard library as fast as the engine would.
func childDialer(ctx context.Context, cfg childConfig) (<-chan struct{}, func(*report)) {
	done := make(chan struct{})
	var count uint64
	go func() {
		defer close(done)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ctx.Err() == nil; {
			for range cfg.Rate / 20 {
				dialOnce(cfg.Targets[i%len(cfg.Targets)], uint32(i+1), cfg.Exchange)
				i++
			}
			count = uint64(i)
			<-ticker.C
		}
	}()
	return done, func(r *report) { r.Stats.Sent[probe.TCP] = count }
}

// dialOnce connects and closes; with exchange it also asks and reads the answer, as the engine does.
func dialOnce(to probe.Target, seq uint32, exchange bool) {
	c, err := net.DialTimeout("tcp", to.Addr.String(), time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	if !exchange {
		return
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.SetDeadline(time.Now().Add(time.Second))
	body := make([]byte, probe.PacketSize)
	(&probe.Packet{Type: probe.TypeRequest, Kind: probe.TCP, Sender: 1, Boot: 1, Seq: seq, Responder: to.ID}).Encode(body)
	probe.NewKeys().Seal(body)
	fmt.Fprintf(c, "POST /probe HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	_, _ = c.Read(make([]byte, 4096))
}

func cpu() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	fmt.Sscan(strings.TrimSpace(string(b)), &size, &pages)
	return pages * int64(os.Getpagesize())
}
