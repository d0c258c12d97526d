package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netchecker/probe"
)

// rig is a Watch on virtual time whose services answer as the test says.
type rig struct {
	*Watch
	t       *testing.T
	mu      sync.Mutex
	answers map[string]func(ctx context.Context) Result
	probed  []time.Time
	flying  atomic.Int32
	most    int32
}

// bubble runs f inside virtual time with a running Watch, which must stop when ctx ends.
func bubble(t *testing.T, c Config, f func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, answers: map[string]func(context.Context) Result{}}
		c.Prober = r.probe
		r.Watch = New(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		f(r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := r.flying.Load(); n != 0 {
			t.Errorf("%d probes outlive Run", n)
		}
	})
}

func (r *rig) probe(ctx context.Context, t Target) Result {
	n := r.flying.Add(1)
	defer r.flying.Add(-1)
	r.mu.Lock()
	r.most = max(r.most, n)
	r.probed = append(r.probed, time.Now())
	answer := r.answers[t.Name]
	r.mu.Unlock()
	if answer == nil {
		return answered(time.Millisecond)
	}
	return answer(ctx)
}

func (r *rig) set(name string, answer func(context.Context) Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[name] = answer
}

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.probed)
}

// mostAtOnce is the largest number of probes that were ever under way together.
func (r *rig) mostAtOnce() int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// refuses fails at once; silent never answers within its limit; late answers after a while.
func refuses(context.Context) Result {
	return Result{State: probe.Failing, Code: probe.CodeRefused}
}

func silent(limit time.Duration) func(context.Context) Result {
	return func(ctx context.Context) Result {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		<-ctx.Done()
		return failed(ctx, ctx.Err(), false)
	}
}

func late(after time.Duration) func(context.Context) Result {
	return func(ctx context.Context) Result {
		select {
		case <-time.After(after):
			return answered(after)
		case <-ctx.Done():
			return failed(ctx, ctx.Err(), false)
		}
	}
}

// until waits for a state and returns how long it took.
func (r *rig) until(i int, state probe.State, atMost time.Duration) time.Duration {
	r.t.Helper()
	start := time.Now()
	for r.Snapshot()[i].State != state {
		if time.Since(start) > atMost {
			r.t.Fatalf("%+v after %v, want %v", r.Snapshot()[i], time.Since(start), state)
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(start)
}

// wellSoonAfterTheFirst waits until the first service is well again, and returns how many are a second later.
func (r *rig) wellSoonAfterTheFirst() int {
	well := func() (n int) {
		for _, s := range r.Snapshot() {
			if s.State == probe.OK {
				n++
			}
		}
		return n
	}
	for well() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second)
	return well()
}

// staysOK looks for so long that a service is never anything else.
func (r *rig) staysOK(i int, d time.Duration) {
	r.t.Helper()
	for start := time.Now(); time.Since(start) < d; time.Sleep(50 * time.Millisecond) {
		if s := r.Snapshot()[i]; s.State != probe.OK {
			r.t.Fatalf("%+v after %v", s, time.Since(start))
		}
	}
}

func named(names ...string) []Target {
	var out []Target
	for _, n := range names {
		out = append(out, Target{Name: n, Kind: probe.ServiceTCP, Address: "192.0.2.1:1"})
	}
	return out
}

func TestEveryTargetIsProbedOncePerIntervalOnItsOwnBeat(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprint("s", i))
		}
		r.SetTargets(named(names...))
		time.Sleep(DefaultInterval)
		synctest.Wait()
		if n := r.count(); n != 50 {
			t.Errorf("%d probes in the first interval, want 50", n)
		}
		beats := map[time.Time]int{}
		r.mu.Lock()
		for _, at := range r.probed {
			beats[at.Truncate(DefaultInterval/8)]++
		}
		r.mu.Unlock()
		for at, n := range beats {
			if n > 10 {
				t.Errorf("%d of 50 probes in the eighth of the interval at %v", n, at)
			}
		}
		time.Sleep(10 * DefaultInterval)
		synctest.Wait()
		if n := r.count(); n != 550 {
			t.Errorf("%d probes in eleven intervals, want 550", n)
		}
	})
}

