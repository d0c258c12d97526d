package stores

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/mesh"
)

// cpuTime is what the process has used: on a busy machine the clock tells more of its other work.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// oldBody is a report of the original agent with its padding, 3.5 KB.
func oldBody(pod string, n int) string {
	made := time.Date(2026, 1, 1, 0, 0, 0, n, time.UTC).Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"report_interval":60,"nodename":"node1","podname":%q,"hostdate":%q,"uptime":%d,`+
		`"nslookup":{"netchecker-service":["10.96.0.81"]},"ips":{"eth0":["10.244.1.2/24"],"lo":["127.0.0.1/8"]},`+
		`"network_probes":[{"URL":"http://netchecker-service:8081/api/v1/ping","ConnectionResult":1,"HTTPCode":200,"Total":7,`+
		`"ContentTransfer":1,"TCPConnection":2,"DNSLookup":3,"Connect":4,"ServerProcessing":5}],"zero_extender":[%s0]}`,
		pod, made, n, strings.Repeat("0,", 1499))
}

func podName(n int) string { return fmt.Sprintf("netchecker-agent-%04d", n%1000) }

// BenchmarkIntake takes in reports of 1,000 agents through the HTTP handler with each store: goal
// 120 µs of CPU, with what the store does until all is written. Only the checkpoint in Kubernetes is
// not waited for, which takes 20 writes a second of as many reports as there are.
func BenchmarkIntake(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	var bodies []string
	for n := range 10_000 {
		bodies = append(bodies, oldBody(podName(n), n))
	}
	for kind, open := range map[string]func(b *testing.B) (api.Store, error){
		"memory": func(*testing.B) (api.Store, error) { return store.NewMemory(), nil },
		"bolt": func(b *testing.B) (api.Store, error) {
			return store.OpenBolt(filepath.Join(b.TempDir(), "reports.db"), quiet)
		},
		"etcd": func(*testing.B) (api.Store, error) {
			return store.OpenEtcd(store.EtcdConfig{Endpoints: []string{plane.EtcdURL}, Tree: fresh(), TTL: time.Hour}, quiet)
		},
		"kubernetes": func(b *testing.B) (api.Store, error) {
			ns := fresh()
			if err := plane.Namespace(b.Context(), ns); err != nil {
				return nil, err
			}
			return store.OpenKube(plane.Admin(), ns, quiet)
		},
	} {
		b.Run(kind, func(b *testing.B) {
			s, err := open(b)
			if err != nil {
				b.Fatal(err)
			}
			if c, ok := s.(io.Closer); ok {
				defer c.Close()
			}
			for s.Behind() != nil {
				time.Sleep(10 * time.Millisecond)
			}
			face, err := api.New(api.Config{Store: s, Matrix: mesh.NewMatrix(), Auth: api.AuthNone, Log: quiet})
			if err != nil {
				b.Fatal(err)
			}
			h := face.Handler()
			began, n := cpuTime(), 0
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/agents/"+podName(n), strings.NewReader(bodies[n%len(bodies)])))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
				n++
			}
			for kind != "kubernetes" && s.Stats().Unwritten > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(n), "cpu-µs/op")
			b.ReportMetric(float64(s.Stats().Writes)/float64(n), "writes/op")
		})
	}
}
