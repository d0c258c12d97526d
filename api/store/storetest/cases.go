package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

func contract(t *testing.T, p Place) {
	s := p.open(t)
	if got, err := s.Get(context.Background(), "a"); got != nil || err != nil || Names(t, s) != "" {
		t.Errorf("empty: %v %v %q", got, err, Names(t, s))
	}
	put(t, s, Report("b", 1), Report("a", 1), Report("c", 1), Report("b", 2))
	if uptime(t, s, "b") != 2 || Names(t, s) != "a b c" {
		t.Errorf("b is %d, there are %s", uptime(t, s, "b"), Names(t, s))
	}
	remove(t, s, "a", "nobody")
	if Names(t, s) != "b c" {
		t.Errorf("after a removal: %s", Names(t, s))
	}
	put(t, s, Report("a", 3)) // a name that was removed may come again
	for _, rec := range odd() {
		put(t, s, rec)
		got, err := s.Get(context.Background(), rec.Name)
		if err != nil {
			t.Error(err)
		}
		same(t, got, rec)
	}
	Settle(t, s)
	if st := s.Stats(); st.Kind == "" || st.Bound > 0 && st.Writes < 8 || st.Errors > 0 {
		t.Errorf("%+v", st)
	}
}

func concurrent(t *testing.T, p Place) {
	s := p.open(t)
	put(t, s, Report("b", 1))
	var many sync.WaitGroup
	for i := range 8 {
		many.Go(func() {
			for j := range 50 {
				put(t, s, Report(fmt.Sprint(i), j))
				if j%10 == 5 {
					remove(t, s, fmt.Sprint(i))
				}
				Names(t, s)
				uptime(t, s, "b")
				s.Stats()
			}
		})
	}
	many.Wait()
	if Names(t, s) != "0 1 2 3 4 5 6 7 b" {
		t.Error(Names(t, s))
	}
	Settle(t, s)
}

func restart(t *testing.T, p Place) {
	s := p.open(t)
	want := odd()
	put(t, s, want...)
	put(t, s, Report("gone", 1), Report("gone-too", 1))
	future := Report("future", 1)
	future.LastUpdated = time.Now().Add(1000 * time.Hour)
	put(t, s, future, Report("again", 1), Report("again", 2))
	remove(t, s, "gone-too")
	Settle(t, s)
	remove(t, s, "gone")
	Settle(t, s)
	s.shut()

	s = p.open(t)
	for _, rec := range want {
		got, err := s.Get(context.Background(), rec.Name)
		if err != nil {
			t.Error(err)
		}
		same(t, got, rec)
	}
	if uptime(t, s, "again") != 2 || uptime(t, s, "gone") != 0 || uptime(t, s, "gone-too") != 0 {
		t.Errorf("again %d, gone %d, gone-too %d", uptime(t, s, "again"), uptime(t, s, "gone"), uptime(t, s, "gone-too"))
	}
	if rec, _ := s.Get(context.Background(), "future"); rec == nil || rec.LastUpdated.After(time.Now()) {
		t.Errorf("a date that is yet to come would keep an agent in good standing: %+v", rec)
	}
	put(t, s, Report("again", 5))
	remove(t, s, "plain")
	s.shut() // at once: what waits is written first

	s = p.open(t)
	if uptime(t, s, "again") != 5 || uptime(t, s, "plain") != 0 {
		t.Errorf("what came right before the end: again %d, plain %d", uptime(t, s, "again"), uptime(t, s, "plain"))
	}
}

func twoServers(t *testing.T, p Place) {
	a, b := p.open(t), p.open(t)
	put(t, a, Report("x", 1), Report("y", 1))
	put(t, b, Report("z", 1))
	Await(t, "each has the other's records", func() bool { return Names(t, a) == "x y z" && Names(t, b) == "x y z" })
	put(t, b, Report("x", 2))
	Await(t, "the newer one", func() bool { return uptime(t, a, "x") == 2 })
	put(t, a, Report("x", 3))
	Await(t, "and back", func() bool { return uptime(t, b, "x") == 3 })

	// Who is gone, each server finds out by itself; the first to do so does not disturb the other.
	Settle(t, a)
	remove(t, a, "y")
	Settle(t, a)
	remove(t, b, "y")
	Settle(t, b)
	c := p.open(t)
	if Names(t, c) != "x z" || Names(t, a) != "x z" || Names(t, b) != "x z" {
		t.Errorf("%q %q %q", Names(t, a), Names(t, b), Names(t, c))
	}
	put(t, a, Report("y", 9))
	Await(t, "a pod of the same name again", func() bool { return uptime(t, b, "y") == 9 && uptime(t, c, "y") == 9 })

	// The death of one loses nothing.
	Settle(t, a)
	a.shut()
	put(t, b, Report("z", 4))
	Await(t, "the others go on", func() bool { return uptime(t, c, "z") == 4 })
	if Names(t, b) != "x y z" || Names(t, c) != "x y z" {
		t.Errorf("%q %q", Names(t, b), Names(t, c))
	}
}

