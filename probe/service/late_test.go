package service

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/probe"
)

// What is late is slow or lost. It is said before it is known which, and then by its name.
func TestALateServiceIsDegradedBeforeItsProbesHaveEnded(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("dns"))
		r.until(0, probe.OK, DefaultInterval)
		r.set("dns", silent(DatagramLimit))
		if took := r.until(0, probe.Degraded, time.Minute); took > DefaultInterval+1500*time.Millisecond {
			t.Errorf("degraded after %v", took)
		}
		if s := r.Snapshot()[0]; s.Code != probe.CodeWaiting || s.Loss != 0 {
			t.Errorf("%+v, want nothing known of the loss", s)
		}
		if took := r.until(0, probe.Failing, time.Minute); took > DatagramLimit-SlowAfter+100*time.Millisecond {
			t.Errorf("failing %v later", took)
		}
		if s := r.Snapshot()[0]; s.Code != probe.CodeTimeout {
			t.Errorf("%+v", s)
		}
		r.set("dns", nil)
		r.until(0, probe.OK, DefaultInterval+time.Second)
	})
}

// Of all services that fail on a node each is called failing within 5 s, whenever it was probed last.
func TestEveryServiceThatFallsSilentFailsSoon(t *testing.T) {
	for range 20 { // each has beats of its own
		bubble(t, Config{}, func(r *rig) {
			targets := named("dns-vip-udp", "dns-vip-tcp", "dns-endpoint-udp", "dns-endpoint-tcp", "server-vip", "server-endpoint")
			r.SetTargets(targets)
			time.Sleep(20 * time.Second)
			r.set("dns-vip-udp", silent(DatagramLimit))
			r.set("dns-vip-tcp", silent(HandshakeLimit))
			r.set("server-vip", silent(HandshakeLimit))
			start := time.Now()
			for _, i := range []int{0, 1, 4} {
				r.until(i, probe.Failing, time.Minute)
			}
			if took := time.Since(start); took > 4500*time.Millisecond {
				t.Errorf("failing after %v", took)
			}
		})
	}
}

func TestOneSlowAnswerIsNothing(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("a"))
		r.until(0, probe.OK, DefaultInterval)
		var first atomic.Bool
		r.set("a", func(ctx context.Context) Result {
			if first.CompareAndSwap(false, true) {
				return late(4 * time.Second)(ctx)
			}
			return answered(time.Millisecond)
		})
		r.staysOK(0, 20*time.Second)
	})
}

// A server that stands still for a moment makes several probes late at once, and is not called failing.
func TestAStallIsNoFailure(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("a"))
		r.until(0, probe.OK, DefaultInterval)
		over := time.Now().Add(DefaultInterval + 2*time.Second)
		stall := time.Now().Add(DefaultInterval)
		r.set("a", func(ctx context.Context) Result {
			if now := time.Now(); now.After(stall) && now.Before(over) {
				return late(over.Sub(now))(ctx)
			}
			return answered(time.Millisecond)
		})
		changes := 0
		for last := probe.OK; time.Since(over) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			s := r.Snapshot()[0]
			if s.State == probe.Failing {
				t.Fatalf("%+v", s)
			}
			if s.State != last {
				changes, last = changes+1, s.State
			}
		}
		if changes > 2 || r.Snapshot()[0].State != probe.OK {
			t.Errorf("%d changes, now %+v", changes, r.Snapshot()[0])
		}
	})
}

// frozen drives a Watch as Run does, but for the naps that the test has it take: a process that gets no
// processor finds the answers and the deadlines that have passed all at once.
type frozen struct {
	*rig
	outcomes chan outcome
	group    errgroup.Group
}

func (f *frozen) turn(ctx context.Context) (next time.Duration) {
	f.woke()
	for {
		select {
		case o := <-f.outcomes:
			f.take(o)
			continue
		default:
		}
		return f.launch(ctx, &f.group, f.outcomes)
	}
}

func TestWhoSleepsDoesNotBlameTheServices(t *testing.T) {
	for name, answer := range map[string]func(context.Context) Result{"in time": nil,
		"measured late": func(ctx context.Context) Result {
			time.Sleep(time.Millisecond)
			return answered(1600 * time.Millisecond)
		},
		"timed out": func(context.Context) Result { return failed(context.Background(), context.DeadlineExceeded, false) },
		"hung":      func(context.Context) Result { return failed(context.Background(), context.DeadlineExceeded, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &rig{t: t, answers: map[string]func(context.Context) Result{}}
				r.Watch = New(Config{Prober: r.probe})
				f := &frozen{rig: r, outcomes: make(chan outcome, 64)}
				r.SetTargets(named("a", "b"))
				for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
					time.Sleep(f.turn(t.Context()))
				}
				r.set("a", answer)
				next, began := time.Duration(0), r.count()
				for range 30 {
					for synctest.Wait(); r.count() == began; synctest.Wait() {
						time.Sleep(next)
						next = f.turn(t.Context())
					}
					time.Sleep(1600 * time.Millisecond) // the answers wait in the meantime
					began = r.count()
					next = f.turn(t.Context())
					for _, s := range r.Snapshot() {
						if s.State != probe.OK {
							t.Fatalf("%+v", s)
						}
					}
				}
				_ = f.group.Wait() // nothing returns an error
			})
		})
	}
}

