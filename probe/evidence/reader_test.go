package evidence

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"netchecker/probe"
)

// fakeReader reads snapshots whose counters and first link grow by 10 a second of virtual time.
func fakeReader(t *testing.T) (*Reader, *[]time.Duration) {
	t.Helper()
	began := time.Now()
	at := &[]time.Duration{}
	r := NewReader(false)
	r.read = func(context.Context, Interest) (*probe.Snapshot, error) {
		*at = append(*at, time.Since(began))
		n := 1000 + uint64(time.Since(began)/time.Second)*10
		s := &probe.Snapshot{At: time.Now().UTC(), Links: []probe.Link{{Name: "eth0", Index: 2, TX: probe.Traffic{Packets: n}}}}
		s.Counters[probe.IPInReceives] = probe.Count{Total: n, Known: true}
		return s, nil
	}
	return r, at
}

func TestReaderReadsEvery30SecondsAndSoonWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, at := fakeReader(t)
		ctx, cancel := context.WithCancel(t.Context())
		var done bool
		var last *probe.Snapshot
		go func() {
			r.Run(ctx, func() Interest { return Interest{} }, func(s *probe.Snapshot, err error) { last = s })
			done = true
		}()
		time.Sleep(100 * time.Second)
		for range 5 { // a storm of requests is one reading
			r.Trigger()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(80 * time.Second)
		cancel()
		synctest.Wait()
		if !done {
			t.Error("Run goes on after its end")
		}
		// 0, 30, 60, 90; asked at 100, and again within the first 2 s; then the pauses grow back.
		want := []time.Duration{0, 30, 60, 90, 100, 102, 104, 108, 116, 132, 162}
		if len(*at) != len(want) {
			t.Fatalf("readings at %v, want seconds %v", *at, want)
		}
		for i, w := range want {
			if (*at)[i].Round(time.Second) != w*time.Second {
				t.Errorf("reading %d at %v, want %v", i, (*at)[i], w*time.Second)
			}
		}
		if got := last.Growth(probe.IPInReceives); got != 300 || last.Interval != 30*time.Second || last.Links[0].TX.Packets != 300 {
			t.Errorf("growth %d and %+v over %v, want 300 over 30 s", got, last.Links[0].TX, last.Interval)
		}
	})
}

func TestGrowthCoversTenSecondsWhenReadingsComeFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := fakeReader(t)
		for i := range 40 {
			s, err := r.Read(t.Context(), Interest{})
			if err != nil {
				t.Fatal(err)
			}
			want := min(time.Duration(i)*time.Second, 10*time.Second)
			if s.Interval != want || s.Growth(probe.IPInReceives) != uint64(want/time.Second*10) || s.Links[0].TX.Packets != s.Growth(probe.IPInReceives) {
				t.Fatalf("reading %d: growth %d, link %d over %v, want 10 a second over %v", i, s.Growth(probe.IPInReceives), s.Links[0].TX.Packets, s.Interval, want)
			}
			time.Sleep(time.Second)
		}
		for range 1000 {
			if _, err := r.Read(t.Context(), Interest{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if len(r.past) > 20 {
			t.Errorf("%d readings are remembered", len(r.past))
		}
	})
}

// TestGrowthIsOfTheLastSecondsWhateverIsDoneToTheClock has a node whose clock is set while the agent runs, as
// NTP does after a boot with a wrong one.
func TestGrowthIsOfTheLastSecondsWhateverIsDoneToTheClock(t *testing.T) {
	for _, by := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := fakeReader(t)
				right, set := r.read, time.Duration(0)
				r.read = func(ctx context.Context, i Interest) (*probe.Snapshot, error) {
					s, err := right(ctx, i)
					s.At = s.At.Add(set)
					return s, err
				}
				for i := range 60 {
					if i == 20 {
						set = by
					}
					s, err := r.Read(t.Context(), Interest{})
					if err != nil {
						t.Fatal(err)
					}
					want := min(time.Duration(i)*time.Second, 10*time.Second)
					if s.Interval != want || s.Growth(probe.IPInReceives) != uint64(want/time.Second*10) {
						t.Fatalf("reading %d: growth %d over %v, want 10 a second over %v", i, s.Growth(probe.IPInReceives), s.Interval, want)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestErrorIsHandedOnAndReadingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReader(false)
		broken := errors.New("no netlink")
		r.read = func(context.Context, Interest) (*probe.Snapshot, error) { return nil, broken }
		ctx, cancel := context.WithTimeout(t.Context(), 65*time.Second)
		defer cancel()
		var errs []error
		r.Run(ctx, func() Interest { return Interest{} }, func(s *probe.Snapshot, err error) { errs = append(errs, err) })
		if len(errs) != 3 || !errors.Is(errs[2], broken) {
			t.Errorf("errors %v, want the same three times", errs)
		}
	})
}

func TestCounterThatWasSetBackCountsAnew(t *testing.T) {
	r := NewReader(false)
	total := uint64(5000)
	r.read = func(context.Context, Interest) (*probe.Snapshot, error) {
		s := &probe.Snapshot{At: time.Now(), Links: []probe.Link{{Name: "eth0", Index: int(total), TX: probe.Traffic{Packets: total}}}}
		s.Counters[probe.IPInReceives] = probe.Count{Total: total, Known: true}
		return s, nil
	}
	first, _ := r.Read(t.Context(), Interest{})
	total = 7
	second, _ := r.Read(t.Context(), Interest{})
	if first.Links[0].TX.Packets != 0 || second.Growth(probe.IPInReceives) != 7 || second.Links[0].TX.Packets != 7 {
		t.Errorf("first %+v, then %d and %+v", first.Links[0].TX, second.Growth(probe.IPInReceives), second.Links[0].TX)
	}
}
