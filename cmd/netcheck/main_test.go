package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"netchecker/api"
	"netchecker/api/history"
	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	epoch  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // what is printed is local time
	os.Exit(m.Run())
}

// world is a server of fixed words over three nodes. What is sent to node3's pod is lost when it is broken.
type world struct {
	t       *testing.T
	url     string
	matrix  *mesh.Matrix
	history *history.History
	trips   *mesh.Trips
	agents  []mesh.Agent
	table   *mesh.Table
	row     uint64

	mu   sync.Mutex
	now  time.Time
	open []diagnose.Finding
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, matrix: mesh.NewMatrix(), trips: &mesh.Trips{}, now: epoch}
	registry := mesh.NewRegistry(time.Hour, time.Hour)
	for i := 1; i <= 3; i++ {
		for n := range mesh.Network(mesh.Networks) {
			a := mesh.Agent{Name: fmt.Sprintf("agent-%s-%d", n, i), Key: mesh.Key{Node: fmt.Sprint("node", i), Network: n},
				IPv4: netip.AddrFrom4([4]byte{10, 244 + byte(n), byte(i), 2}), ProbePort: 8095, GossipPort: 8096, Boot: 1}
			w.agents = append(w.agents, a)
			registry.Alive(a, epoch)
		}
	}
	roster := registry.Roster()
	w.matrix.SetRoster(roster, epoch)
	var err error
	if w.table, err = mesh.TableOf(roster); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	if w.history, err = history.Open(history.Config{Log: &store.MemoryLog{}, MaxBytes: 1 << 20, MaxAge: time.Hour, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Config{Store: store.NewMemory(), Matrix: w.matrix, Auth: api.AuthNone, Log: quiet, Now: w.clock, History: w.history, Trips: w.trips,
		Roster: func() *mesh.Roster { return roster }, Findings: func() []diagnose.Finding { w.mu.Lock(); defer w.mu.Unlock(); return w.open }})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	w.url = web.URL
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets a second go by, in which every agent reports.
func (w *world) pass(broken bool) {
	w.t.Helper()
	w.mu.Lock()
	w.now = w.now.Add(time.Second)
	now, open := w.now, w.open
	w.mu.Unlock()
	w.row++
	for _, a := range w.agents {
		r := mesh.NewRow(a, w.table)
		r.Sequence, r.Interval = w.row, time.Second
		for i := range w.table.Len() {
			to := w.table.Dest(i).Key
			if to == a.Key {
				continue
			}
			var s [probe.Kinds]probe.Status
			for k := range s {
				s[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond}
				if broken && to.String() == "node3/pod" && a.Node != "node3" {
					s[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: 200, Return: probe.LossUnknown, Age: time.Second}
				}
			}
			r.Set(i, &s)
		}
		r.Seal()
		r.Evidence = evidenceOf(a, now)
		if err := w.matrix.Put(r, "", now); err != nil {
			w.t.Fatal(err)
		}
	}
	w.history.Record(w.matrix.View(now), open, now)
}

// evidenceOf is what an agent reads of its node; node3 does not forward, and its tunnel's port is another.
func evidenceOf(a mesh.Agent, now time.Time) *probe.Snapshot {
	s := &probe.Snapshot{At: now, Interval: 30 * time.Second, Sysctls: map[string]int64{"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 0}}
	s.Links = []probe.Link{{Name: "eth0", Up: true, LowerUp: true, MTU: 1500, Addrs: []netip.Prefix{netip.PrefixFrom(a.IPv4, 24)}},
		{Name: "flannel.1", Kind: "vxlan", Up: true, LowerUp: true, MTU: 1450, VXLAN: &probe.VXLAN{ID: 1, Port: 8472, Local: a.IPv4}}}
	s.Counters[probe.IPInDiscards] = probe.Count{Known: true, Growth: 1}
	if a.Node == "node3" {
		s.Sysctls["net.ipv4.ip_forward"], s.Links[1].VXLAN.Port = 0, 4789
		s.Counters[probe.IPInDiscards].Growth = 900
	}
	return s
}

// story is three good seconds, five bad ones with a finding, and, if it ended, three good ones.
func (w *world) story(ended bool) {
	f := diagnose.Finding{ID: "f1", Kind: diagnose.ForwardingBroken, Cause: diagnose.IPForwardOff, Severity: diagnose.Critical, Since: epoch.Add(4 * time.Second),
		Summary: "node3 does not forward packets between its pods and the network. Set net.ipv4.ip_forward to 1.", Confidence: 0.9, Explains: 4,
		Location: diagnose.Location{Scope: diagnose.ScopeNode, Nodes: []string{"node3"}, Culprit: "node3", Network: "pod"},
		Evidence: []diagnose.Fact{{Node: "node3", Fact: "net.ipv4.ip_forward", Value: "0", Expected: "1"}}, Check: "sysctl net.ipv4.ip_forward"}
	for range 3 {
		w.pass(false)
	}
	w.pass(true)
	w.mu.Lock()
	w.open = []diagnose.Finding{f}
	w.mu.Unlock()
	w.history.Note(f, w.clock())
	for range 4 {
		w.pass(true)
	}
	if !ended {
		return
	}
	w.mu.Lock()
	w.open = nil
	w.mu.Unlock()
	closed := w.clock().Add(time.Second)
	f.ClosedAt = &closed
	w.history.Note(f, closed)
	for range 3 {
		w.pass(false)
	}
}

// types runs netcheck; stderr goes behind stdout.
func (w *world) types(args ...string) (int, string) {
	w.t.Helper()
	return typed(func(name string) string { return map[string]string{"NETCHECKER_SERVER": w.url}[name] }, w.clock, args...)
}

func typed(getenv func(string) string, now func() time.Time, args ...string) (int, string) {
	return typedAs("netcheck", getenv, now, args...)
}

func typedAs(program string, getenv func(string) string, now func() time.Time, args ...string) (int, string) {
	var out bytes.Buffer
	root, end := rootAt(program, getenv, now)
	defer end()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := execute(context.Background(), root)
	status, said := exitStatus(err)
	if said {
		fmt.Fprintf(&out, "netcheck: %v\n", err)
	}
	return status, out.String()
}

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

func TestWhatCommandsPrint(t *testing.T) {
	broken, healed := newWorld(t), newWorld(t)
	broken.story(false)
	healed.story(true)
	for name, c := range map[string]struct {
		w    *world
		args string
	}{
		"matrix.txt":           {broken, "matrix"},
		"matrix-wide.txt":      {broken, "matrix -o wide --source node1 --destination node3"},
		"matrix-at.txt":        {healed, "matrix --at 2026-01-01T00:00:06Z"},
		"pairs.txt":            {broken, "pairs"},
		"pairs-wide.txt":       {broken, "pairs -o wide --path pod-to-pod"},
		"pairs.csv":            {broken, "pairs -o csv"},
		"pairs-none.txt":       {healed, "pairs"},
		"pairs-none-from.txt":  {broken, "pairs --source node3"},
		"pairs-none-state.txt": {broken, "pairs --source node3 --state failing"},
		"findings.txt":         {broken, "findings"},
		"findings-wide.txt":    {broken, "findings -o wide"},
		"findings-none.txt":    {healed, "findings"},
		"findings-since.txt":   {healed, "findings --since 10m"},
		"findings-at.txt":      {healed, "findings --at 2026-01-01T00:00:06Z"},
		"explain-node.txt":     {broken, "explain node3"},
		"explain-pair.txt":     {broken, "explain node1 node3"},
		"explain-healthy.txt":  {healed, "explain node1"},
		"explain-wide.txt":     {broken, "explain node3 -o wide"},
		"history-wide.txt":     {healed, "history -o wide"},
		"history.txt":          {healed, "history"},
		"history-node.txt":     {healed, "history --source node1 --path host-to-pod"},
		"history-part.txt":     {healed, "history --limit 2 --since 1h"},
	} {
		status, out := c.w.types(strings.Fields(c.args)...)
		if status != 0 {
			t.Errorf("%s: status %d: %s", c.args, status, out)
		}
		golden(t, name, out)
	}
	for _, command := range []string{"matrix", "pairs", "findings", "history", "explain node3"} {
		status, out := broken.types(append(strings.Fields(command), "-o", "json")...)
		if status != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%s: status %d, no JSON: %s", command, status, out)
		}
		status, out = broken.types(append(strings.Fields(command), "-o", "csv")...)
		if lines, err := csv.NewReader(strings.NewReader(out)).ReadAll(); status != 0 || err != nil || len(lines) < 2 {
			t.Errorf("%s: status %d, no CSV: %v: %s", command, status, err, out)
		}
	}
}

func TestCheckEndsWithItsVerdict(t *testing.T) {
	broken, healed := newWorld(t), newWorld(t)
	broken.story(false)
	healed.story(true)
	empty := newWorld(t)
	info := newWorld(t)
	info.pass(false)
	info.open = []diagnose.Finding{{Severity: diagnose.Info, Summary: "icmp is filtered"}}
	warned := newWorld(t)
	warned.pass(false)
	warned.open = []diagnose.Finding{{Severity: diagnose.Warning, Summary: "DNS fails\x1b[31m"}}
	for _, c := range []struct {
		w      *world
		args   string
		status int
		says   string
	}{
		{healed, "check", 0, "ok: 30 paths between 3 nodes\n"},
		{healed, "check --nodes 3 --wait 1s", 0, "ok: "},
		{healed, "check --nodes 4", 1, "cannot tell: 3 nodes report, 4 are asked for\n"},
		{broken, "check", 2, "failing: node3 does not forward"},
		{empty, "check", 1, "cannot tell: 30 of 30 paths are unknown\n"},
		{info, "check", 0, "ok: "},
		{warned, "check", 2, "failing: DNS fails?[31m\n"},
		{healed, "check --server http://127.0.0.1:1", 1, "cannot tell: http://127.0.0.1:1: "},
		{healed, "check --server example", 1, "netcheck: --server \"example\": want a URL"},
		{healed, "check --server-ca /nowhere", 1, "netcheck: --server-ca: open /nowhere"},
		{healed, "check --kubeconfig /nowhere", 1, "netcheck: kubeconfig \"/nowhere\": "},
		{healed, "check --nonsense", 1, "netcheck: unknown flag: --nonsense\n"},
		{healed, "check now", 1, "netcheck: unknown command \"now\""},
		{healed, "check --wait -1s", 1, "netcheck: --wait"},
	} {
		if status, out := c.w.types(strings.Fields(c.args)...); status != c.status || !strings.HasPrefix(out, c.says) {
			t.Errorf("%s: status %d, want %d: %s", c.args, status, c.status, out)
		}
	}
}

// When thousands of nodes fall apart the list of failing paths has gigabytes: the verdict must not wait for it.
func TestCheckNeedsNoListOfWhatFails(t *testing.T) {
	w := newWorld(t)
	w.story(false)
	server, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(server)
	front := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/matrix" {
			behind.ServeHTTP(to, r)
			return
		}
		for to.Write([]byte(`{"pairs":[`)); r.Context().Err() == nil; {
			to.Write([]byte(strings.Repeat(`{"state":"failing"},`, 1000))) // until the reader has gone
		}
	}))
	defer front.Close()
	there := &world{t: t, url: front.URL}
	if status, out := there.types("check", "--wait", "1s"); status != 2 || !strings.HasPrefix(out, "failing: node3 does not forward") {
		t.Errorf("status %d: %.200s", status, out)
	}
}