// A nap must not hide for ever what is really broken.
func TestWhoNapsNowAndThenStillSeesAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, answers: map[string]func(context.Context) Result{}}
		r.Watch = New(Config{Prober: r.probe})
		f := &frozen{rig: r, outcomes: make(chan outcome, 64)}
		r.SetTargets(named("a"))
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			time.Sleep(f.turn(t.Context()))
		}
		r.set("a", silent(DatagramLimit))
		for end := time.Now().Add(30 * time.Second); r.Snapshot()[0].State != probe.Failing; {
			if time.Now().After(end) {
				t.Fatalf("%+v", r.Snapshot()[0])
			}
			nap := time.Duration(0)
			if time.Now().Second()%5 == 0 {
				nap = 300 * time.Millisecond
			}
			time.Sleep(f.turn(t.Context()) + nap)
		}
		_ = f.group.Wait() // nothing returns an error
	})
}

func TestTheIntervalGrowsWithTheMesh(t *testing.T) {
	for nodes, want := range map[int]time.Duration{0: 2 * time.Second, 3: 2 * time.Second, 400: 2 * time.Second, 401: 4 * time.Second, 800: 4 * time.Second, 5000: 32 * time.Second} {
		if got := IntervalFor(nodes); got != want {
			t.Errorf("%d nodes: %v, want %v", nodes, got, want)
		}
	}
	for nodes := 1; nodes < 20_000; nodes++ {
		if rate := float64(2*nodes) / IntervalFor(nodes).Seconds(); rate > 400 {
			t.Fatalf("%d nodes: %.0f probes a second to one target", nodes, rate)
		}
	}
}

// By the kernel's own timers: a handshake that nobody answers, nor its repeat, is given up long before
// an answer.
func TestAHandshakeIsGivenUpSoon(t *testing.T) {
	ownNamespace(t)
	iptables(t, "-p tcp -d 127.0.0.2 -j DROP")
	for _, target := range []Target{{Kind: probe.ServiceDNSTCP, Address: "127.0.0.2:53", Query: goodQuery}, {Kind: probe.ServiceTCP, Address: "127.0.0.2:53"}} {
		start := time.Now()
		got := Probe(t.Context(), target)
		took := time.Since(start)
		t.Logf("%s: given up after %v", target.Kind, took)
		if got.State != probe.Failing || got.Code != probe.CodeTimeout || took < SlowAfter {
			t.Errorf("%s: %+v after %v", target.Kind, got, took)
		}
	}
}

func TestASilentConnectionIsKnownWhileItLasts(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel connects, nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	for _, c := range []struct {
		target    Target
		connected bool
	}{
		{Target{Kind: probe.ServiceDNSTCP, Address: address, Query: goodQuery}, true},
		{Target{Kind: probe.ServiceHTTP, Address: "http://" + address + "/"}, true},
		{Target{Kind: probe.ServiceDNSTCP, Address: closedPort(t).String(), Query: goodQuery}, false},
		{Target{Kind: probe.ServiceDNSUDP, Address: closedPort(t).String(), Query: goodQuery}, false}, // a UDP socket is no connection
	} {
		var f flight
		ctx, cancel := context.WithTimeout(f.follow(t.Context()), 200*time.Millisecond)
		got := Probe(ctx, c.target)
		cancel()
		if f.connected.Load() != c.connected {
			t.Errorf("%s: connected %v, want %v; %+v", c.target, f.connected.Load(), c.connected, got)
		}
	}
	w := New(Config{})
	w.SetTargets([]Target{{Name: "dns", Kind: probe.ServiceDNSTCP, Address: address, Query: goodQuery}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s := w.Snapshot()[0]
		if s.State == probe.Degraded && s.Code == probe.CodeHung && s.Detail == "connected, no answer yet" {
			break
		}
		if s.State == probe.Failing || time.Now().After(end) {
			t.Fatalf("%+v", s)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Probes that were lost before a service came back end after it did, and say nothing of it any more.
func TestWhatWasLostBeforeDoesNotHoldUpARecovery(t *testing.T) {
	for after := time.Duration(0); after < 2*DefaultInterval; after += 170 * time.Millisecond {
		bubble(t, Config{}, func(r *rig) {
			r.SetTargets(named("a"))
			r.until(0, probe.OK, DefaultInterval)
			r.set("a", silent(DNSLimit))
			r.until(0, probe.Failing, time.Minute)
			time.Sleep(after)
			r.set("a", nil)
			r.until(0, probe.OK, DefaultInterval+500*time.Millisecond)
			r.staysOK(0, 10*time.Second)
		})
	}
}

// In a big mesh beats are far apart. Who has just been asked is asked again all the same.
func TestADoubtAlsoConcernsWhoHasJustBeenProbed(t *testing.T) {
	var names []string
	for i := range 60 { // one of them has just been probed
		names = append(names, fmt.Sprint("s", i))
	}
	for at := time.Duration(0); at < 2*time.Second; at += 300 * time.Millisecond {
		bubble(t, Config{Interval: time.Minute, Width: 4 * len(names)}, func(r *rig) {
			targets := named(names...)
			r.SetTargets(targets)
			time.Sleep(2*time.Minute + at)
			for _, target := range targets {
				r.set(target.Name, silent(HandshakeLimit))
			}
			failing := func() (n int) {
				for _, s := range r.Snapshot() {
					if s.State == probe.Failing {
						n++
					}
				}
				return n
			}
			for failing() == 0 {
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(2 * time.Second)
			if n := failing(); n < len(targets) {
				t.Errorf("%d of %d fail 2 s after the first of them", n, len(targets))
			}
		})
	}
}
