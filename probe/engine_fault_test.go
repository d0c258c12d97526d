package probe_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
	"netchecker/probe/echo/echotest"
)

func TestEngine_finds_a_dead_node_fast_and_its_recovery(t *testing.T) {
	var found, healed []time.Duration
	for phase := range 20 {
		m := healthy(t, 3)
		m.run(time.Duration(phase) * 50 * time.Millisecond)
		m.net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(host(p.To) == 2 || host(p.From) == 2) })
		found = append(found, m.until(5*time.Second, "udp failing", func() bool { return m.state(0, 2, probe.UDP) == probe.Failing }))
		m.run(20 * time.Second)
		s := m.path(0, 2).Probes[probe.UDP]
		if s.Code != probe.CodeTimeout || s.Loss != 200 || s.Forward != probe.LossUnknown {
			t.Fatalf("dead node: %+v", s)
		}
		if m.state(0, 1, probe.UDP) != probe.OK {
			t.Fatalf("a healthy path suffers: %s", m.dump())
		}
		m.net.Rule(nil)
		healed = append(healed, m.until(8*time.Second, "udp ok", func() bool { return m.state(0, 2, probe.UDP) == probe.OK }))
		m.until(4*time.Second, "all ok", func() bool { return m.dump() == "" })
	}
	slices.Sort(found)
	slices.Sort(healed)
	t.Logf("fault to failing: median %v, worst %v; repair to ok: median %v, worst %v", found[10], found[19], healed[10], healed[19])
	if found[10] > 2200*time.Millisecond || found[19] > 3*time.Second {
		t.Errorf("fault to failing took %v (median), %v (worst)", found[10], found[19])
	}
}

// exhausted is a transport that, while on, has no descriptor left for a connection.
type exhausted struct {
	*echotest.Port
	on bool
}

func (x *exhausted) Send(out *probe.Outgoing) error {
	if x.on && out.Kind == probe.TCP {
		return probe.ErrNotSent
	}
	return x.Port.Send(out)
}

// A connection that cannot be opened for want of descriptors must not keep other paths from being confirmed.
func TestEngine_what_cannot_be_sent_holds_up_nothing_else(t *testing.T) {
	clock := echotest.NewClock()
	net := echotest.New(clock.Now)
	x := &exhausted{Port: net.Port(address(0).Addr())}
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Transport: x, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var targets []probe.Target
	for i := 1; i <= 20; i++ {
		targets = append(targets, probe.Target{ID: identity(i), Addr: address(i), Bytes: 1500})
		net.Attach(address(i), echo.NewResponder(echo.Config{Self: identity(i), Clock: clock.Now}))
	}
	e.SetTargets(targets)
	dead := 0
	net.Rule(func(p echotest.Packet) echotest.Verdict {
		return drop(p.Kind == probe.TCP && host(p.To) <= 10 || dead != 0 && host(p.To) == dead)
	})
	run := func(d time.Duration) {
		for end := clock.Now().Mono + d; clock.Now().Mono < end; clock.Advance(probe.Tick) {
			e.Step()
		}
	}
	run(30 * time.Second)
	x.on = true
	run(10 * time.Second)
	for dead = 11; dead <= 20; dead++ {
		run(3 * time.Second)
		if s := e.Snapshot(nil)[dead-1].Probes[probe.UDP]; s.State != probe.Failing {
			t.Errorf("three seconds after node %d died: %+v", dead, s)
		}
	}
	if s := e.Stats(); s.Unsent == 0 {
		t.Errorf("everything could be sent: %+v", s)
	}
}

func TestEngine_single_loss_does_not_degrade(t *testing.T) {
	m := healthy(t, 2)
	lost := false
	m.net.Rule(func(p echotest.Packet) echotest.Verdict {
		if p.Kind == probe.UDP && !p.Reply && host(p.To) == 1 && !lost {
			lost = true
			return drop(true)
		}
		return echotest.Verdict{}
	})
	for range 20 * 30 {
		m.step()
		if s := m.state(0, 1, probe.UDP); s != probe.OK {
			t.Fatalf("one lost probe made the path %v", s)
		}
	}
	if !lost {
		t.Fatal("nothing was lost")
	}
}

