package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/cmd/agent"
	"netchecker/cmd/server"
	"netchecker/mesh"
	"netchecker/mesh/gossip"
	"netchecker/probe"
)

const secret = "a secret for one test"

// loopback is an address of this process alone: several checkouts may be tested on one machine at once.
func loopback(last byte) netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, 64 | byte(pid>>8)&0x3f, byte(pid), last})
}

// startMesh runs a server and the agents of two nodes in this process, each on a loopback address
// of its own, and returns the server's address and what ends it all.
func startMesh(t *testing.T, change func(*agent.Config)) (at string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	keyring := filepath.Join(t.TempDir(), "keyring")
	if err := os.WriteFile(keyring, []byte("MDEyMzQ1Njc4OWFiY2RlZg==\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listening := make(chan net.Addr, 1)
	g.Go(func() error {
		cfg := server.Default
		cfg.Endpoint, cfg.Node, cfg.Pod = loopback(9).String()+":0", "node1", "server"
		cfg.IPv4, cfg.GossipPort, cfg.BindAdvertised = loopback(9), 18096, true
		cfg.Secret, cfg.GossipKeyFile, cfg.Log = []byte(secret), keyring, slog.New(slog.DiscardHandler)
		cfg.Join = []string{loopback(11).String() + ":18096"}
		cfg.Listening = func(a net.Addr) { listening <- a }
		return server.Run(ctx, cfg)
	})
	select {
	case a := <-listening:
		at = a.String()
	case <-ctx.Done():
		t.Fatal(g.Wait())
	}
	for i := range 4 {
		cfg := agent.Default
		cfg.Node, cfg.Network = fmt.Sprintf("node%d", 1+i/2), mesh.Network(i%2)
		cfg.Pod = fmt.Sprintf("agent-%d", i)
		cfg.IPv4, cfg.MTU = loopback(byte(11+i)), 1500
		cfg.ProbePort, cfg.GossipPort, cfg.BindAdvertised = 18095, 18096, true
		cfg.Join, cfg.ServerEndpoint = []string{loopback(11).String() + ":18096"}, at
		cfg.Secret, cfg.GossipKeyFile, cfg.LameDuck, cfg.ReportInterval = []byte(secret), keyring, 100*time.Millisecond, time.Second
		if change != nil {
			change(&cfg)
		}
		g.Go(func() error { return agent.Run(ctx, cfg) })
	}
	return at, func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// get asks the server until good says that the answer is the awaited one.
func get(t *testing.T, url string, good func(status int, body []byte) bool) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(url)
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if good(res.StatusCode, body) {
			return
		}
		last = fmt.Sprintf("%d %.2000s", res.StatusCode, body)
	}
	t.Errorf("%s: %s", url, last)
}

func counts(body []byte) (state string, total, ok, failing int) {
	var m struct {
		State string
		Paths map[string]map[string]int
	}
	if json.Unmarshal(body, &m) != nil {
		return
	}
	for _, p := range m.Paths {
		total, ok, failing = total+p["total"], ok+p["ok"], failing+p["failing"]
	}
	return m.State, total, ok, failing
}

func TestAMeshInOneProcessComesUpSeesAFaultAndGoesAway(t *testing.T) {
	before := runtime.NumGoroutine()
	var broken atomic.Bool
	at, stop := startMesh(t, func(c *agent.Config) {
		self := c.IPv4
		c.LossHook = func(_ probe.Kind, to netip.AddrPort, _ int, answer bool) bool {
			return broken.Load() && !answer && self.As4()[3] == 11 && to.Addr().As4()[3] == 13 // node1/pod to node2/pod
		}
	})
	get(t, "http://"+at+"/api/v1/matrix", func(_ int, body []byte) bool {
		state, total, ok, _ := counts(body)
		return state == "ok" && total == 12 && ok == 12
	})
	get(t, "http://"+at+"/api/v1/agents/", func(_ int, body []byte) bool {
		var all map[string]any
		return json.Unmarshal(body, &all) == nil && len(all) == 4
	})
	get(t, "http://"+loopback(11).String()+":18095/metrics", func(status int, body []byte) bool {
		return status == 200 && strings.Contains(string(body), "netchecker_gossip_members 5")
	})
	broken.Store(true)
	get(t, "http://"+at+"/api/v1/matrix", func(_ int, body []byte) bool {
		state, _, _, failing := counts(body)
		return state == "failing" && failing == 1
	})
	broken.Store(false)
	get(t, "http://"+at+"/api/v1/matrix", func(_ int, body []byte) bool {
		state, _, ok, _ := counts(body)
		return state == "ok" && ok == 12
	})
	stop()
	// memberlist's own pings in flight end up to some 20 s after it is closed.
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// TestAServerThatHangsCostsTheOthersNothing has a second server that gossip hears and that answers no request, as
// one whose machine has just died: gossip needs minutes to see that.
func TestAServerThatHangsCostsTheOthersNothing(t *testing.T) {
	hung, err := net.Listen("tcp", loopback(8).String()+":0") // the kernel takes connections, nobody else does
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	keyring := filepath.Join(t.TempDir(), "keyring")
	if err := os.WriteFile(keyring, []byte("MDEyMzQ1Njc4OWFiY2RlZg==\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at, stop := startMesh(t, nil)
	defer stop()
	other, err := gossip.Start(gossip.Config{Bind: netip.AddrPortFrom(loopback(8), 18096), KeyFile: keyring, Seeds: []string{loopback(11).String() + ":18096"},
		Self: mesh.Agent{Name: "hung", Key: mesh.Key{Node: "node3"}, Role: mesh.RoleServer, IPv4: loopback(8), GossipPort: 18096,
			ProbePort: uint16(hung.Addr().(*net.TCPAddr).Port), Boot: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	get(t, "http://"+loopback(11).String()+":18095/metrics", func(status int, body []byte) bool {
		return status == 200 && strings.Contains(string(body), "netchecker_gossip_members 6")
	})
	get(t, "http://"+at+"/api/v1/matrix", func(_ int, body []byte) bool {
		state, total, ok, _ := counts(body)
		return state == "ok" && total == 12 && ok == 12
	})
	late := 0
	for range 80 {
		time.Sleep(100 * time.Millisecond)
		get(t, "http://"+at+"/api/v1/matrix", func(_ int, body []byte) bool {
			if _, _, ok, _ := counts(body); ok < 12 {
				late++
			}
			return true
		})
	}
	if late > 8 { // a busy machine may be late now and then
		t.Errorf("%d of 80 looks found rows overdue", late)
	}
	began := time.Now()
	get(t, "http://"+at+"/api/v1/agents/", func(_ int, body []byte) bool {
		var all map[string]struct {
			LastUpdated time.Time `json:"last_updated"`
		}
		fresh := 0
		if json.Unmarshal(body, &all) == nil {
			for _, report := range all {
				if report.LastUpdated.After(began) {
					fresh++
				}
			}
		}
		return fresh == 4
	})
}

func TestAWrongConfigurationIsOneClearError(t *testing.T) {
	for want, change := range map[string]func(*agent.Config){
		"node name":           func(c *agent.Config) { c.Node = "a/b" },
		"pod name":            func(c *agent.Config) { c.Pod = strings.Repeat("x", 300) },
		"no address":          func(c *agent.Config) { c.IPv4 = netip.Addr{} },
		"-probe-rate":         func(c *agent.Config) { c.ProbeRate = 0 },
		"-reportinterval":     func(c *agent.Config) { c.ReportInterval = 0 },
		"-zeroextenderlength": func(c *agent.Config) { c.ZeroExtender = -1 },
		"-retain":             func(c *agent.Config) { c.Retain = time.Second },
		"-serverendpoint":     func(c *agent.Config) { c.ServerEndpoint = "server" },
		"-gossip-key-file":    func(c *agent.Config) { c.GossipKeyFile = "/nonexistent" },
	} {
		cfg := agent.Default
		cfg.Node, cfg.Pod, cfg.IPv4 = "node1", "agent", loopback(20)
		change(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := agent.Run(ctx, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %q", err, want)
		}
		cancel()
	}
}