func TestCheckWaitsForASilentServerNoLongerThanItIsTold(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	w := &world{t: t, url: silent.URL}
	for wait, want := range map[string]string{"1s": "2s", "3s": "3s"} {
		if status, out := w.types("check", "--wait", wait); status != 1 || out != "cannot tell: "+silent.URL+": no answer within "+want+"\n" {
			t.Errorf("--wait %s: status %d: %s", wait, status, out)
		}
	}
}

// Whoever reads csv does not know in which zone it was written, nor that an hour of the night came twice.
func TestTimesInCSVAreThoseOfTheServer(t *testing.T) {
	w := newWorld(t)
	w.story(true)
	if got := (&output{form: formCSV}).moment(epoch.In(time.FixedZone("away", 5*3600))); got != "2026-01-01T00:00:00.000Z" {
		t.Errorf("a time elsewhere: %q", got)
	}
	for args, columns := range map[string][]string{"pairs --state all": {"since"}, "findings --since 1h": {"since", "ended"}, "history": {"time"}, "explain node1 node3": {"since"}, "matrix --state all": {"since"}} {
		_, out := w.types(append(strings.Fields(args), "-o", "csv")...)
		lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(lines) < 2 {
			t.Fatalf("%s: %v: %s", args, err, out)
		}
		for _, column := range columns {
			at := slices.Index(lines[0], column)
			for _, line := range lines[1:] {
				if when, err := time.Parse("2006-01-02T15:04:05.000Z", line[at]); line[at] != "" && (err != nil || when.Before(epoch) || when.After(epoch.Add(time.Minute))) {
					t.Errorf("%s: %s %q", args, column, line[at])
				}
			}
		}
	}
}