func TestEngine_tells_the_direction_of_loss(t *testing.T) {
	for _, tt := range []struct {
		name            string
		there, back     float64
		forward, reply  bool
		stateHasToLevel probe.State
	}{
		{"30 % lost on the way there", 0.3, 0, true, false, probe.Degraded},
		{"30 % lost on the way back", 0, 0.3, false, true, probe.Degraded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := healthy(t, 2)
			rng := rand.New(rand.NewPCG(1, 2))
			m.net.Rule(func(p echotest.Packet) echotest.Verdict {
				if host(p.From) == 0 {
					return drop(rng.Float64() < tt.there)
				}
				return drop(rng.Float64() < tt.back)
			})
			m.until(10*time.Second, "degraded", func() bool { return m.state(0, 1, probe.UDP) == tt.stateHasToLevel })
			m.run(15 * time.Second)
			s := m.path(0, 1).Probes[probe.UDP]
			forward, _ := s.Forward.Ratio()
			back, _ := s.Return.Ratio()
			if s.Code != probe.CodeLoss || tt.forward != (forward > 0.1) || tt.reply != (back > 0.1) {
				t.Errorf("forward %.2f, return %.2f: %+v", forward, back, s)
			}
			if s.BadFlows != 0 {
				t.Errorf("random loss called dead flows %016b", s.BadFlows)
			}
			// The receiver sees the same from its end: agent 1 misses requests only when they are lost on the way there.
			heard := m.agents[1].echo.Heard(nil)[0]
			if loss, _ := heard.Loss.Ratio(); tt.forward != (loss > 0.1) || tt.forward != (heard.State[probe.UDP] == probe.HeardLossy) {
				t.Errorf("the destination heard %+v", heard)
			}
		})
	}
}

func TestEngine_random_loss_is_rarely_called_failing(t *testing.T) {
	m := newMesh(t, 2, nil)
	m.run(3 * time.Second)
	rng := rand.New(rand.NewPCG(3, 4))
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(rng.Float64() < 0.3) })
	m.run(15 * time.Second)
	failing, ok := 0, 0
	for range 20 * 300 {
		m.step()
		switch m.state(0, 1, probe.UDP) {
		case probe.Failing:
			failing++
		case probe.OK:
			ok++
		}
	}
	t.Logf("51 %% loss for 5 minutes: failing %.1f %%, ok %.1f %% of the time", float64(failing)/60, float64(ok)/60)
	if failing > 20*300/100 || ok > 0 {
		t.Errorf("failing in %d of 6000 ticks, ok in %d", failing, ok)
	}
}

func TestEngine_finds_dead_ECMP_member(t *testing.T) {
	m := healthy(t, 2)
	dead := func(p echotest.Packet) bool { return p.Kind != probe.ICMP && (p.Flow*7+3)%4 == 0 }
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(dead(p)) })
	want := uint16(0)
	for flow := range probe.Flows {
		if dead(echotest.Packet{Kind: probe.UDP, Flow: flow}) {
			want |= 1 << flow
		}
	}
	took := m.until(12*time.Second, "flows", func() bool { return m.path(0, 1).Probes[probe.UDP].BadFlows == want })
	s := m.path(0, 1).Probes[probe.UDP]
	t.Logf("dead flows %016b after %v", s.BadFlows, took)
	if s.State != probe.Degraded || s.Code != probe.CodeLoss {
		t.Errorf("%+v", s)
	}
	if h := m.agents[1].echo.Heard(nil)[0]; h.BadFlows != want {
		t.Errorf("the destination names flows %016b, want %016b", h.BadFlows, want)
	}
	m.net.Rule(nil)
	m.until(8*time.Second, "ok", func() bool { return m.state(0, 1, probe.UDP) == probe.OK })
	if s := m.path(0, 1).Probes[probe.UDP]; s.BadFlows != 0 {
		t.Errorf("flows still bad after repair: %016b", s.BadFlows)
	}
}

func TestEngine_searches_the_MTU(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict echotest.Verdict
		mtu     int
	}{
		{"dropped in silence", echotest.Verdict{Drop: true}, 1450},
		{"refused with the MTU named", echotest.Verdict{Drop: true, Code: probe.CodeTooBig, NextHop: 1400}, 1400},
		{"refused with a wrong MTU named", echotest.Verdict{Drop: true, Code: probe.CodeTooBig, NextHop: 1200}, 1437},
		{"refused without saying more", echotest.Verdict{Drop: true, Code: probe.CodeTooBig}, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := healthy(t, 2)
			m.net.Rule(func(p echotest.Packet) echotest.Verdict {
				if p.Size > tt.mtu {
					return tt.verdict
				}
				return echotest.Verdict{}
			})
			failing := m.until(6*time.Second, "mtu failing", func() bool { return m.state(0, 1, probe.MTU) == probe.Failing })
			found := m.until(6*time.Second, "size", func() bool { return int(m.path(0, 1).Probes[probe.MTU].MaxBytes) == tt.mtu })
			t.Logf("failing after %v, size found %v later", failing, found)
			if s := m.path(0, 1).Probes; s[probe.UDP].State != probe.OK {
				t.Errorf("udp %+v", s[probe.UDP])
			}
			m.run(time.Minute)
			if got := int(m.path(0, 1).Probes[probe.MTU].MaxBytes); got != tt.mtu {
				t.Errorf("a minute later the size is %d", got)
			}
			m.net.Rule(nil)
			m.until(10*time.Second, "mtu ok", func() bool { return m.state(0, 1, probe.MTU) == probe.OK })
			if got := m.path(0, 1).Probes[probe.MTU].MaxBytes; got != 1500 {
				t.Errorf("healed, the size is %d", got)
			}
		})
	}
}

