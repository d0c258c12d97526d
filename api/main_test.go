package api_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/probe"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMain fails when a goroutine is left behind.
func TestMain(m *testing.M) {
	flag.Parse()
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzer leaves a goroutine of its own
	}
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "%d goroutines before the tests, %d after:\n%s\n", before, runtime.NumGoroutine(),
				stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// face is a server on 127.0.0.1 whose clock the test sets.
type face struct {
	t      testing.TB
	url    string
	server *api.Server
	matrix *mesh.Matrix
	store  api.Store
	log    *syncBuffer

	mu     sync.Mutex
	now    time.Time
	roster *mesh.Roster
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve starts a server; change adapts its configuration.
func serve(t testing.TB, change func(*api.Config)) *face {
	t.Helper()
	f := &face{t: t, matrix: mesh.NewMatrix(), store: store.NewMemory(), log: &syncBuffer{}, now: epoch}
	cfg := api.Config{Store: f.store, Matrix: f.matrix, Auth: api.AuthNone, Now: f.clock, Version: "test",
		Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Roster: func() *mesh.Roster {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.roster
		}}
	if change != nil {
		change(&cfg)
	}
	f.store = cfg.Store
	var err error
	if f.server, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	f.url = listen(t, f.server.Handler(), 1000)
	return f
}

func listen(t testing.TB, h http.Handler, conns int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: api.LimitListener(l, conns), Config: api.HTTPServer(h, conns)}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	// httptest counts connections through ConnState, too.
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func (f *face) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *face) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *face) setRoster(r *mesh.Roster) {
	f.mu.Lock()
	f.roster = r
	now := f.now
	f.mu.Unlock()
	f.matrix.SetRoster(r, now)
}

// do makes a request and returns status, body and header.
func (f *face) do(method, path string, body []byte, headers ...string) (int, string, http.Header) {
	f.t.Helper()
	r, err := http.NewRequest(method, f.url+path, bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(got), resp.Header
}

func (f *face) get(path string) (int, string) {
	f.t.Helper()
	status, body, _ := f.do(http.MethodGet, path, nil)
	return status, body
}

func (f *face) post(path, body string, headers ...string) (int, string) {
	f.t.Helper()
	status, answer, _ := f.do(http.MethodPost, path, []byte(body), headers...)
	return status, answer
}

// golden compares with testdata/name, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func testAgent(node int, network mesh.Network) mesh.Agent {
	addr := netip.AddrFrom4([4]byte{10, 244, byte(node), 2})
	if network == mesh.Host {
		addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(node)})
	}
	return mesh.Agent{Name: fmt.Sprintf("agent-%s-%d", network, node), Key: mesh.Key{Node: fmt.Sprintf("node%d", node), Network: network},
		Zone: string(rune('a' + node%3)), IPv4: addr, ProbePort: 8095, GossipPort: 8096, MTU: 1450, Boot: 1000}
}

// cluster is a full mesh whose rows the test words.
type cluster struct {
	agents   []mesh.Agent
	registry *mesh.Registry
	table    *mesh.Table
	codec    *mesh.Codec
	sequence uint64
}

func newCluster(t testing.TB, nodes int) *cluster {
	t.Helper()
	c := &cluster{codec: mesh.NewCodec(), registry: mesh.NewRegistry(24*time.Hour, 2*time.Minute)}
	for n := 1; n <= nodes; n++ {
		for network := range mesh.Network(mesh.Networks) {
			a := testAgent(n, network)
			c.agents = append(c.agents, a)
			c.registry.Alive(a, epoch)
		}
	}
	var err error
	if c.table, err = mesh.TableOf(c.registry.Roster()); err != nil {
		t.Fatal(err)
	}
	return c
}

type verdict func(to mesh.Key) [probe.Kinds]probe.Status

func (c *cluster) row(a mesh.Agent, say verdict, change ...func(*mesh.Row)) *mesh.Row {
	c.sequence++
	r := mesh.NewRow(a, c.table)
	r.Sequence, r.Interval = c.sequence, time.Second
	for i := range c.table.Len() {
		if d := c.table.Dest(i); d.Key != a.Key {
			s := good()
			if say != nil {
				s = say(d.Key)
			}
			r.Set(i, &s)
			r.SetHeard(i, &probe.Heard{State: [probe.Kinds]probe.HeardState{probe.HeardOK, probe.HeardOK, probe.HeardOK}})
		}
	}
	for _, f := range change {
		f(r)
	}
	r.Seal()
	return r
}

func good() (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond, MaxBytes: 1450}
	}
	return s
}

func lost(age time.Duration) (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: probe.LossUnknown,
			Return: probe.LossUnknown, Age: age}
	}
	return s
}

func (c *cluster) encode(row *mesh.Row, withTable bool) []byte {
	return c.codec.Encode(nil, row, withTable)
}

// rowPath is where a row of the agent goes.
func rowPath(a mesh.Agent) string { return "/api/v1/agents/" + a.Name + "/row" }

func mustContain(t *testing.T, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("got %.1000q, want %q in it", got, w)
		}
	}
}

func secondsOf(n int) time.Duration { return time.Duration(n) * time.Second }
