package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	epoch  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// source is a server of fixed words.
type source struct {
	matrix *mesh.Matrix
	now    time.Time
	series []api.AgentSeries
	err    error
	// current says that the list of pods is.
	current bool
	open    []diagnose.Finding
}

func (s *source) View() *mesh.View { return s.matrix.View(s.now) }
func (s *source) AgentSeries(context.Context) ([]api.AgentSeries, error) {
	return s.series, s.err
}
func (s *source) Reports() api.Intake { return api.Intake{Accepted: 12, Bytes: 40000} }
func (s *source) Rows() api.Intake {
	in := api.Intake{Accepted: 700, Relayed: 3, Bytes: 99}
	in.Refused[api.Replayed] = 2
	return in
}
func (s *source) StoreErr() error { return nil }
func (s *source) PodsStale() error {
	if s.current {
		return nil
	}
	return errors.New("pods are those of an hour ago")
}
func (s *source) StoreStats() api.StoreStats {
	return api.StoreStats{Kind: "etcd", Writes: 5, Errors: 1, Unwritten: 2, Age: 1500 * time.Millisecond, Bound: time.Second}
}
func (s *source) Enrolments() api.Enrolments {
	e := api.Enrolments{Enabled: true, Granted: 6, Waiting: 3}
	e.Refused[api.EnrolToken] = 2
	return e
}
func (s *source) HistoryErr() error            { return nil }
func (s *source) Findings() []diagnose.Finding { return s.open }
func (s *source) Conflicts() map[string]api.Conflict {
	return map[string]api.Conflict{"agent-pod-1": {}}
}

func agent(node int, network mesh.Network) mesh.Agent {
	return mesh.Agent{Name: fmt.Sprintf("agent-%s-%d", network, node), Zone: []string{"zone1", ""}[node%2], Key: mesh.Key{Node: fmt.Sprintf("node%d", node), Network: network},
		IPv4: netip.AddrFrom4([4]byte{10, 244, byte(network), byte(node)}), ProbePort: 8095, GossipPort: 8096, Boot: 1}
}

// newSource is a cluster of n nodes of which node1's pod loses everything to node2's pod, and says
// so of 19 % of the way to node2's host; the last node's agents never reported.
func newSource(t testing.TB, n int) *source {
	t.Helper()
	registry := mesh.NewRegistry(time.Hour, time.Minute)
	var agents []mesh.Agent
	for i := 1; i <= n; i++ {
		for network := range mesh.Network(mesh.Networks) {
			agents = append(agents, agent(i, network))
			registry.Alive(agents[len(agents)-1], epoch)
		}
	}
	s := &source{matrix: mesh.NewMatrix(), now: epoch}
	roster := registry.Roster()
	s.matrix.SetRoster(roster, epoch)
	table, err := mesh.TableOf(roster)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range agents[:len(agents)-2] {
		r := mesh.NewRow(a, table)
		r.Sequence, r.Interval = 1, time.Second
		for i := range table.Len() {
			if to := table.Dest(i).Key; to != a.Key {
				status := path(a.Key.String() + " " + to.String())
				r.Set(i, &status)
			}
		}
		if a.Key.String() == "node1/pod" {
			r.Services = []probe.Service{
				{Name: "dns-vip", Kind: probe.ServiceDNSUDP, State: probe.OK},
				{Name: "dns-vip", Kind: probe.ServiceDNSUDP, State: probe.Failing},
				{Name: "server", Kind: probe.ServiceHTTP, State: probe.Failing},
				{Name: "odd\xff", Kind: probe.ServiceTCP, State: probe.Degraded},
				{Name: "new", Kind: probe.ServiceTCP}}
		}
		r.Seal()
		if err := s.matrix.Put(r, "", epoch); err != nil {
			t.Fatal(err)
		}
	}
	s.series = []api.AgentSeries{
		{Label: "node1-host_network", Reports: 3},
		{Label: "node1-private_network", Reports: 7, Missed: 2, Probes: (&api.Report{}).Series()},
	}
	return s
}

