package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// overview is an answer of /api/v1/overview.
type overview struct {
	Version uint64
	Since   *uint64
	State   string
	Agents  struct{ Expected, Reporting int }
	Nodes   []struct{ Name string }
	Rows    map[string][]int
}

func (f *face) overview(since uint64) (o overview) {
	f.t.Helper()
	path := "/api/v1/overview"
	if since > 0 {
		path += "?since=" + strconv.FormatUint(since, 10)
	}
	status, body := f.get(path)
	if status != 200 {
		f.t.Fatal(status, body)
	}
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		f.t.Fatal(err, body)
	}
	return o
}

// cells reads what the rows say of every pair: source>destination → the words of its four path kinds.
func (o *overview) cells() map[string][4]string {
	out := map[string][4]string{}
	for i, from := range o.Nodes {
		row := make([]int, len(o.Nodes))
		for runs := o.Rows[strconv.Itoa(i)]; len(runs) > 0; runs = runs[3:] {
			for j := range runs[1] {
				row[runs[0]+j] = runs[2]
			}
		}
		for j, to := range o.Nodes {
			var words [4]string
			for k := range words {
				words[k] = []string{"ok", "unknown", "degraded", "failing", "none"}[row[j]>>(3*k)&7]
			}
			out[from.Name+">"+to.Name] = words
		}
	}
	return out
}

// fromMatrix makes the same of /api/v1/matrix: the worse of two families, none where there is no path.
func (f *face) fromMatrix(nodes int) map[string][4]string {
	_, body := f.get("/api/v1/matrix?state=all")
	out := map[string][4]string{}
	for i := range nodes {
		for j := range nodes {
			out[fmt.Sprintf("node%d>node%d", i+1, j+1)] = [4]string{"none", "none", "none", "none"}
		}
	}
	rank := []string{"none", "ok", "unknown", "degraded", "failing"}
	for _, p := range pairsOf(f.t.(*testing.T), body) {
		kind, _ := mesh.ParsePathKind(p.Path)
		words := out[p.Source+">"+p.Destination]
		if slices.Index(rank, p.State) > slices.Index(rank, words[kind]) {
			words[kind] = p.State
		}
		out[p.Source+">"+p.Destination] = words
	}
	return out
}

func TestTheOverviewSaysOfEveryPairWhatTheMatrixSays(t *testing.T) {
	f := troubled(t)
	o := f.overview(0)
	if got, want := o.cells(), f.fromMatrix(4); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if o.State != "failing" || o.Agents.Expected != 8 || o.Agents.Reporting != 6 || o.Since != nil {
		t.Errorf("%+v", o)
	}
}

// TestTheOverviewOfAChangingMesh has what makes rows hard to read: two families of which one fails,
// an agent that left, a node with one agent, and rows made before another node was known.
func TestTheOverviewOfAChangingMesh(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 4)
	old := c.table
	c.agents[0].IPv6, c.agents[1].IPv6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	late := testAgent(5, mesh.Host)
	c.agents = append(c.agents, late)
	for _, a := range c.agents {
		c.registry.Alive(a, epoch)
	}
	var err error
	if c.table, err = mesh.TableOf(c.registry.Roster()); err != nil {
		t.Fatal(err)
	}
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		table := c.table
		if a.Node == "node3" {
			c.table = old
		}
		row := c.row(a, func(to mesh.Key) [probe.Kinds]probe.Status {
			if a.Node == "node2" && to.Node == "node4" {
				return lost(time.Second)
			}
			return good()
		}, func(r *mesh.Row) {
			r.Leaving = a.Key == mesh.Key{Node: "node4", Network: mesh.Pod}
			if i, ok := r.Table.Find(mesh.Dest{Key: c.agents[1].Key, Family: mesh.IPv6}); ok && a.Key == c.agents[0].Key {
				s := lost(time.Second)
				r.Set(i, &s)
			}
		})
		if status, body := f.post(rowPath(a), string(c.encode(row, true))); status != 200 {
			t.Fatal(status, body)
		}
		c.table = table
	}
	o := f.overview(0)
	got, want := o.cells(), f.fromMatrix(5)
	for pair := range want {
		if got[pair] != want[pair] {
			t.Errorf("%s: got %v, want %v", pair, got[pair], want[pair])
		}
	}
	for pair, words := range map[string][4]string{"node1>node1": {"none", "ok", "failing", "none"}, "node3>node5": {"none", "none", "unknown", "unknown"},
		"node2>node4": {"unknown", "unknown", "failing", "failing"}, "node5>node5": {"none", "none", "none", "none"}} {
		if got[pair] != words {
			t.Errorf("%s: got %v, want %v", pair, got[pair], words)
		}
	}
}

