package service

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netchecker/probe"
)

// What is wrong for long must not multiply the probes: all agents of the mesh see it at once, and ask one
// server. Each row says how many times the regular number is asked, over 50 intervals: of all targets
// together, and of the one that is asked most.
func TestLastingTroubleIsNotAskedAfterForEver(t *testing.T) {
	const targets, intervals = 18, 50
	steady := func(int) func(context.Context) Result { return late(350 * time.Millisecond) }
	for _, c := range []struct {
		says      string
		ill       int // how many of the targets
		answer    func(i int) func(context.Context) Result
		all, most float64
	}{
		{"one answers after 350 ms", 1, steady, 1.2, 1.2},
		{"two answer after 350 ms", 2, steady, 1.2, 1.2},
		{"all answer after 350 ms", targets, steady, 1.2, 1.2},
		{"two answer between 10 and 990 ms", 2, jittery, 2.5, 5},
		{"all answer between 10 and 990 ms", targets, jittery, 4, 5},
		{"a tenth of all is lost", targets, lossy(0.1), 3, 3},
		{"half of one is lost", 1, lossy(0.5), 2.5, 5},
		{"half of all is lost", targets, lossy(0.5), 5, 5},
		{"every other one is refused", 2, alternating, 2.5, 6},
	} {
		for _, interval := range []time.Duration{DefaultInterval, 32 * time.Second} {
			t.Run(fmt.Sprintf("%s, %v", c.says, interval), func(t *testing.T) {
				bubble(t, Config{Interval: interval, Width: 4 * targets}, func(r *rig) {
					var list []string
					for i := range targets {
						list = append(list, fmt.Sprint("s", i))
					}
					r.SetTargets(named(list...))
					time.Sleep(2 * interval)
					asked := make([]int, targets)
					var mu sync.Mutex
					for i, name := range list {
						answer := late(time.Millisecond)
						if i < c.ill {
							answer = c.answer(i)
						}
						r.set(name, func(ctx context.Context) Result {
							mu.Lock()
							asked[i]++
							mu.Unlock()
							return answer(ctx)
						})
					}
					time.Sleep(intervals * interval)
					mu.Lock()
					defer mu.Unlock()
					all := 0
					for _, n := range asked {
						all += n
					}
					times, most := float64(all)/(targets*intervals), float64(slices.Max(asked))/intervals
					t.Logf("all are asked %.2f times as often, one %.2f times", times, most)
					if times > c.all || most > c.most+0.1 { // a budget more at the edges of the time
						t.Errorf("all are asked %.2f times as often, one %.2f times, want at most %.1f and %.1f",
							times, most, c.all, c.most)
					}
				})
			})
		}
	}
}

// jittery answers after 10 to 990 ms, which is never called slow.
func jittery(i int) func(context.Context) Result {
	random := chance(i)
	return func(ctx context.Context) Result {
		return late(10*time.Millisecond + time.Duration(random()*float64(980*time.Millisecond)))(ctx)
	}
}

// lossy loses that part of all packets by chance.
func lossy(part float64) func(i int) func(context.Context) Result {
	return func(i int) func(context.Context) Result {
		random := chance(i)
		return func(ctx context.Context) Result {
			if random() < part {
				return silent(DatagramLimit)(ctx)
			}
			return late(time.Millisecond)(ctx)
		}
	}
}

// alternating is a Service of two servers in turn, one of which is gone.
func alternating(int) func(context.Context) Result {
	var mu sync.Mutex
	gone := false
	return func(ctx context.Context) Result {
		mu.Lock()
		defer mu.Unlock()
		if gone = !gone; gone {
			return refuses(ctx)
		}
		return answered(time.Millisecond)
	}
}

// chance returns the numbers from 0 to 1 of target i, the same in each run.
func chance(i int) func() float64 {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, uint64(i)))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64()
	}
}

// In a big mesh beats are far apart: what came back brings the others back at once.
func TestARecoveryHasTheOthersProbed(t *testing.T) {
	bubble(t, Config{Interval: 32 * time.Second}, func(r *rig) {
		targets := named("a", "b", "c", "d", "e", "f", "g", "h")
		r.SetTargets(targets)
		time.Sleep(2 * time.Minute)
		for _, target := range targets {
			r.set(target.Name, refuses)
		}
		for i := range targets {
			r.until(i, probe.Failing, time.Minute)
		}
		time.Sleep(time.Minute)
		for _, target := range targets {
			r.set(target.Name, nil)
		}
		if n := r.wellSoonAfterTheFirst(); n < len(targets) {
			t.Errorf("%d of %d are well a second after the first", n, len(targets))
		}
	})
}

// What one lost packet sets off must not leave an outage that follows to the beats of each target.
func TestAFalseAlarmDoesNotHideTheNextOne(t *testing.T) {
	const targets = 18
	bubble(t, Config{Interval: 32 * time.Second, Width: 4 * targets}, func(r *rig) {
		var list []string
		for i := range targets {
			list = append(list, fmt.Sprint("s", i))
		}
		r.SetTargets(named(list...))
		time.Sleep(2 * time.Minute)
		var lost atomic.Bool
		r.set("s0", func(ctx context.Context) Result {
			if lost.CompareAndSwap(false, true) {
				return silent(DatagramLimit)(ctx)
			}
			return answered(time.Millisecond)
		})
		for !lost.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(4 * time.Second)
		begun := time.Now()
		for _, name := range list {
			r.set(name, silent(DatagramLimit))
		}
		for i := range list {
			r.until(i, probe.Failing, time.Minute)
		}
		// A 18th of the interval or little more, and what a failure takes from its first probe.
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("all are failing after %v", took)
		}
	})
}
