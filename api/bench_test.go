package api_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/probe"
)

// discard is a response writer that keeps nothing.
type discard struct {
	header http.Header
	n      int64
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

func benchServer(b *testing.B, nodes, badOneIn int) (*api.Server, *mesh.Matrix, *cluster) {
	c := newCluster(b, nodes)
	m := mesh.NewMatrix()
	m.SetRoster(c.registry.Roster(), epoch)
	n := 0
	for _, a := range c.agents {
		row := c.row(a, func(mesh.Key) [probe.Kinds]probe.Status {
			if n++; badOneIn > 0 && n%badOneIn == 0 {
				return lost(time.Minute)
			}
			return good()
		})
		if err := m.Put(row, "", epoch); err != nil {
			b.Fatal(err)
		}
	}
	s, err := api.New(api.Config{Store: store.NewMemory(), Matrix: m, Auth: api.AuthNone, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return epoch }})
	if err != nil {
		b.Fatal(err)
	}
	return s, m, c
}

// cpuTime is what the process has used: on a busy machine the clock tells more of its other work.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOldReport takes in a report of the original agent, 3.5 KB with its padding, without the
// network: goal 120 µs.
func BenchmarkOldReport(b *testing.B) {
	s, _, _ := benchServer(b, 1, 0)
	h := s.Handler()
	body := oldReport("netchecker-agent-x1", "node1", 60)
	body = strings.Replace(body, `"zero_extender":[0,0,0]`, `"zero_extender":[`+strings.Repeat("0,", 1499)+`0]`, 1)
	began := cpuTime()
	for b.Loop() {
		w := &discard{header: http.Header{}}
		h.ServeHTTP(w, httptest.NewRequest("POST", "/api/v1/agents/netchecker-agent-x1", strings.NewReader(body)))
	}
	b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(len(body)), "bytes")
	if s.Reports().Accepted == 0 {
		b.Fatal("nothing was taken")
	}
}

// BenchmarkMatrixJSON200 encodes all 159,600 paths of 200 nodes: goal 100 ms.
func BenchmarkMatrixJSON200(b *testing.B) { benchMatrix(b, "state=all", 200) }

// BenchmarkMatrixCSV200 is the same as CSV.
func BenchmarkMatrixCSV200(b *testing.B) { benchMatrix(b, "state=all&format=csv", 200) }

// BenchmarkMatrixText30 is the largest text with a grid.
func BenchmarkMatrixText30(b *testing.B) { benchMatrix(b, "format=text", 30) }

// BenchmarkMatrixTextAll1000 looks at all 3,998,000 paths of 1,000 nodes, of which 500 are shown.
func BenchmarkMatrixTextAll1000(b *testing.B) { benchMatrix(b, "state=all&format=text", 1000) }

func benchMatrix(b *testing.B, query string, nodes int) {
	s, _, _ := benchServer(b, nodes, 1000)
	h := s.Handler()
	var size int64
	began := cpuTime()
	for b.Loop() {
		w := &discard{header: http.Header{}}
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/matrix?"+query, nil))
		size = w.n
	}
	b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(size)/1e6, "MB")
}

// BenchmarkFailingQuery asks over HTTP for the failing paths of 1,000 nodes, some 4,000 of 4
// million, while rows come in, and reports the median and the 99th percentile.
func BenchmarkFailingQuery(b *testing.B) {
	s, m, c := benchServer(b, 1000, 1000)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	stop := make(chan struct{})
	var rows sync.WaitGroup
	rows.Go(func() {
		tick := time.NewTicker(7500 * time.Microsecond) // 2,000 agents, a row every 15 s
		defer tick.Stop()
		tables := &mesh.Tables{}
		body := c.encode(c.row(c.agents[0], nil), true)
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				row, err := c.codec.Decode(body, tables)
				if err != nil {
					b.Error(err)
					return
				}
				_ = m.Put(row, "", epoch) // refused as taken before, after all the work
			}
		}
	})
	var took []time.Duration
	var size int64
	for b.Loop() {
		began := time.Now()
		resp, err := http.Get(server.URL + "/api/v1/matrix?state=failing")
		if err != nil {
			b.Fatal(err)
		}
		size, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		took = append(took, time.Since(began))
	}
	close(stop)
	rows.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(size)/1e6, "MB")
}

// BenchmarkSignedRow100 takes in signed rows of 100 nodes through the handler.
func BenchmarkSignedRow100(b *testing.B) {
	c := newCluster(b, 100)
	keys := api.NewKeys(secret)
	s, err := api.New(api.Config{Store: store.NewMemory(), Matrix: mesh.NewMatrix(), Auth: api.AuthSecret, Keys: keys,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	h := s.Handler()
	a := c.agents[0]
	row := c.row(a, nil)
	i := 0
	for b.Loop() {
		row.Sequence++
		b.StopTimer()
		body := c.encode(row, i == 0)
		sig := keys.Sign(api.ForRow, a.Name, a.Boot, row.Sequence, body).String()
		r := httptest.NewRequest("POST", rowPath(a), bytes.NewReader(body))
		r.Header.Set(api.SignatureHeader, sig)
		w := &discard{header: http.Header{}}
		i++
		b.StartTimer()
		h.ServeHTTP(w, r)
	}
	if got := s.Rows().Accepted; got != uint64(i) {
		b.Fatal(fmt.Sprint(got, " of ", i, " rows taken"))
	}
}

// BenchmarkOverview1000 draws the overview of 1,000 nodes, of whose 4 million paths one in a thousand
// fails, and packs it whole: what a second costs the server while pages are open, at most.
func BenchmarkOverview1000(b *testing.B) {
	_, m, _ := benchServer(b, 1000, 1000)
	plain, zipped := 0, 0
	began := cpuTime()
	for b.Loop() {
		var err error
		if plain, zipped, err = api.DrawOverview(m.View(epoch)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(plain)/1000, "KB")
	b.ReportMetric(float64(zipped)/1000, "KB-gzip")
}