func TestAChangeOfTheOverviewHoldsWhatIsNew(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 3)
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		f.post(rowPath(a), string(c.encode(c.row(a, nil), true)))
	}
	whole := f.overview(0)
	f.pass(time.Second)
	if o := f.overview(whole.Version); o.Version != whole.Version || o.Since == nil || *o.Since != whole.Version || len(o.Rows) > 0 || o.Nodes != nil {
		t.Errorf("nothing changed: %+v", o)
	}
	f.post(rowPath(c.agents[2]), string(c.encode(c.row(c.agents[2], func(mesh.Key) [probe.Kinds]probe.Status { return lost(0) }), false)))
	f.pass(time.Second)
	o := f.overview(whole.Version)
	if len(o.Rows) != 1 || o.Rows["1"] == nil || o.Nodes != nil || *o.Since != whole.Version || o.Version <= whole.Version {
		t.Errorf("%+v", o)
	}
	maps.Copy(whole.Rows, o.Rows)
	if got, want := whole.cells(), f.fromMatrix(3); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for _, strange := range []uint64{1, o.Version + 1, 1 << 60} {
		if o := f.overview(strange); o.Since != nil || len(o.Nodes) != 3 {
			t.Errorf("since %d: %+v", strange, o)
		}
	}
	f.setRoster(newCluster(t, 4).registry.Roster())
	f.pass(time.Second)
	if o := f.overview(o.Version); o.Since != nil || len(o.Nodes) != 4 {
		t.Errorf("other nodes: %+v", o)
	}
	for _, query := range []string{"since=yesterday", "since=-1", "until=3"} {
		if status, body := f.get("/api/v1/overview?" + query); status != 400 {
			t.Errorf("%s: %d %s", query, status, body)
		} else {
			mustContain(t, body, "since")
		}
	}
}

// counted is a matrix that counts how often it is looked at.
type counted struct {
	*mesh.Matrix
	views atomic.Int64
}

func (c *counted) View(now time.Time) *mesh.View {
	c.views.Add(1)
	return c.Matrix.View(now)
}

// event is one server-sent event.
type event struct{ id, kind, data string }

// follow opens a stream; its channel is closed when the stream ends.
func (f *face) follow(headers ...string) (<-chan event, context.CancelFunc) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/api/v1/events", nil)
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
	if resp.StatusCode != 200 {
		resp.Body.Close()
		stop()
		return nil, nil
	}
	out := make(chan event, 100)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		var e event
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			key, value, _ := strings.Cut(s.Text(), ": ")
			switch key {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data = value
			case "":
				out <- e
			}
		}
	}()
	return out, stop
}

func next(t *testing.T, events <-chan event) (e event, o overview) {
	t.Helper()
	select {
	case e, open := <-events:
		if !open {
			t.Fatal("the stream ended")
		}
		if err := json.Unmarshal([]byte(e.data), &o); err != nil {
			t.Fatal(err, e)
		}
		return e, o
	case <-time.After(20 * time.Second):
		t.Fatal("no event within 20 s")
	}
	return e, o
}

func TestAStreamTellsChangesAndGoesOnWhereItBroke(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 3)
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		f.post(rowPath(a), string(c.encode(c.row(a, nil), true)))
	}
	events, stop := f.follow()
	first, whole := next(t, events)
	if first.kind != "change" || whole.Since != nil || len(whole.Nodes) != 3 || first.id != fmt.Sprint(whole.Version) {
		t.Errorf("%+v", first)
	}
	if tick, o := next(t, events); tick.id != first.id || len(o.Rows) > 0 || o.Since == nil {
		t.Errorf("a tick: %+v", tick)
	}
	stop()
	f.post(rowPath(c.agents[2]), string(c.encode(c.row(c.agents[2], func(mesh.Key) [probe.Kinds]probe.Status { return lost(0) }), false)))
	f.pass(time.Second)
	events, stop = f.follow("Last-Event-ID", first.id)
	defer stop()
	if e, o := next(t, events); o.Since == nil || *o.Since != whole.Version || len(o.Rows) != 1 {
		t.Errorf("after the break: %+v", e)
	}
	f.server.EndStreams()
	for open, end := true, time.After(20*time.Second); open; {
		select {
		case _, open = <-events:
		case <-end:
			t.Fatal("the stream did not end with the server")
		}
	}
}

