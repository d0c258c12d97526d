package probe_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
	"netchecker/probe/echo/echotest"
)

func TestEngine_hundred_agents_all_ok(t *testing.T) {
	m := newMesh(t, 100, nil)
	m.run(6 * time.Second)
	m.allOK("after six seconds")
	for i, a := range m.agents {
		if s := a.engine.Stats(); s.Bad+s.Late+s.Unsent > 0 || s.Lost != [probe.Kinds]uint64{} {
			t.Errorf("agent %d: %+v", i, s)
		}
		if d := a.engine.Doubt(); d != 0 {
			t.Errorf("agent %d doubts itself: %v", i, d)
		}
		if n := len(a.echo.Heard(nil)); n != 99 {
			t.Errorf("agent %d heard %d others", i, n)
		}
	}
}

// counting is a transport that counts what leaves in each tick and answers nothing.
type counting struct {
	*echotest.Port
	clock *echotest.Clock
	sent  map[time.Duration]int
}

func (c *counting) Send(out *probe.Outgoing) error {
	c.sent[c.clock.Now().Mono]++
	return nil
}

func TestEngine_never_exceeds_its_budget(t *testing.T) {
	for _, n := range []int{1, 50, 240, 3000} {
		clock := echotest.NewClock()
		c := &counting{Port: echotest.New(clock.Now).Port(address(0).Addr()), clock: clock, sent: map[time.Duration]int{}}
		e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Transport: c, Clock: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		targets := make([]probe.Target, n)
		for i := range targets {
			targets[i] = probe.Target{ID: identity(i), Addr: address(i + 1), Bytes: 1500}
		}
		e.SetTargets(targets)
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		var ticks []time.Duration
		for range 20 * 60 { // all targets are dead: everything asks for confirmation
			step := probe.Tick
			if rng.IntN(100) == 0 {
				step = time.Duration(rng.IntN(3000)) * time.Millisecond
			}
			clock.Advance(step)
			e.Step()
			ticks = append(ticks, clock.Now().Mono)
		}
		for i, from := range ticks {
			sum := 0
			for _, at := range ticks[i:] {
				if at >= from.Truncate(probe.Tick)+time.Second {
					break
				}
				sum += c.sent[at]
			}
			if sum > probe.DefaultRate {
				t.Fatalf("%d targets: %d probes in the second from %v", n, sum, from)
			}
		}
		for at, sent := range c.sent {
			if sent > probe.DefaultRate/5 {
				t.Fatalf("%d targets: %d probes in the tick at %v", n, sent, at)
			}
		}
		e.Close()
		if !c.Closed() {
			t.Error("transport left open")
		}
	}
}

func TestEngine_dead_zone_does_not_hide_a_new_fault(t *testing.T) {
	const n = 2000 // rounds alone use the whole budget, and half of the targets are dead
	clock := echotest.NewClock()
	net := echotest.New(clock.Now)
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Transport: net.Port(address(0).Addr()), Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	targets := make([]probe.Target, n)
	answering := echo.NewResponder(echo.Config{Any: true, Clock: clock.Now, PerSource: 1e5})
	for i := range targets {
		targets[i] = probe.Target{ID: identity(i), Addr: address(i + 1), Bytes: 1500}
		net.Attach(targets[i].Addr, answering)
	}
	e.SetTargets(targets)
	run := func(d time.Duration) {
		for end := clock.Now().Mono + d; clock.Now().Mono < end; clock.Advance(probe.Tick) {
			e.Step()
		}
	}
	run(30 * time.Second)
	net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(host(p.To) > n/2) })
	run(60 * time.Second)
	good, bad, wrong := 0, 0, 0
	for i, p := range e.Snapshot(nil) {
		switch dead := i+1 > n/2; {
		case p.Probes[probe.UDP].State == probe.Failing && dead:
			bad++
		case p.Probes[probe.UDP].State == probe.OK && !dead:
			good++
		default:
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("after a minute %d failing, %d ok, %d wrong", bad, good, wrong)
	}
	if s := e.Stats(); s.Sent[probe.TCP] == 0 || s.Sent[probe.MTU] < 1000 {
		t.Errorf("the other kinds starve: %v", s.Sent)
	}
}