func TestEngine_finds_tcp_faults(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule func(p echotest.Packet) echotest.Verdict
		want probe.Code
	}{
		{"the port is blocked", func(p echotest.Packet) echotest.Verdict { return drop(p.Kind == probe.TCP) }, probe.CodeTimeout},
		{"connects but does not answer", func(p echotest.Packet) echotest.Verdict { return drop(p.Kind == probe.TCP && !p.Open) }, probe.CodeHung},
		{"a black hole for large packets", func(p echotest.Packet) echotest.Verdict { return drop(p.Size > 1400) }, probe.CodeHung},
		{"refused", func(p echotest.Packet) echotest.Verdict {
			return echotest.Verdict{Drop: p.Kind == probe.TCP, Code: probe.CodeRefused}
		}, probe.CodeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := healthy(t, 2)
			m.net.Rule(tt.rule)
			took := m.until(6*time.Second, "tcp failing", func() bool { return m.state(0, 1, probe.TCP) == probe.Failing })
			t.Logf("after %v", took)
			s := m.path(0, 1).Probes
			if s[probe.TCP].Code != tt.want || s[probe.UDP].State != probe.OK {
				t.Errorf("%s", m.dump())
			}
			m.net.Rule(nil)
			m.until(10*time.Second, "tcp ok", func() bool { return m.state(0, 1, probe.TCP) == probe.OK })
		})
	}
}

func TestEngine_asks_with_new_flows_when_only_tcp_fails(t *testing.T) {
	m := healthy(t, 2)
	known := map[int]bool{}
	learning := true
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { // as a NetworkPolicy: established flows live on
		if learning {
			known[p.Flow] = true
		}
		return drop(p.Kind != probe.ICMP && !known[p.Flow])
	})
	m.run(20 * time.Second)
	learning = false
	took := m.until(6*time.Second, "udp not ok", func() bool { return m.state(0, 1, probe.UDP) != probe.OK })
	t.Logf("new flows blocked: udp says so after %v", took)
}

func TestEngine_names_the_wrong_peer(t *testing.T) {
	m := healthy(t, 3)
	m.net.Attach(address(1), m.agents[2].echo) // agent 2 has taken agent 1's address
	m.until(3*time.Second, "udp failing", func() bool { return m.state(0, 1, probe.UDP) == probe.Failing })
	m.run(5 * time.Second)
	s := m.path(0, 1).Probes
	for _, k := range []probe.Kind{probe.UDP, probe.MTU, probe.TCP} {
		if s[k].Code != probe.CodeWrongPeer || s[k].State != probe.Failing {
			t.Errorf("%v: %v %v", k, s[k].State, s[k].Code)
		}
	}
	if m.state(0, 2, probe.UDP) != probe.OK || m.state(0, 1, probe.ICMP) != probe.OK {
		t.Errorf("bystanders suffer: %s", m.dump())
	}
	for _, h := range m.agents[2].echo.Heard(nil) { // asked for two identities, it counts its own sequence only
		if h.State[probe.UDP] != probe.HeardOK {
			t.Errorf("heard %+v", h)
		}
	}
}

func TestEngine_key_mismatch_is_unknown_and_never_failing(t *testing.T) {
	m := healthy(t, 2)
	strangers := probe.NewKeys([]byte("another secret"))
	m.net.Attach(address(1), echo.NewResponder(echo.Config{Self: identity(1), Boot: 1, Keys: strangers, Clock: m.clock.Now}))
	m.until(3*time.Second, "unknown", func() bool { return m.state(0, 1, probe.UDP) == probe.Unknown })
	for range 20 * 60 {
		m.step()
		for _, k := range []probe.Kind{probe.UDP, probe.MTU, probe.TCP} {
			if s := m.path(0, 1).Probes[k]; s.State == probe.Failing {
				t.Fatalf("%v is failing: %+v", k, s)
			}
		}
	}
	if s := m.path(0, 1).Probes[probe.UDP]; s.State != probe.Unknown || s.Code != probe.CodeKeyMismatch {
		t.Errorf("%+v", s)
	}
	strangers.Replace([]byte("next"), []byte("secret")) // rotation: the old one is still accepted
	m.until(5*time.Second, "ok with a key in common", func() bool { return m.dump() == "" })
}

func TestEngine_high_latency(t *testing.T) {
	m := healthy(t, 2)
	m.run(30 * time.Second)
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { return echotest.Verdict{Delay: 100 * time.Millisecond} })
	took := m.until(10*time.Second, "slow", func() bool { return m.path(0, 1).Probes[probe.UDP].Code == probe.CodeSlow })
	s := m.path(0, 1).Probes[probe.UDP]
	t.Logf("slow after %v: %+v", took, s)
	if s.State != probe.Degraded || s.RTT != 200*time.Millisecond || s.Loss != 0 {
		t.Errorf("%+v", s)
	}
	m.net.Rule(nil)
	m.until(8*time.Second, "ok", func() bool { return m.state(0, 1, probe.UDP) == probe.OK })
}