func TestManyStreamsCostOneLookASecond(t *testing.T) {
	m := &counted{Matrix: mesh.NewMatrix()}
	f := serve(t, func(c *api.Config) { c.Matrix, c.Now = m, nil })
	var streams []<-chan event
	for len(streams) < 100 {
		events, stop := f.follow()
		defer stop()
		streams = append(streams, events)
	}
	for _, s := range streams {
		next(t, s)
	}
	before, begun := m.views.Load(), time.Now()
	for _, s := range streams {
		next(t, s)
		next(t, s)
	}
	if looks, most := m.views.Load()-before, int64(time.Since(begun)/(900*time.Millisecond))+2; looks > most {
		t.Errorf("%d looks at the matrix in %v for %d streams, want at most %d", looks, time.Since(begun), len(streams), most)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	f := serve(t, nil)
	open := 0
	for ; open < 300; open++ {
		events, stop := f.follow()
		if events == nil {
			break
		}
		defer stop()
	}
	if open != 256 {
		t.Errorf("%d streams open, want 256", open)
	}
	status, body, header := f.do(http.MethodGet, "/api/v1/events", nil)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", status, body, header)
	}
	mustContain(t, body, "/api/v1/overview")
	if status, _ := f.get("/api/v1/overview"); status != 200 {
		t.Errorf("overview: %d", status)
	}
}

func TestLatencyIsAByteAPair(t *testing.T) {
	f := troubled(t)
	status, body := f.get("/api/v1/latency?path=pod-to-host")
	var l struct {
		Nodes []string
		Rows  [][]byte
	}
	if err := json.Unmarshal([]byte(body), &l); err != nil || status != 200 || len(l.Nodes) != 4 || len(l.Rows) != 4 {
		t.Fatal(status, body, err)
	}
	want := byte(1 + math.Round(math.Log2(300)*10.5)) // 300 µs
	for i, row := range l.Rows {
		for j, v := range row {
			silent := i == 3 // node4 does not report
			if silent && v != 0 || !silent && v != want {
				t.Errorf("%s to %s: %d, want %d", l.Nodes[i], l.Nodes[j], v, want)
			}
		}
	}
	for _, query := range []string{"", "?path=all", "?path=pod-to-pod&node=node1"} {
		if status, body := f.get("/api/v1/latency" + query); status != 400 {
			t.Errorf("%q: %d %s", query, status, body)
		}
	}
}

// remembered is a history of one moment.
type remembered struct {
	api.History
	at    time.Time
	view  *mesh.View
	found []diagnose.Finding
}

func (r remembered) View(_ context.Context, at time.Time) (*mesh.View, error) {
	if !at.Equal(r.at) {
		return nil, api.NotKept{At: at, Since: r.at, Until: r.at}
	}
	return r.view, nil
}

func (r remembered) Findings(time.Time) ([]diagnose.Finding, error) { return r.found, nil }

func TestTheOverviewOfAMoment(t *testing.T) {
	then := troubled(t)
	f := serve(t, func(c *api.Config) {
		c.History = remembered{at: epoch.Add(-time.Hour), view: then.server.View(), found: []diagnose.Finding{{ID: "7", Kind: diagnose.NodeDown}}}
	})
	status, body := f.get("/api/v1/overview?at=1h")
	var o overview
	if err := json.Unmarshal([]byte(body), &o); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	if got, want := o.cells(), then.fromMatrix(4); !maps.Equal(got, want) || o.Since != nil {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	mustContain(t, body, `"findings":[{"kind":"node_down"`)
	for query, says := range map[string]string{"at=2h": "remembered is", "at=1h&since=1": "want one of them", "at=tomorrow": "want a time"} {
		if status, body := f.get("/api/v1/overview?" + query); status != 400 {
			t.Errorf("%s: %d %s", query, status, body)
		} else {
			mustContain(t, body, says)
		}
	}
	if status, body := serve(t, nil).get("/api/v1/overview?at=1h"); status != 404 {
		t.Errorf("without a history: %d %s", status, body)
	}
}

// The round trip of a path that fails is the last one that came back, perhaps hours ago.
func TestAFailingPathHasNoRoundTrip(t *testing.T) {
	f, c := serve(t, nil), newCluster(t, 2)
	f.setRoster(c.registry.Roster())
	row := c.row(c.agents[0], func(to mesh.Key) [probe.Kinds]probe.Status {
		if to.Node == "node1" {
			return good()
		}
		s := lost(time.Hour)
		s[probe.UDP].RTT = 300 * time.Microsecond
		return s
	})
	if status, body := f.post(rowPath(c.agents[0]), string(c.encode(row, true))); status != 200 {
		t.Fatal(status, body)
	}
	for kind, want := range map[string][]byte{"pod-to-pod": {0, 0}, "pod-to-host": {byte(1 + math.Round(math.Log2(300)*10.5)), 0}} {
		var l struct{ Rows [][]byte }
		_, body := f.get("/api/v1/latency?path=" + kind)
		if err := json.Unmarshal([]byte(body), &l); err != nil || len(l.Rows) != 2 || !slices.Equal(l.Rows[0], want) {
			t.Errorf("%s: %s, %v, want %d from node1", kind, body, err, want)
		}
	}
}