func TestARefusalIsFailingWithinASecondOfItsFirstSight(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("a", "b"))
		r.until(0, probe.OK, DefaultInterval)
		r.until(1, probe.OK, DefaultInterval)
		r.set("a", refuses)
		if took := r.until(0, probe.Failing, time.Minute); took > DefaultInterval+500*time.Millisecond {
			t.Errorf("failing after %v", took)
		}
		s := r.Snapshot()
		if s[0].Code != probe.CodeRefused || s[1].State != probe.OK {
			t.Errorf("snapshot %+v", s)
		}
		r.set("a", nil)
		if took := r.until(0, probe.OK, time.Minute); took > DefaultInterval+500*time.Millisecond {
			t.Errorf("well again after %v", took)
		}
	})
}

func TestSilenceIsConfirmedWhileTheFirstProbeStillWaits(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("a"))
		r.until(0, probe.OK, DefaultInterval)
		r.set("a", silent(ConnectLimit))
		before := r.count()
		for r.count() == before {
			time.Sleep(10 * time.Millisecond)
		}
		if took := r.until(0, probe.Failing, time.Minute); took > ConnectLimit+500*time.Millisecond {
			t.Errorf("failing %v after the first lost probe, want %v and little more", took, ConnectLimit)
		}
	})
}

// Which of several ways to a service fail is known soon after the first of them does.
func TestOneDoubtHasTheOthersProbed(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		targets := named("a", "b", "c", "d", "e", "f", "g", "h")
		r.SetTargets(targets)
		time.Sleep(20 * time.Second)
		for i := range targets {
			r.set(targets[i].Name, silent(time.Second))
		}
		begun := time.Now()
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
		first := time.Since(begun)
		for failing() < len(targets) {
			time.Sleep(50 * time.Millisecond)
		}
		if all := time.Since(begun); all-first > 2*time.Second {
			t.Errorf("the first failed after %v, all of them after %v", first, all)
		}
	})
}

func TestALostProbeIsNoFailure(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("a"))
		r.until(0, probe.OK, DefaultInterval)
		var lost atomic.Bool
		r.set("a", func(ctx context.Context) Result {
			if lost.CompareAndSwap(false, true) {
				return silent(ConnectLimit)(ctx)
			}
			return answered(time.Millisecond)
		})
		r.staysOK(0, 20*time.Second)
	})
}

func TestLateAnswersAreDegradedAndSlow(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("dns"))
		r.until(0, probe.OK, DefaultInterval)
		r.set("dns", late(3*time.Second))
		took := r.until(0, probe.Degraded, time.Minute)
		if s := r.Snapshot()[0]; s.Code != probe.CodeWaiting || s.Detail != "no answer yet" || took > DefaultInterval+1500*time.Millisecond {
			t.Errorf("after %v %+v", took, s)
		}
		time.Sleep(2200 * time.Millisecond)
		for range 20 {
			if s := r.Snapshot()[0]; s.State != probe.Degraded || s.Code != probe.CodeSlow || s.RTT != 3*time.Second {
				t.Fatalf("%+v", s)
			}
			time.Sleep(time.Second)
		}
		before := r.count()
		time.Sleep(10 * DefaultInterval)
		if n := r.count() - before; n > 11 {
			t.Errorf("a slow service is asked %d times in ten intervals", n)
		}
		r.set("dns", nil)
		r.until(0, probe.OK, 2*DefaultInterval)
	})
}

func TestADeadTargetNeitherStarvesTheOthersNorPilesUp(t *testing.T) {
	bubble(t, Config{Interval: time.Second, Width: 8}, func(r *rig) {
		r.set("dead", silent(5*time.Second))
		r.SetTargets(named("dead", "a", "b"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.mostAtOnce(); n > maxInFlight+2 {
			t.Errorf("%d probes under way at once", n)
		}
		s := r.Snapshot()
		if s[0].State != probe.Failing || s[1].State != probe.OK || s[2].State != probe.OK {
			t.Errorf("snapshot %+v", s)
		}
	})
}

func TestWidthBoundsTheProbesUnderWay(t *testing.T) {
	bubble(t, Config{Interval: time.Second, Width: 3}, func(r *rig) {
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprint("s", i))
			r.set(names[i], silent(5*time.Second))
		}
		r.SetTargets(named(names...))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := r.mostAtOnce(); n != 3 {
			t.Errorf("%d probes under way at once, want 3", n)
		}
		for _, s := range r.Snapshot() {
			if s.State != probe.Failing {
				t.Errorf("%s is %v: it never had its turn", s.Name, s.State)
			}
		}
	})
}