func TestTheHistoryHasNoMoreChangesThanAskedFor(t *testing.T) {
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		changes := strings.Repeat(`{"at":"2026-01-01T00:00:01.000Z","source":"a","destination":"b","path":"pod-to-pod","from":"ok","state":"failing"},`, n)
		fmt.Fprintf(w, `{"since":"2026-01-01T00:00:00.000Z","until":"2026-01-01T00:00:02.000Z","complete":true,"changes":[%s],"agents":[],"findings":[],"next":"1-1"}`,
			strings.TrimSuffix(changes, ","))
	}))
	defer pages.Close()
	w := &world{t: t, url: pages.URL}
	status, out := w.types("history", "--limit", "10003", "-o", "csv")
	if lines := strings.Count(out, "pod-to-pod"); status != 0 || lines != 10003 {
		t.Errorf("status %d, %d changes, want 10003", status, lines)
	}
}

func TestErrorsAreOneClearLine(t *testing.T) {
	w := newWorld(t)
	w.story(false)
	for args, want := range map[string]string{
		"matrix --state bad":                `state "bad": want one of all, ok, degraded, failing, unknown`,
		"matrix -o yaml":                    `-o "yaml": want one of table, wide, json, csv`,
		"matrix --at soon":                  `at "soon": want a time such as`,
		"matrix --at 48h":                   "remembered is what happened from 2026-01-01T00:00:01.000Z to 2026-01-01T00:00:08.000Z",
		"findings --at -5m":                 "lies in the future, it is 2026-01-01T00:00:08.000Z",
		"findings --since 1h --at 1h":       "at and since: want one of them",
		"history --since 5s --until 1h":     "lies before since",
		"history --limit 0":                 "--limit 0: want at least 1",
		"history --source nobody/node":      "source",
		"explain":                           "explain: want a node, or a source and a destination, not 0 names",
		"explain nobody":                    `node "nobody": no such node, there are 3: node1, node2, node3`,
		"pairs --server example":            `--server "example": want a URL such as`,
		"pairs --server http://u:p@[::1":    `--server "…@[::1": want a URL such as`,
		"pairs --server-ca /nowhere":        "--server-ca: open /nowhere",
		"watch --every 1ms":                 "--every 1ms: want at least 100ms",
		"frobnicate":                        `unknown command "frobnicate" for "netcheck": want one of check, completion, demo, explain, findings, help, history, matrix, pairs, watch` + "\n",
		"pairz":                             `unknown command "pairz" for "netcheck": want one of check, `,
		"pairs --server http://u:p@127.1:1": "http://u:xxxxx@127.1:1: ",
	} {
		status, out := w.types(strings.Fields(args)...)
		if status == 0 || !strings.HasPrefix(out, "netcheck: ") || !strings.Contains(out, want) || strings.Count(out, "\n") != 1 || strings.Contains(out, "u:p@") {
			t.Errorf("%s: status %d: %s", args, status, out)
		}
	}
}

