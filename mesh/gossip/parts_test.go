package gossip

import (
	"bytes"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
)

var quiet = slog.New(slog.DiscardHandler)

func TestParseSeed(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":             "10.0.0.1:8096",
		"10.0.0.1:99":          "10.0.0.1:99",
		"fd00::1":              "[fd00::1]:8096",
		"[fd00::1]":            "[fd00::1]:8096",
		"[fd00::1]:99":         "[fd00::1]:99",
		"agents":               "name agents:8096",
		"agents.example.org:1": "name agents.example.org:1",
		"":                     "error",
		":99":                  "error",
		"a:b:c":                "error",
		"a:0":                  "error",
		"a:70000":              "error",
		"a b":                  "error",
		"name/10.0.0.1:99":     "error",
	} {
		s, err := parseSeed(text)
		got := "error"
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), `"`+text+`"`) {
				t.Errorf("%q: error without it: %v", text, err)
			}
		case s.host != "":
			got = fmt.Sprintf("name %s:%d", s.host, s.port)
		default:
			got = s.addrs[0].String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestPauseGrowsAndStaysBelow(t *testing.T) {
	for fails := 1; fails < 100; fails++ {
		for range 10 {
			p := pause(fails, joinFew)
			want := min(joinFirst<<min(fails-1, 10), joinFew)
			if p < want/2 || p > want {
				t.Fatalf("pause after %d failures: %v, want %v to %v", fails, p, want/2, want)
			}
		}
	}
}

func TestLogLevels(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := log.New(&logWriter{log: logger}, "", 0)
	l.Print("[ERR] memberlist: a")
	l.Print("[WARN] memberlist: b")
	l.Print("[INFO] memberlist: c")
	l.Print("[DEBUG] memberlist: d")
	l.Print("e")
	for _, want := range []string{"WARN msg=memberlist said=a", "INFO msg=memberlist said=b",
		"DEBUG msg=memberlist said=c", "DEBUG msg=memberlist said=e"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "said=d") {
		t.Error("memberlist's debug lines are not ours")
	}
}

func TestLogFloodIsCutOff(t *testing.T) {
	w := &logWriter{}
	now := time.Now()
	passed := 0
	for range 1000 {
		if ok, _ := w.admit(now); ok {
			passed++
		}
	}
	if ok, dropped := w.admit(now.Add(logWindow)); passed != logLines || !ok || dropped != 1000-logLines {
		t.Errorf("passed %d, then %v with %d dropped", passed, ok, dropped)
	}
}

func TestStartRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no agent":     {},
		"a bad seed":   {Self: loopAgent(0), Bind: loopback, Seeds: []string{"a:b:c"}},
		"retention":    {Self: loopAgent(0), Bind: loopback, Retain: -1},
		"no such addr": {Self: loopAgent(0), Bind: netip.MustParseAddrPort("192.0.2.1:0")},
		"a long zone": {Self: func() mesh.Agent {
			a := loopAgent(0)
			a.Zone = strings.Repeat("z", 200)
			return a
		}(), Bind: loopback},
	} {
		g, err := Start(cfg)
		if err == nil {
			g.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "gossip: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	taken := start(t, Config{Self: loopAgent(0), Bind: loopback})
	bind := netip.AddrPortFrom(loopback.Addr(), taken.Self().GossipPort)
	if g, err := Start(Config{Self: loopAgent(1), Bind: bind}); err == nil {
		g.Close()
		t.Error("two members on one port")
	}
}

func TestLongestNamesFit(t *testing.T) {
	a := loopAgent(0)
	a.Name, a.Node = strings.Repeat("n", mesh.MaxName), strings.Repeat("m", mesh.MaxName)
	a.Zone, a.IPv6 = strings.Repeat("z", mesh.MaxZone), netip.MustParseAddr("fd00::1")
	g := start(t, Config{Self: a, Bind: loopback})
	other := start(t, Config{Self: loopAgent(1), Bind: loopback, Seeds: []string{seedOf(g.Self())}})
	within(t, 20*time.Second, "whole", func() bool { return whole([]*Gossip{g, other}, 2) })
}