func path(between string) (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond}
	}
	switch between {
	case "node1/pod node2/pod":
		for k := range s {
			// The agent goes on telling the last round trip, of before.
			s[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: 200, Return: probe.LossUnknown, RTT: 300 * time.Microsecond}
		}
	case "node1/pod node2/host":
		s[probe.UDP] = probe.Status{State: probe.Degraded, Code: probe.CodeLoss, Loss: 38, Forward: 38, RTT: time.Millisecond}
		s[probe.ICMP] = probe.Status{State: probe.Unknown, Code: probe.CodeOff}
	}
	return s
}

// compare holds a collector's series against a golden file and the linter of the naming rules.
// (testutil.GatherAndCompare would do, for one more module to depend on.)
func compare(t *testing.T, name string, c prometheus.Collector) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	golden, w := filepath.Join("testdata", name), httptest.NewRecorder()
	expose(registry).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if *update {
		if err := os.WriteFile(golden, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(w.Body.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if got, want := at(gotLines, i), at(wantLines, i); got != want {
			t.Fatalf("%s:%d: got\n%s\nwant\n%s", golden, i+1, got, want)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "ncagent_") { // those names are the original's
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "the end"
}

// count is the number of a collector's series of one name.
func count(t *testing.T, c prometheus.Collector, name string) int {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.Metric)
		}
	}
	return 0
}

func TestTheServersSeries(t *testing.T) {
	s := newSource(t, 3)
	nan := (&api.Report{NetworkProbes: []probe.HTTPResult{
		{URL: "http://netchecker-service:8081/api/v1/ping", ConnectionResult: 1, HTTPCode: 200, Total: 9223372036854, TCPConnection: 2,
			DNSLookup: 3, Connect: 5, ServerProcessing: 1},
		{URL: "http://a\"b\n/", Total: 9},
	}}).Series()
	s.series[1].Probes = nan
	compare(t, "server.prom", NewServerCollector(s, "1.2.3", 30))
}

func TestBeyondTheLimitOnlyPathsThatAreNotOKHaveSeries(t *testing.T) {
	s := newSource(t, 4)
	all := count(t, NewServerCollector(s, "", 4), "netchecker_path_up")
	few := count(t, NewServerCollector(s, "", 3), "netchecker_path_up")
	if all != 6*7*4-1 || few != 7 {
		t.Errorf("%d series for all paths, %d for those that are not ok", all, few)
	}
	all = count(t, NewServerCollector(s, "", 4), "netchecker_path_state")
	few = count(t, NewServerCollector(s, "", 3), "netchecker_path_state")
	if all != 8*7 || few != 2 { // the silent node's are unknown, which is a state
		t.Errorf("the states of %d paths among all, of %d among those that are not ok", all, few)
	}
	if n := count(t, NewServerCollector(s, "", 3), "netchecker_node_paths"); n != 4*2*4 {
		t.Errorf("%d series of nodes", n)
	}
}

func TestNoSeriesOutlivesItsNode(t *testing.T) {
	s := newSource(t, 3)
	c := NewServerCollector(s, "", 30)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	if n := mentions(t, registry, "node3"); n == 0 {
		t.Fatal("node3 is not there")
	}
	small := mesh.NewRegistry(time.Hour, time.Minute)
	for i := 1; i <= 2; i++ {
		small.Alive(agent(i, mesh.Pod), epoch)
		small.Alive(agent(i, mesh.Host), epoch)
	}
	s.matrix.SetRoster(small.Roster(), epoch)
	if n := mentions(t, registry, "node3"); n != 0 {
		t.Errorf("%d series of a node that is gone", n)
	}
	s.series = nil
	if n := mentions(t, registry, "_network"); n != 0 {
		t.Errorf("%d series of agents that are gone", n)
	}
}

func mentions(t *testing.T, g prometheus.Gatherer, word string) (n int) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if strings.Contains(l.GetValue(), word) {
					n++
				}
			}
		}
	}
	return n
}

func TestABrokenStoreTakesOnlyItsOwnSeriesAway(t *testing.T) {
	s := newSource(t, 2)
	s.series, s.err = nil, errors.New("etcd is down")
	w := httptest.NewRecorder()
	Server(s, "v", 30).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	for _, want := range []string{"netchecker_store_up 0", "netchecker_paths{", "go_goroutines", "process_open_fds", "netchecker_build_info"} {
		if w.Code != 200 || !strings.Contains(body, want) {
			t.Errorf("status %d, no %s", w.Code, want)
		}
	}
}

