package client_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/api"
	"netchecker/api/client"
	"netchecker/mesh"
	"netchecker/probe"
)

// TestMain fails when a goroutine is left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzer leaves a goroutine of its own
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

var (
	keys  = api.NewKeys([]byte("the secret of this mesh"))
	quiet = slog.New(slog.DiscardHandler)
	codec = mesh.NewCodec()
)

// memory is the smallest store.
type memory struct{ last atomic.Pointer[api.Record] }

func (m *memory) Put(_ context.Context, r *api.Record) error { m.last.Store(r); return nil }
func (m *memory) Get(context.Context, string) (*api.Record, error) {
	return m.last.Load(), nil
}
func (m *memory) All(context.Context) (out []*api.Record, err error) {
	if r := m.last.Load(); r != nil {
		out = append(out, r)
	}
	return out, nil
}
func (m *memory) Delete(context.Context, ...string) error { return nil }
func (m *memory) Err() error                              { return nil }
func (m *memory) Behind() error                           { return nil }
func (m *memory) Stats() api.StoreStats                   { return api.StoreStats{} }

// server is a whole server on 127.0.0.1.
func newServer(t *testing.T) (*api.Server, string) {
	t.Helper()
	s, err := api.New(api.Config{Store: &memory{}, Matrix: mesh.NewMatrix(), Auth: api.AuthSecret, Keys: keys, MeshKeys: keys, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s, listen(t, s.Handler())
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func newClient(t *testing.T, change ...func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Name: "agent-pod-1", Keys: keys, MeshKeys: keys, Boot: 1000, HedgeAfter: 100 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	c := client.New(cfg)
	t.Cleanup(c.Close)
	return c
}

// newPeer is an agent that relays, on 127.0.0.1.
func newPeer(t *testing.T, node string, servers ...string) (*client.Relay, string) {
	t.Helper()
	r := client.NewRelay(client.RelayConfig{Self: mesh.Key{Node: node, Network: mesh.Host}, Servers: func() []string { return servers },
		MeshKeys: keys, Client: newClient(t, func(c *client.Config) { c.Name = "agent-host-" + node }), Log: quiet})
	mux := http.NewServeMux()
	mux.Handle("/relay", r)
	return r, listen(t, mux)
}

func newRow(t *testing.T, sequence uint64) *mesh.Row {
	t.Helper()
	self := mesh.Agent{Name: "agent-pod-1", Key: mesh.Key{Node: "node1"}, IPv4: netip.MustParseAddr("10.244.1.2"), Boot: 1000}
	table, err := mesh.NewTable([]mesh.Dest{{Key: self.Key}, {Key: mesh.Key{Node: "node2"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := mesh.NewRow(self, table)
	r.Sequence, r.Interval = sequence, time.Second
	r.Set(1, &[probe.Kinds]probe.Status{{State: probe.OK}})
	r.Seal()
	return r
}

func post(t *testing.T, c *client.Client, to string, peers []string, sequence uint64) (*api.RowAnswer, client.Way, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return c.PostRow(ctx, to, peers, sequence, codec.Encode(nil, newRow(t, sequence), true), 0)
}

// breakWay makes connections from c to one address hang, or fail at once.
func breakWay(t *testing.T, c *client.Client, to string, hang bool) (mend func()) {
	var broken atomic.Bool
	broken.Store(true)
	c.SetDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != to || !broken.Load() {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if hang {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, errors.New("no route to host")
	})
	return func() { broken.Store(false) }
}

func TestARowGoesDirectlyAndBringsAnAnswer(t *testing.T) {
	s, at := newServer(t)
	c := newClient(t)
	short := codec.Encode(nil, newRow(t, 1), false)
	if _, _, err := c.PostRow(t.Context(), at, nil, 1, short, 0); !errors.Is(err, mesh.ErrUnknownTable) {
		t.Fatalf("a table the server has not seen: %v", err)
	}
	answer, way, err := post(t, c, at, nil, 1)
	if err != nil || way.Via != "" || answer.Roster.Version == 0 || answer.State == "" {
		t.Fatalf("%+v %s %v", answer, way, err)
	}
	if got := s.View().Agents(); len(got) != 1 || got[0].Name != "agent-pod-1" || got[0].Via != "" {
		t.Errorf("%+v", got)
	}
	if _, _, err := post(t, c, at, nil, 1); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := c.PostReport(t.Context(), at, nil, 5, []byte(`{"uptime":3,"zero_extender":[0]}`)); err != nil {
		t.Error(err)
	}
	if _, err := c.PostReport(t.Context(), at, nil, 5, []byte(`{"uptime":4}`)); err == nil || !strings.Contains(err.Error(), "status 403") {
		t.Errorf("a number used twice: %v", err)
	}
	if got := c.Stats(); got != (client.Stats{Direct: 5}) {
		t.Errorf("%+v", got)
	}
}

func TestASilentWayIsGoneAroundAndComesBack(t *testing.T) {
	for _, hang := range []bool{true, false} {
		t.Run(fmt.Sprintf("hang=%v", hang), func(t *testing.T) {
			s, at := newServer(t)
			relay, peer := newPeer(t, "node2", at)
			c := newClient(t)
			mend := breakWay(t, c, at, hang)
			_, way, err := post(t, c, at, []string{"127.0.0.1:1", peer}, 1)
			if err != nil || way.Via != peer || way.String() != "via "+peer {
				t.Fatalf("%s: %v", way, err)
			}
			if via := s.View().Agents()[0].Via; via != "node2/host" {
				t.Errorf("the server heard it via %q", via)
			}
			began := time.Now()
			if _, way, err = post(t, c, at, []string{"127.0.0.1:1", peer}, 2); err != nil || way.Via != peer {
				t.Fatalf("%s: %v", way, err)
			}
			if took := time.Since(began); took > 90*time.Millisecond {
				t.Logf("a way known to be broken was waited for: %v", took)
			}
			if _, err := c.PostReport(t.Context(), at, []string{peer}, 1, []byte(`{"uptime":3}`)); err != nil {
				t.Errorf("a report: %v", err)
			}
			mend()
			c.Forget(at)
			if _, way, err = post(t, c, at, []string{peer}, 3); err != nil || way.Via != "" {
				t.Errorf("after the repair %s: %v", way, err)
			}
			if via := s.View().Agents()[0].Via; via != "" {
				t.Errorf("after the repair via %q", via)
			}
			if got := c.Stats(); got != (client.Stats{Direct: 1, Relayed: 3}) || relay.Stats().Done != 3 {
				t.Errorf("%+v, relay %+v", got, relay.Stats())
			}
		})
	}
}

func TestWithoutAnyWayTheErrorNamesThemAll(t *testing.T) {
	c := newClient(t)
	var peers []string
	for port := 2; port <= 8; port++ {
		peers = append(peers, fmt.Sprintf("127.0.0.1:%d", port))
	}
	_, _, err := post(t, c, "127.0.0.1:1", peers, 1)
	if err == nil {
		t.Fatal("delivered")
	}
	for _, word := range []string{"direct: ", "via 127.0.0.1:2", "via 127.0.0.1:3", "via 127.0.0.1:7"} {
		if strings.Count(err.Error(), word) != 1 {
			t.Errorf("%q is not once in %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "127.0.0.1:8") {
		t.Error("more than six peers were asked")
	}
	if _, _, err = post(t, c, "127.0.0.1:1", peers, 2); err == nil || !strings.Contains(err.Error(), "via 127.0.0.1:8") {
		t.Errorf("the peer that was not asked did not come first the next time: %v", err)
	}
	if got := c.Stats(); got.Failed != 2 {
		t.Errorf("%+v", got)
	}
}

// TestAmongPeersThatAreCutOffTooTheOneThatIsNotIsFoundAndKept has eight nodes without an overlay: whoever
// does not share a node with the server has no way to it.
func TestAmongPeersThatAreCutOffTooTheOneThatIsNotIsFoundAndKept(t *testing.T) {
	_, at := newServer(t)
	var peers []string
	var relays []*client.Relay
	for i := range 8 {
		relay, addr := newPeer(t, fmt.Sprintf("node%d", i+2), at)
		if i < 7 {
			breakWay(t, relay.Client(), at, true)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, err := relay.Client().PostReport(ctx, at, nil, 1, []byte("{}")); err == nil {
				t.Fatal("a peer that is cut off reported")
			}
			cancel()
		}
		peers, relays = append(peers, addr), append(relays, relay)
	}
	c := newClient(t, func(c *client.Config) { c.HedgeAfter = time.Minute }) // who knows that it has no way says so
	breakWay(t, c, at, false)
	if _, _, err := post(t, c, at, peers, 1); err == nil {
		t.Error("more peers were asked than may be")
	}
	for sequence := uint64(2); sequence < 10; sequence++ {
		if _, way, err := post(t, c, at, peers, sequence); err != nil || way.Via != peers[7] {
			t.Fatalf("row %d %s: %v", sequence, way, err)
		}
	}
	for i, r := range relays[:7] {
		if got := r.Stats(); got.Refused > 1 {
			t.Errorf("peer %d was asked %d times", i, got.Refused)
		}
	}
	mend := breakWay(t, relays[7].Client(), at, false)
	relays[7].Client().Close()
	if _, _, err := post(t, c, at, peers, 10); err == nil {
		t.Error("delivered while nobody reached the server")
	}
	mend()
	relays[7].Client().Forget(at)
	for began, sequence := time.Now(), uint64(11); ; sequence++ { // it is not forgotten for that
		_, way, err := post(t, c, at, peers, sequence)
		if err == nil && way.Via == peers[7] {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("after one failure of the peer that relayed: %s %v", way, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if got := relays[7].Stats(); got.Done != 9 {
		t.Errorf("%+v", got)
	}
}

func TestAPeerThatIsBusyIsAskedAgainAtOnce(t *testing.T) {
	_, at := newServer(t)
	relay, _ := newPeer(t, "node2", at)
	var asked atomic.Int32
	busy := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		relay.ServeHTTP(w, r)
	}))
	peers := []string{busy}
	for port := 2; port <= 12; port++ {
		peers = append(peers, fmt.Sprintf("127.0.0.1:%d", port))
	}
	c := newClient(t)
	breakWay(t, c, at, false)
	if _, _, err := post(t, c, at, peers, 1); err == nil || !strings.Contains(err.Error(), "peer is busy") {
		t.Errorf("%v", err)
	}
	if _, way, err := post(t, c, at, peers, 2); err != nil || way.Via != busy {
		t.Errorf("%s: %v", way, err)
	}
}

// TestNobodyWaitsForAServerThatIsBack has all peers know of no way while the server, which was away for
// a moment, is back.
func TestNobodyWaitsForAServerThatIsBack(t *testing.T) {
	_, at := newServer(t)
	relay, peer := newPeer(t, "node2", at)
	c := newClient(t)
	mend, mendPeer := breakWay(t, c, at, false), breakWay(t, relay.Client(), at, false)
	if _, err := relay.Client().PostReport(t.Context(), at, nil, 1, []byte("{}")); err == nil {
		t.Fatal("the peer reported")
	}
	if _, _, err := post(t, c, at, []string{peer}, 1); err == nil {
		t.Fatal("delivered")
	}
	mend()
	mendPeer()
	if _, way, err := post(t, c, at, []string{peer}, 2); err != nil || way.Via != "" {
		t.Errorf("%s: %v", way, err)
	}
}

func TestTheCallEndsWithItsContextWhateverHangs(t *testing.T) {
	hole := listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server see the client go
		<-r.Context().Done()
	}))
	c := newClient(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err := c.PostRow(ctx, hole, []string{hole, hole}, 1, []byte("x"), 0)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAnOldServerTakesReportsOnly(t *testing.T) {
	var rows, reports atomic.Int32
	at := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/row") {
			rows.Add(1)
			http.NotFound(w, r)
			return
		}
		reports.Add(1)
		io.Copy(io.Discard, r.Body)
	}))
	c := newClient(t)
	for i := range uint64(3) {
		if _, _, err := post(t, c, at, nil, i); !errors.Is(err, client.ErrNoRows) {
			t.Fatalf("row %d: %v", i, err)
		}
		if _, err := c.PostReport(t.Context(), at, nil, i, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if rows.Load() != 1 || reports.Load() != 3 {
		t.Errorf("%d rows and %d reports arrived", rows.Load(), reports.Load())
	}
	c.Forget(at)
	post(t, c, at, nil, 9)
	if rows.Load() != 2 {
		t.Error("the server is never asked again")
	}
}

func TestARelayRefusesWhatIsNotItsBusiness(t *testing.T) {
	_, at := newServer(t)
	relay, peer := newPeer(t, "node2", at)
	good := "name=agent-pod-1&purpose=report&server=" + at
	body := `{"uptime":1}`
	sign := func(k *api.Keys, text string) string {
		return k.Sign(api.ForRelay, "agent-pod-1", 1, 0, []byte(text)).String()
	}
	for _, x := range []struct {
		name, method, query string
		header              [2]string
		relaySignature      string
		body                io.Reader
		status              int
		words               string
	}{
		{name: "a GET", method: "GET", query: good, status: 405, words: "want POST"},
		{name: "no name", query: "purpose=report&server=" + at, status: 400, words: "agent name"},
		{name: "a bad name", query: "name=a/b&purpose=report&server=" + at, status: 400, words: "not allowed"},
		{name: "another purpose", query: "name=a&purpose=via&server=" + at, status: 400, words: "want row, report or enrol"},
		{name: "a row without a version", query: "name=a&purpose=row&server=" + at, status: 400, words: "roster"},
		{name: "another destination", query: "name=a&purpose=report&server=169.254.169.254:80", status: 403, words: "none of ours"},
		{name: "no destination", query: "name=a&purpose=report", status: 403, words: "none of ours"},
		{name: "a second hop", query: good, header: [2]string{api.ViaHeader, "node3/host v1 0 0 00"}, status: 403, words: "one hop"},
		{name: "a long signature", query: good, header: [2]string{api.SignatureHeader, strings.Repeat("x", api.MaxSignature+1)}, status: 400, words: "too long"},
		{name: "no key", query: good, status: 401, words: "Netchecker-Relay"},
		{name: "another mesh's key", query: good, relaySignature: sign(api.NewKeys([]byte("other")), body), status: 403, words: "no key of this mesh"},
		{name: "another body", query: good, relaySignature: sign(keys, "{}"), status: 403, words: "no key of this mesh"},
		{name: "too large", query: good, relaySignature: sign(keys, body), body: io.LimitReader(zeros{}, api.MaxRowBody+1), status: 413, words: "more than"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if x.method == "" {
				x.method = http.MethodPost
			}
			if x.body == nil {
				x.body = strings.NewReader(body)
			}
			r, err := http.NewRequest(x.method, "http://"+peer+"/relay?"+x.query, x.body)
			if err != nil {
				t.Fatal(err)
			}
			if x.header[0] != "" {
				r.Header.Set(x.header[0], x.header[1])
			}
			if x.relaySignature != "" {
				r.Header.Set(api.RelayHeader, x.relaySignature)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != x.status || !strings.Contains(string(answer), x.words) || !strings.HasPrefix(string(answer), `{"error":"`) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, answer, x.status, x.words)
			}
			if resp.Header.Get("Netchecker-Relayed") != "" {
				t.Error("passed off as the server's answer")
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
	if relay.Stats().Done != 0 {
		t.Error("something was relayed")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestARelayPassesTheServersVerdictOn(t *testing.T) {
	_, at := newServer(t)
	_, peer := newPeer(t, "node2", at)
	stranger := newClient(t, func(c *client.Config) { c.Keys = api.NewKeys([]byte("other")) })
	breakWay(t, stranger, at, false)
	if _, way, err := post(t, stranger, at, []string{peer}, 1); err == nil || !strings.Contains(err.Error(), "wrong signature") || way.Via != peer {
		t.Errorf("%s: %v", way, err)
	}
	c := newClient(t)
	breakWay(t, c, at, false)
	if _, _, err := c.PostRow(t.Context(), at, []string{peer}, 1, codec.Encode(nil, newRow(t, 1), false), 0); !errors.Is(err, mesh.ErrUnknownTable) {
		t.Errorf("%v", err)
	}
}

func TestARelayLimitsItsRate(t *testing.T) {
	_, at := newServer(t)
	relay, _ := newPeer(t, "node2", at)
	refused := 0
	for i := range client.RelayBurst + 20 {
		r := httptest.NewRequest("POST", "/relay?name=a&purpose=report&server="+at, strings.NewReader("{}"))
		w := httptest.NewRecorder()
		relay.ServeHTTP(w, r)
		if w.Code == http.StatusServiceUnavailable {
			refused++
			if w.Header().Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		} else if w.Code != http.StatusUnauthorized {
			t.Fatalf("message %d: %d %s", i, w.Code, w.Body)
		}
	}
	if refused == 0 {
		t.Error("no limit")
	}
}

func TestSegmentsAreSmallEnoughForABrokenMTU(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sizes := make(chan int, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		raw, _ := conn.(*net.TCPConn).SyscallConn()
		raw.Control(func(fd uintptr) {
			n, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
			sizes <- n
		})
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}()
	if _, err := newClient(t).PostReport(t.Context(), l.Addr().String(), nil, 1, []byte("{}")); err != nil {
		t.Error(err)
	}
	if n := <-sizes; n > 1100 || n < 500 {
		t.Errorf("the server sends segments of %d bytes", n)
	}
	<-done
}

func TestTheMatrixIsReadBack(t *testing.T) {
	s, at := newServer(t)
	c := newClient(t)
	if _, _, err := post(t, c, at, nil, 1); err != nil {
		t.Fatal(err)
	}
	m, err := c.Matrix(t.Context(), at, map[string][]string{"state": {"all"}})
	if err != nil || m.State != s.View().State().String() || len(m.Nodes) != 1 || m.Nodes[0].Agents["pod"].State != "reporting" || m.Pairs == nil {
		t.Errorf("%v %+v", err, m)
	}
	if _, err := c.Matrix(t.Context(), at, map[string][]string{"state": {"odd"}}); err == nil || !strings.Contains(err.Error(), "all, ok, degraded") {
		t.Errorf("%v", err)
	}
}

// FuzzRelayQuery asks a relay whose server does not exist for anything: it must answer an error.
func FuzzRelayQuery(f *testing.F) {
	f.Add("name=a&purpose=row&roster=1&server=127.0.0.1:1", "v1 1 2 00", "v1 0 0 00")
	f.Add("name=%zz;", "", "")
	c := client.New(client.Config{Name: "a"})
	relay := client.NewRelay(client.RelayConfig{Servers: func() []string { return nil }, MeshKeys: keys, Client: c, Log: quiet})
	f.Fuzz(func(t *testing.T, query, signature, relaySignature string) {
		r := httptest.NewRequest("POST", "/relay", strings.NewReader("x"))
		r.URL.RawQuery = query
		r.Header.Set(api.SignatureHeader, signature)
		r.Header.Set(api.RelayHeader, relaySignature)
		w := httptest.NewRecorder()
		relay.ServeHTTP(w, r)
		if w.Code < 400 {
			t.Errorf("status %d", w.Code)
		}
	})
}