func TestColourIsForTerminalsAndColoursStatesAlone(t *testing.T) {
	o := &output{colour: true}
	for line, want := range map[string]string{
		"FAILING  2026":       "\x1b[31mFAILING\x1b[0m  2026",
		"critical: the node":  "\x1b[31mcritical\x1b[0m: the node",
		"node1  ok":           "node1  \x1b[32mok\x1b[0m",
		"nothing to see here": "nothing to see here",
	} {
		if got := o.paint(line); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
	w := newWorld(t)
	w.story(false)
	if _, out := w.types("matrix"); strings.Contains(out, "\x1b") {
		t.Error("a buffer is no terminal, and got colours")
	}
}

func TestLongWaitsAreTold(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprint(w, `{"findings":[]}`)
	}))
	defer slow.Close()
	told := &syncBuffer{release: release}
	s := &asker{progress: &progress{w: told}}
	if err := s.openURL("--server", slow.URL); err != nil {
		t.Fatal(err)
	}
	var list findingList
	if err := s.read(t.Context(), "/api/v1/findings", nil, &list); err != nil || !strings.HasPrefix(told.String(), "\r1s  waiting for "+slow.URL) || !strings.HasSuffix(told.String(), "\r\x1b[K") {
		t.Errorf("told %q, %v", told, err)
	}
}