// oneReport is what agents do: they post the same report to every server.
func oneReport(t *testing.T, p Place) {
	a, b := p.open(t), p.open(t)
	for n := 1; n <= 5; n++ {
		for i := range 20 {
			rec := Report(fmt.Sprintf("agent-%02d", i), n)
			later := *rec
			later.LastUpdated = rec.LastUpdated.Add(time.Millisecond)
			put(t, a, rec)
			put(t, b, &later)
		}
	}
	Settle(t, a)
	Settle(t, b)
	c := p.open(t)
	for i := range 20 {
		name := fmt.Sprintf("agent-%02d", i)
		if uptime(t, a, name) != 5 || uptime(t, b, name) != 5 || uptime(t, c, name) != 5 {
			t.Errorf("%s: %d %d %d", name, uptime(t, a, name), uptime(t, b, name), uptime(t, c, name))
		}
	}
}

func killed(t *testing.T, p Place) {
	s := p.open(t)
	put(t, s, Report("before", 1), Report("both", 1), Report("silent", 1))
	Settle(t, s)
	p.Kill(t)
	put(t, s, Report("during", 1), Report("both", 2))
	Await(t, "the failure is said", func() bool { return s.Err() != nil })
	for n := 3; n <= 10; n++ {
		put(t, s, Report("both", n))
	}
	if Names(t, s) != "before both during silent" || uptime(t, s, "both") != 10 {
		t.Errorf("memory goes on: %s, both %d", Names(t, s), uptime(t, s, "both"))
	}
	if st := s.Stats(); st.Unwritten != 2 || st.Age == 0 || st.Errors == 0 {
		t.Errorf("%+v", st)
	}
	p.Revive(t)
	Await(t, "the store works again", func() bool { return s.Err() == nil && s.Behind() == nil })
	Settle(t, s)
	put(t, s, Report("after", 1))
	Settle(t, s)
	again := p.open(t)
	if Names(t, again) != "after before both during silent" || uptime(t, again, "both") != 10 {
		t.Errorf("kept: %s, both %d", Names(t, again), uptime(t, again, "both"))
	}
}

func awayAtStart(t *testing.T, p Place) {
	s := p.open(t)
	put(t, s, Report("x", 1), Report("y", 5), Report("z", 1))
	Settle(t, s)
	s.shut()
	p.Kill(t)
	s = p.start(t)
	put(t, s, Report("new", 1), Report("x", 2))
	old := Report("y", 4) // a report that another server had taken earlier
	old.LastUpdated = old.LastUpdated.Add(-time.Hour)
	put(t, s, old)
	Await(t, "why nothing was read", func() bool { return s.Err() != nil && s.Behind() != nil })
	if uptime(t, s, "x") != 2 || Names(t, s) != "new x y" {
		t.Errorf("x %d, %s", uptime(t, s, "x"), Names(t, s))
	}
	p.Revive(t)
	Await(t, "all is read", func() bool { return s.Err() == nil && s.Behind() == nil })
	Settle(t, s)
	again := p.open(t)
	for _, one := range []struct {
		name string
		want uint64
	}{{"new", 1}, {"x", 2}, {"y", 5}, {"z", 1}} {
		if got, kept := uptime(t, s, one.name), uptime(t, again, one.name); got != one.want || kept != one.want {
			t.Errorf("%s: %d, kept %d, want %d", one.name, got, kept, one.want)
		}
	}
}

// removedWhileAway: what is removed while nobody can know whether there is something newer comes back
// for another look.
func removedWhileAway(t *testing.T, p Place) {
	s := p.open(t)
	put(t, s, Report("x", 1), Report("y", 1))
	Settle(t, s)
	p.Kill(t)
	put(t, s, Report("unwritten", 1))
	Await(t, "the failure is said", func() bool { return s.Behind() != nil })
	remove(t, s, "x", "unwritten")
	if Names(t, s) != "y" {
		t.Errorf("memory: %s", Names(t, s))
	}
	p.Revive(t)
	Await(t, "x is there again, and only x", func() bool { return s.Behind() == nil && Names(t, s) == "x y" })
	Settle(t, s)
	remove(t, s, "x")
	Settle(t, s)
	if again := p.open(t); Names(t, again) != "y" {
		t.Errorf("kept: %s", Names(t, again))
	}
}