func TestTargetsComeAndGo(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		if s := r.Snapshot(); len(s) != 0 {
			t.Errorf("targets before any was set: %+v", s)
		}
		r.set("a", refuses)
		r.SetTargets(append(named("a", "b"), named("a")...))
		<-r.Changed()
		r.until(0, probe.Failing, 2*DefaultInterval)
		r.until(1, probe.OK, 2*DefaultInterval)
		time.Sleep(time.Minute)
		age := r.Snapshot()[0].Age
		r.SetTargets(named("c", "a"))
		s := r.Snapshot()
		if len(s) != 2 || s[0].Name != "c" || s[0].State != probe.Unknown || s[0].Loss != probe.LossUnknown ||
			s[1].State != probe.Failing || s[1].Age != age || age < time.Minute-2*DefaultInterval {
			t.Errorf("after the change %+v, the failure's age was %v", s, age)
		}
		r.SetTargets(nil)
		synctest.Wait()
		before := r.count()
		time.Sleep(time.Minute)
		if n := r.count() - before; n != 0 {
			t.Errorf("%d probes without a target", n)
		}
	})
}

func TestChangedIsSignalledForChangesOnly(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.SetTargets(named("a"))
		r.until(0, probe.OK, DefaultInterval)
		drain(r.Changed())
		time.Sleep(time.Minute)
		if drain(r.Changed()) {
			t.Error("a signal while nothing changed")
		}
		r.set("a", refuses)
		r.until(0, probe.Failing, 2*DefaultInterval)
		if !drain(r.Changed()) {
			t.Error("no signal of a failure")
		}
		r.SetTargets(named("a"))
		if drain(r.Changed()) {
			t.Error("a signal for the same targets")
		}
	})
}

func drain(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAShorterIntervalCountsFromNow(t *testing.T) {
	bubble(t, Config{Interval: time.Hour}, func(r *rig) {
		r.SetTargets(named("a"))
		r.SetInterval(time.Second)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := r.count(); n != 10 {
			t.Errorf("%d probes in 10 s, want 10", n)
		}
		r.SetInterval(10 * time.Second)
		time.Sleep(100 * time.Second)
		synctest.Wait()
		if n := r.count(); n < 19 || n > 21 {
			t.Errorf("%d probes after 100 s more, want about 20", n)
		}
	})
}

func TestWhatCannotBeProbedIsUnknownAndSaysSo(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		target := Target{Name: "new", Kind: "quic", Address: "192.0.2.1:1"}
		r.set("new", func(ctx context.Context) Result { return Probe(ctx, target) })
		r.SetTargets([]Target{target})
		time.Sleep(2 * DefaultInterval)
		synctest.Wait()
		s := r.Snapshot()[0]
		if s.State != probe.Unknown || s.Code != probe.CodeOff || s.Detail != "unknown kind quic" {
			t.Errorf("%+v", s)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	bubble(t, Config{Interval: 10 * time.Millisecond}, func(r *rig) {
		var g sync.WaitGroup
		for i := range 4 {
			g.Go(func() {
				for j := range 50 {
					r.SetTargets(named(fmt.Sprint("s", (i+j)%7), "x"))
					_ = r.Snapshot()
					drain(r.Changed())
					r.SetInterval(time.Duration(5+j%5) * time.Millisecond)
					time.Sleep(time.Millisecond)
				}
			})
		}
		g.Wait()
		if s := r.Snapshot(); !slices.ContainsFunc(s, func(s probe.Service) bool { return s.Name == "x" }) {
			t.Errorf("%+v", s)
		}
	})
}