// A server that may not list pods, or that started while the API server was away.
func TestPodsThatWereNeverListedAreNoFaultOfTheStore(t *testing.T) {
	s := newSource(t, 2)
	s.current, s.series, s.err = true, nil, fmt.Errorf("%w: pods were not listed yet: forbidden", api.ErrPodsUnknown)
	w := httptest.NewRecorder()
	Server(s, "v", 30).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"netchecker_store_up 1", "netchecker_pods_current 0"} {
		if body := w.Body.String(); !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

func TestTheAgentsSeries(t *testing.T) {
	a := NewAgent("1.2.3", func() AgentSnapshot {
		return AgentSnapshot{Self: mesh.Key{Node: "node1", Network: mesh.Pod}, Doubt: probe.DoubtLag,
			Probes: probe.Stats{Sent: [4]uint64{100, 50, 10, 0}, Received: [4]uint64{90, 50, 10, 0}, Lost: [4]uint64{10, 0, 0, 0},
				Late: 1, Bad: 2, Dropped: 3, Unsent: 4, MaxLag: 70 * time.Millisecond},
			Paths:    []AgentPath{{Destination: mesh.Key{Node: "node2", Network: mesh.Host}, Probes: path("node1/pod node2/host")}},
			Services: []probe.Service{{Name: "dns", Kind: probe.ServiceDNSUDP, State: probe.OK}},
			Gossip:   GossipStats{Members: 10, Joins: 2, JoinsFailed: 1, PacketsSent: 5, BytesSent: 500},
			Direct:   20, Relayed: 2, Undelivered: 1, RelayDone: 4, RelayRefused: 1}
	})
	compare(t, "agent.prom", a)
	a.ObserveRTT(mesh.PodToHost, probe.UDP, 300*time.Microsecond)
	a.ObserveRTT(mesh.PodToHost, probe.UDP, 310*time.Microsecond)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(a)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "netchecker_agent_rtt_seconds" {
			if h := f.Metric[0].GetHistogram(); h.GetSampleCount() != 2 || len(h.GetPositiveSpan()) == 0 {
				t.Errorf("histogram %v", h)
			}
			return
		}
	}
	t.Error("no histogram")
}

// apart is a cluster of n nodes of which all paths fail but those of the last one, which nobody reports.
func apart(t testing.TB, n int) *source {
	s := newSource(t, n)
	registry := mesh.NewRegistry(time.Hour, time.Minute)
	for i := 1; i <= n; i++ {
		for network := range mesh.Network(mesh.Networks) {
			registry.Alive(agent(i, network), epoch)
		}
	}
	table, err := mesh.TableOf(registry.Roster())
	if err != nil {
		t.Fatal(err)
	}
	dead := path("node1/pod node2/pod")
	for i := 1; i < n; i++ {
		for network := range mesh.Network(mesh.Networks) {
			r := mesh.NewRow(agent(i, network), table)
			r.Sequence, r.Interval = 2, time.Second
			for at := range table.Len() {
				r.Set(at, &dead)
			}
			r.Seal()
			if err := s.matrix.Put(r, "", epoch); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func TestOfTooManyBadPathsTheOthersAreCounted(t *testing.T) {
	c := NewServerCollector(apart(t, 60), "", 30)
	if n := count(t, c, "netchecker_path_state"); n != maxPairs {
		t.Errorf("%d paths have series, want %d", n, maxPairs)
	}
	w := httptest.NewRecorder()
	handler(c).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if want := fmt.Sprint("netchecker_paths_without_series ", 59*2*(2*60-1)-maxPairs, "\n"); !strings.Contains(w.Body.String(), want) {
		t.Errorf("want %s", want)
	}
}

// BenchmarkScrapeApart1000 is a scrape of 1,000 nodes all of whose four million paths fail.
func BenchmarkScrapeApart1000(b *testing.B) { benchScrape(b, apart(b, 1000)) }

// BenchmarkScrape30 is a scrape of the largest cluster with a series for every path.
func BenchmarkScrape30(b *testing.B) { benchScrape(b, newSource(b, 30)) }

func benchScrape(b *testing.B, s Source) {
	h := Server(s, "v", 30)
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		b.ReportMetric(float64(w.Body.Len())/1e6, "MB")
	}
}