func TestEngine_late_ticks_make_no_losses(t *testing.T) {
	m := healthy(t, 3)
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		m.clock.Advance(time.Duration(rng.IntN(4000)) * time.Millisecond)
		for _, a := range m.agents {
			a.engine.Step()
		}
		if bad := m.dump(); bad != "" {
			t.Fatalf("a late tick: %s", bad)
		}
	}
	if d := m.agents[0].engine.Doubt(); d&probe.DoubtLag == 0 {
		t.Errorf("no doubt about lag: %q", d)
	}
	m.run(15 * time.Second)
	if d := m.agents[0].engine.Doubt(); d != 0 {
		t.Errorf("still in doubt: %q", d)
	}
}

func TestEngine_clock_jumps_give_no_round_trips_and_no_losses(t *testing.T) {
	var rtts []time.Duration
	m := newMesh(t, 2, func(i int, c *probe.Config) {
		c.OnRTT = func(_ probe.Kind, _ uint64, rtt time.Duration) { rtts = append(rtts, rtt) }
	})
	m.run(3 * time.Second)
	for _, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour, time.Second, -time.Second, 20 * time.Millisecond, -20 * time.Millisecond} {
		before := len(rtts)
		for range 20 {
			m.clock.Set(jump)
			m.run(300 * time.Millisecond)
		}
		if len(rtts) == before {
			t.Errorf("jumps of %v: no round trip measured in between", jump)
		}
	}
	for _, rtt := range rtts {
		if rtt != 200*time.Microsecond {
			t.Fatalf("a jump of the clock became a round trip of %v", rtt)
		}
	}
	m.allOK("after 120 jumps of the clock")
}

func TestEngine_doubts_itself(t *testing.T) {
	m := healthy(t, 2)
	m.agents[0].port.Deaf = true
	m.until(5*time.Second, "doubt", func() bool { return m.agents[0].engine.Doubt() == probe.DoubtLoopback })
	m.agents[0].port.Deaf = false
	m.until(2*time.Second, "no doubt", func() bool { return m.agents[0].engine.Doubt() == 0 })
	m.agents[0].port.Drops = 3
	m.until(2*time.Second, "doubt", func() bool { return m.agents[0].engine.Doubt() == probe.DoubtDrops })
	if s := m.agents[0].engine.Stats(); s.Dropped != 3 {
		t.Errorf("%+v", s)
	}
}

func TestEngine_SetTargets_keeps_state_and_forgets_old_addresses(t *testing.T) {
	m := healthy(t, 3)
	e := m.agents[0].engine
	second := probe.Target{ID: identity(2), Addr: address(2), Bytes: 1500}
	e.SetTargets([]probe.Target{second, second}) // twice the same: one target, two lines
	if s := e.Snapshot(nil); len(s) != 2 || s[0] != s[1] || s[0].Probes[probe.UDP].State != probe.OK {
		t.Fatalf("%+v", s)
	}
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(host(p.To) == 2) })
	m.run(400 * time.Millisecond) // probes are on their way, unanswered
	moved := probe.Target{ID: identity(2), Addr: address(7), Bytes: 1500}
	m.net.Attach(address(7), m.agents[2].echo)
	e.SetTargets([]probe.Target{moved})
	if s := e.Snapshot(nil)[0].Probes[probe.UDP]; s.State != probe.Unknown {
		t.Fatalf("a new address starts %v", s.State)
	}
	m.run(3 * time.Second)
	s := e.Snapshot(nil)[0]
	for k, status := range s.Probes {
		if status.State != probe.OK || status.Loss != 0 {
			t.Errorf("losses of the old address count for the new one: %v %+v", probe.Kind(k), status)
		}
	}
	moved.Bytes = 9000
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(p.Size > 1500) })
	e.SetTargets([]probe.Target{moved})
	m.run(10 * time.Second)
	if s := e.Snapshot(nil)[0].Probes[probe.MTU]; s.State != probe.Failing || s.MaxBytes != 1500 {
		t.Errorf("after the size grew: %+v", s)
	}
	moved.Bytes = 0
	e.SetTargets([]probe.Target{moved})
	if s := e.Snapshot(nil)[0].Probes[probe.MTU]; s.State != probe.Unknown || s.Code != probe.CodeOff {
		t.Errorf("without mtu probe: %+v", s)
	}
	e.SetTargets(nil)
	m.run(2 * time.Second)
	if s := e.Snapshot(nil); len(s) != 0 {
		t.Errorf("%v", s)
	}
}