// syncBuffer releases who waits when it is told something.
type syncBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	once    sync.Once
	release chan struct{}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.once.Do(func() { close(b.release) })
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestNodesComplete(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	for _, args := range [][]string{{"explain", ""}, {"explain", "node1", ""}, {"pairs", "--source", ""}} {
		if _, out := w.types(append([]string{cobra.ShellCompRequestCmd}, args...)...); !strings.HasPrefix(out, "node1\nnode2\nnode3\n") {
			t.Errorf("%q: %s", args, out)
		}
	}
}

func TestWatchWithoutATerminalPrintsWhatChanges(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	var out bytes.Buffer
	show := (&output{w: &out}).changes()
	look := func() {
		var text strings.Builder
		s := &asker{}
		if err := s.openURL("--server", w.url); err != nil {
			t.Fatal(err)
		}
		err := s.get(t.Context(), "/api/v1/matrix", map[string][]string{"format": {"text"}}, &text)
		if err := show(text.String(), err); err != nil {
			t.Fatal(err)
		}
	}
	for _, broken := range []bool{false, false, true, true, false} {
		w.pass(broken)
		look()
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "OK 3 nodes") || !strings.Contains(lines[1], "30 paths: 26 ok, 0 degraded, 4 failing, 0 unknown") {
		t.Errorf("printed\n%s", out.String())
	}
}

// TestExplainSaysOfASilentNodeWhatOthersKnow: what nobody reports is a line, not a page that hides the rest.
func TestExplainSaysOfASilentNodeWhatOthersKnow(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	w.agents = slices.DeleteFunc(w.agents, func(a mesh.Agent) bool { return a.Node == "node3" })
	for range 5 {
		w.pass(true)
	}
	status, out := w.types("explain", "node3")
	if status != 0 || !strings.Contains(out, "\n  failing   node1 -> node3 pod-to-pod") || !strings.Contains(out, "\n  unknown   10 paths: nobody fresh reports them\n") ||
		strings.Contains(out, "unknown   node3 ->") {
		t.Errorf("status %d: %s", status, out)
	}
	var e api.Explanation
	if _, out = w.types("explain", "node3", "-o", "json"); json.Unmarshal([]byte(out), &e) != nil || len(e.Pairs) != 14 {
		t.Fatalf("%d paths: %s", len(e.Pairs), out)
	}
	for i, p := range e.Pairs {
		if failing := strings.Contains(string(p), `"path":"pod-to-pod","family":"ipv4","state":"failing"`) || strings.Contains(string(p), `"path":"host-to-pod","family":"ipv4","state":"failing"`); failing != (i < 4) {
			t.Errorf("path %d: %s", i, p)
		}
	}
}
