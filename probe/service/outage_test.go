package service

import (
	"fmt"
	"testing"
	"time"

	"netchecker/probe"
)

// An outage shorter than the interval has everything that it broke probed twice between two regular beats,
// once when it is seen and once when it is seen to be over; the second must bring all of it back.
func TestAShortOutageIsOverForAllAtOnce(t *testing.T) {
	const targets = 18
	for _, interval := range []time.Duration{8 * time.Second, 32 * time.Second} {
		for at := time.Duration(0); at < interval; at += interval / 7 {
			bubble(t, Config{Interval: interval, Width: 4 * targets}, func(r *rig) {
				var list []string
				for i := range targets {
					list = append(list, fmt.Sprint("s", i))
				}
				r.SetTargets(named(list...))
				time.Sleep(3*interval + at)
				for _, name := range list {
					r.set(name, refuses)
				}
				for i := range list {
					r.until(i, probe.Failing, interval)
				}
				for _, name := range list {
					r.set(name, nil)
				}
				if n := r.wellSoonAfterTheFirst(); n < targets {
					t.Errorf("%v, %v: %d of %d are well a second after the first", interval, at, n, targets)
				}
			})
		}
	}
}