func TestEngine_target_made_anew_is_no_replay(t *testing.T) {
	m := healthy(t, 2)
	e := m.agents[0].engine
	target := []probe.Target{{ID: identity(1), Addr: address(1), Bytes: 1500}}
	for range 10 {
		e.SetTargets(nil)
		m.run(time.Second)
		e.SetTargets(target)
		m.run(4 * time.Second)
		m.allOK("a target that came back")
	}
	if s := m.agents[1].echo.Stats(); s.Replayed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestEngine_frequent_SetTargets_starves_nobody(t *testing.T) {
	m := healthy(t, 10)
	var targets []probe.Target
	for _, s := range m.agents[0].engine.Snapshot(nil) {
		targets = append(targets, s.Target)
	}
	before := m.agents[0].engine.Stats()
	for range 200 {
		slices.Reverse(targets)
		m.agents[0].engine.SetTargets(targets)
		m.run(100 * time.Millisecond)
	}
	after := m.agents[0].engine.Stats()
	if sent := after.Sent[probe.UDP] - before.Sent[probe.UDP]; sent < 150 || sent > 450 {
		t.Errorf("%d udp probes in 20 s to 9 targets", sent)
	}
	m.allOK("after 200 changes")
	for _, h := range m.agents[3].echo.Heard(nil) {
		if h.State[probe.UDP] != probe.HeardOK {
			t.Errorf("%+v", h)
		}
	}
}

func TestEngine_peer_restart_is_no_forward_loss(t *testing.T) {
	m := healthy(t, 2)
	m.run(20 * time.Second)
	fresh := echo.NewResponder(echo.Config{Self: identity(1), Boot: 2, Keys: probe.NewKeys([]byte("secret")), Clock: m.clock.Now})
	m.net.Attach(address(1), fresh)
	for range 20 * 10 {
		m.step()
		if s := m.path(0, 1).Probes[probe.UDP]; s.Forward != 0 || s.Return != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

func TestEngine_replaces_every_source_port_in_five_minutes(t *testing.T) {
	m := healthy(t, 2)
	flows := map[int]bool{}
	m.net.Rule(func(p echotest.Packet) echotest.Verdict {
		if p.Kind == probe.UDP && host(p.To) == 1 {
			flows[p.Flow] = true
		}
		return echotest.Verdict{}
	})
	m.run(6 * time.Minute)
	if len(flows) < 2*probe.Flows {
		t.Errorf("%d source ports in six minutes", len(flows))
	}
	m.allOK("after all source ports were replaced")
}

func TestEngine_LossHook_drops_without_root(t *testing.T) {
	direction := false
	m := newMesh(t, 2, func(i int, c *probe.Config) {
		if i == 0 {
			c.LossHook = func(k probe.Kind, _ netip.AddrPort, flow int, answer bool) bool {
				return k == probe.UDP && answer == direction
			}
		}
	})
	m.until(5*time.Second, "requests dropped", func() bool { return m.state(0, 1, probe.UDP) == probe.Failing })
	if n := len(m.agents[1].echo.Heard(nil)); n == 0 || m.agents[1].echo.Heard(nil)[0].Counts[probe.UDP] != 0 {
		t.Error("dropped requests arrived")
	}
	direction = true
	m.run(5 * time.Second)
	if s := m.state(0, 1, probe.UDP); s != probe.Failing {
		t.Errorf("answers dropped: %v", s)
	}
	if m.agents[1].echo.Heard(nil)[0].Counts[probe.UDP] == 0 {
		t.Error("requests did not arrive")
	}
}

func TestEngine_Changed_signals_once_for_each_change(t *testing.T) {
	m := healthy(t, 2)
	e := m.agents[0].engine
	drain := func() bool {
		select {
		case <-e.Changed():
			return true
		default:
			return false
		}
	}
	drain()
	m.run(20 * time.Second)
	if drain() {
		t.Error("a signal though nothing changed")
	}
	m.net.Rule(func(p echotest.Packet) echotest.Verdict { return drop(true) })
	m.until(3*time.Second, "signal", drain)
}

func TestEngine_strangers_change_nothing(t *testing.T) {
	m := healthy(t, 2)
	rng := rand.New(rand.NewPCG(9, 9))
	for range 20 * 10 {
		for range 20 {
			b := make([]byte, rng.IntN(200))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			if len(b) > 3 && rng.IntN(2) == 0 {
				copy(b, []byte{1, 2, 0, 0})
			}
			m.agents[0].port.Inject(address(1), b)
		}
		// A well-formed answer, even a wrong peer's or a key notice, needs the cookie.
		p := probe.Packet{Type: probe.PacketType(2 + rng.IntN(2)), Sender: identity(0), Responder: 99, Cookie: rng.Uint64()}
		b := make([]byte, probe.PacketSize)
		p.Encode(b)
		probe.NewKeys([]byte("guess")).Seal(b)
		m.agents[0].port.Inject(address(1), b)
		m.step()
		if bad := m.dump(); bad != "" {
			t.Fatalf("strangers changed a verdict: %s", bad)
		}
	}
	if s := m.agents[0].engine.Stats(); s.Bad < 1000 {
		t.Errorf("%+v", s)
	}
}

func TestEngine_Run_ends_with_its_context(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := probe.SystemClock()
		net := echotest.New(clock)
		port := net.Port(address(0).Addr())
		net.Attach(address(1), echo.NewResponder(echo.Config{Self: identity(1), Clock: clock}))
		e, err := probe.NewEngine(probe.Config{Self: identity(0), Boot: 1, Transport: port, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		e.SetTargets([]probe.Target{{ID: identity(1), Addr: address(1), Bytes: 1500}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(3 * time.Second)
		for k, s := range e.Snapshot(nil)[0].Probes {
			if s.State != probe.OK {
				t.Errorf("%v: %+v", probe.Kind(k), s)
			}
		}
		if lag := e.Stats().MaxLag; lag > 0 {
			t.Errorf("in virtual time a tick was late by %v", lag)
		}
		net.Attach(address(1), nil)
		<-e.Changed()
		time.Sleep(2 * time.Second)
		if s := e.Snapshot(nil)[0].Probes[probe.UDP]; s.State != probe.Failing || s.Code != probe.CodeRefused {
			t.Errorf("%+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !port.Closed() {
			t.Error("sockets left open")
		}
		e.Step() // after the end nothing happens
	})
}

func TestEngine_many_readers(t *testing.T) {
	m := healthy(t, 3)
	e := m.agents[0].engine
	stop := make(chan struct{})
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, _, _, _ = e.Snapshot(nil), e.Stats(), e.Doubt(), e.Periods()
				_ = m.agents[1].echo.Heard(nil)
				runtime.Gosched()
			}
		}()
	}
	m.run(2 * time.Second)
	close(stop)
	for range 4 {
		<-done
	}
}

func TestEngine_ticks_do_not_allocate(t *testing.T) {
	clock := echotest.NewClock()
	c := &silent{Port: echotest.New(clock.Now).Port(address(0).Addr())}
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Transport: c, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	targets := make([]probe.Target, 300)
	for i := range targets {
		targets[i] = probe.Target{ID: identity(i), Addr: address(i + 1), Bytes: 1500}
	}
	e.SetTargets(targets)
	for range 400 {
		clock.Advance(probe.Tick)
		e.Step()
	}
	if n := testing.AllocsPerRun(100, func() {
		clock.Advance(probe.Tick)
		e.Step()
	}); n > 0 {
		t.Errorf("%.1f allocations a tick", n)
	}
}

// silent is a transport on which everything is lost.
type silent struct{ *echotest.Port }

func (silent) Send(*probe.Outgoing) error { return nil }

func TestEngine_memory_of_ten_thousand_targets(t *testing.T) {
	clock := echotest.NewClock()
	targets := make([]probe.Target, 10000)
	for i := range targets {
		targets[i] = probe.Target{ID: identity(i), Addr: address(i + 1), Bytes: 1500}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Transport: &silent{}, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	e.SetTargets(targets)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(e)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 20<<20 {
		t.Errorf("%d KiB for 10,000 targets", grown>>10)
	} else {
		t.Logf("%d KiB for 10,000 targets", grown>>10)
	}
}

func TestEngine_large_mesh_uses_its_whole_budget(t *testing.T) {
	for _, tick := range []time.Duration{probe.Tick, 2 * probe.Tick, 130 * time.Millisecond} {
		clock := echotest.NewClock()
		net := echotest.New(clock.Now)
		e, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Transport: net.Port(address(0).Addr()), Clock: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		answering := echo.NewResponder(echo.Config{Any: true, Clock: clock.Now, PerSource: 1e5})
		targets := make([]probe.Target, 10000)
		for i := range targets {
			targets[i] = probe.Target{ID: identity(i), Addr: address(i + 1), Bytes: 1500}
			net.Attach(targets[i].Addr, answering)
		}
		e.SetTargets(targets)
		for clock.Now().Mono < time.Minute {
			clock.Advance(tick)
			e.Step()
		}
		s := e.Stats().Sent
		if s[probe.UDP] < 60*235 || s[probe.UDP] > 60*242 || s[probe.TCP] < 60*51 || s[probe.TCP] > 60*55 {
			t.Errorf("woken every %v: sent in a minute %v, want 14,400 of udp and 3,200 of the others", tick, s)
		}
	}
}
