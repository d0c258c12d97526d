package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/mesh"
)

// shared is an Expecter whose list is made once, as that of Kubernetes.
type shared []api.ExpectedPod

func (s shared) Expected(time.Time) ([]api.ExpectedPod, error) { return s, nil }

// BenchmarkPods asks about 10,000 pods that all reported: the check reads each record once, the list
// of agents writes 10,000 reports.
func BenchmarkPods(b *testing.B) {
	var pods shared
	kept := store.NewMemory()
	for i := range 10000 {
		name := fmt.Sprintf("netchecker-agent-%05d", i)
		pods = append(pods, api.ExpectedPod{Name: name, Key: mesh.Key{Node: fmt.Sprintf("node%05d", i)}, Due: true})
		if err := kept.Put(context.Background(), &api.Record{Name: name, Report: api.Report{LastUpdated: epoch}}); err != nil {
			b.Fatal(err)
		}
	}
	s, err := api.New(api.Config{Store: kept, Matrix: mesh.NewMatrix(), Expected: pods, Auth: api.AuthNone, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return epoch }})
	if err != nil {
		b.Fatal(err)
	}
	h := s.Handler()
	for _, path := range []string{"/api/v1/connectivity_check", "/api/v1/agents/", "/api/v1/agents/netchecker-agent-00007"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				w := &discard{header: http.Header{}}
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			}
			b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}
