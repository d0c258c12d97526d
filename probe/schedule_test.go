package probe

import (
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name          string
		targets, rate int
		off           [Kinds]bool
		udp, other    time.Duration
	}{
		{"few targets are probed once a second", 10, 400, [Kinds]bool{}, time.Second, time.Second},
		{"240 targets are udp's share", 240, 400, [Kinds]bool{}, time.Second, 4500 * time.Millisecond},
		{"100 nodes", 199, 400, [Kinds]bool{}, time.Second, 3731250 * time.Microsecond},
		{"5,000 nodes within 45 s", 10000, 400, [Kinds]bool{}, 41666 * time.Millisecond, 187500 * time.Millisecond},
		{"icmp off leaves more for the others", 240, 400, [Kinds]bool{ICMP: true}, time.Second, 3 * time.Second},
		{"no target", 0, 400, [Kinds]bool{}, time.Second, time.Second},
		{"one probe a second", 1, 1, [Kinds]bool{}, 1666 * time.Millisecond, 7500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Plan(tt.targets, tt.rate, tt.off)
			for _, k := range AllKinds() {
				want := tt.other
				if k == UDP {
					want = tt.udp
				}
				if tt.off[k] {
					want = 0
				}
				if d := p[k] - want; d < -time.Millisecond || d > time.Millisecond {
					t.Errorf("%v every %v, want %v", k, p[k], want)
				}
			}
		})
	}
}

func TestRound_visits_every_target_once_a_period_evenly(t *testing.T) {
	var r round
	r.reset(time.Second, 7, 0, 0)
	visits, perTick := map[int]int{}, map[time.Duration]int{}
	for now := time.Duration(0); now < 10*time.Second; now += Tick {
		for {
			i, due := r.peek(now)
			if !due {
				break
			}
			visits[i]++
			perTick[now]++
			r.advance()
		}
	}
	for i := range 7 {
		if visits[i] < 10 || visits[i] > 11 {
			t.Errorf("target %d visited %d times in 10 s", i, visits[i])
		}
	}
	for now, n := range perTick {
		if n > 1 {
			t.Errorf("%d probes at %v", n, now)
		}
	}
}

func TestRound_late_wake_up_makes_no_burst(t *testing.T) {
	var r round
	r.reset(time.Second, 100, 0, 0)
	sent := 0
	for now := 30 * time.Second; ; {
		_, due := r.peek(now)
		if !due {
			break
		}
		sent++
		r.advance()
	}
	if sent > 100*4/20+1 {
		t.Errorf("%d probes after half a minute's sleep", sent)
	}
}

func TestRound_reset_goes_on_where_it_stood(t *testing.T) {
	var r round
	r.reset(time.Second, 100, 0, 0)
	for range 50 {
		r.advance()
	}
	r.reset(time.Second, 200, 10*time.Second, 0.25)
	if i, due := r.peek(10 * time.Second); i != 100 || !due {
		t.Errorf("goes on at %d, due %v", i, due)
	}
	r.reset(time.Second, 0, 10*time.Second, 0)
	if _, due := r.peek(20 * time.Second); due {
		t.Error("an empty round has something due")
	}
	r.reset(0, 10, 10*time.Second, 0)
	if _, due := r.peek(20 * time.Second); due {
		t.Error("a kind that is off has something due")
	}
}

func TestPhase_is_spread_and_differs_between_agents(t *testing.T) {
	var buckets [10]int
	same := 0
	for id := uint64(1); id <= 10000; id++ {
		p := phase(1, id)
		buckets[p/(1<<64/10+1)]++
		if p>>60 == phase(2, id)>>60 {
			same++
		}
		if p != phase(1, id) {
			t.Fatal("not the same twice")
		}
	}
	for i, n := range buckets {
		if n < 800 || n > 1200 {
			t.Errorf("tenth %d holds %d of 10,000", i, n)
		}
	}
	if same > 1000 {
		t.Errorf("two agents agree on %d of 10,000", same)
	}
}

func TestBudget_never_exceeds_the_rate(t *testing.T) {
	for _, rate := range []int{1, 7, 100, 400} {
		b := budget{rate: rate}
		var spent []int
		for i := range 400 {
			now := time.Duration(i) * Tick
			if i > 200 {
				now += 3 * time.Second // a pause earns nothing
			}
			if i == 201 {
				spent = append(spent, make([]int, 60)...)
			}
			b.advance(now)
			n := 0
			for b.take() {
				n++
			}
			spent = append(spent, n)
			if n > max(1, rate/5) {
				t.Fatalf("rate %d: %d probes in one tick", rate, n)
			}
			sum := 0
			for _, n := range spent[max(0, len(spent)-budgetSlots):] {
				sum += n
			}
			if sum > rate {
				t.Fatalf("rate %d: %d probes in a second", rate, sum)
			}
		}
		total := 0
		for _, n := range spent[261:] {
			total += n
		}
		if total < 9*rate-1 {
			t.Errorf("rate %d: only %d in ten seconds", rate, total)
		}
	}
}

func TestPendings_finds_expires_and_suspects_in_order(t *testing.T) {
	p := newPendings(1)
	tg := &target{}
	var cookies []uint64
	for i := range len(p.slots) {
		if p.full() {
			t.Fatalf("full after %d", i)
		}
		c := p.cookie()
		cookies = append(cookies, c)
		p.push(pending{t: tg, cookie: c, seq: uint32(i), mono: time.Duration(i) * time.Millisecond, class: uint8(i % 2)})
	}
	if !p.full() {
		t.Error("not full")
	}
	for i, c := range cookies {
		if f := p.find(c); f == nil || f.seq != uint32(i) {
			t.Fatalf("cookie %d not found", i)
		}
		if p.find(c+uint64(len(p.slots))) != nil {
			t.Fatal("a wrong cookie is found")
		}
	}
	var suspects []uint32
	p.suspects(300*time.Millisecond, func(s *pending) { suspects = append(suspects, s.seq) })
	p.suspects(300*time.Millisecond, func(s *pending) { suspects = append(suspects, s.seq) })
	if len(suspects) != 51 || suspects[50] != 100 { // class 0 waits 200 ms: those sent at 0, 2, … 100
		t.Errorf("suspects %v", suspects)
	}
	p.find(cookies[3]).flags = pendingDone
	var lost []uint32
	p.expire(10*time.Millisecond, func(l *pending) { lost = append(lost, l.seq) })
	if len(lost) != 10 || lost[3] != 4 {
		t.Errorf("expired %v", lost)
	}
	if p.find(cookies[0]) != nil || p.find(cookies[11]) == nil {
		t.Error("the wrong ones are gone")
	}
	if n := p.newest(func(*pending) bool { return true }); n == nil || n.seq != uint32(len(cookies)-1) {
		t.Error("not the newest")
	}
}

func TestMTUSearch(t *testing.T) {
	for mtu := uint16(108); mtu < 1500; mtu += 7 {
		for _, hint := range []uint16{0, mtu, 1300, 9000} {
			var s mtuSearch
			s.suggest(hint)
			s.start(108, 1500, 0)
			steps := 0
			for s.active {
				size, ok := s.next()
				if !ok {
					t.Fatalf("mtu %d, hint %d: stuck: %+v", mtu, hint, s)
				}
				if steps++; size <= mtu {
					s.passed(size)
				} else {
					s.failed(size, false)
				}
			}
			if s.found != mtu || steps > 40 {
				t.Fatalf("mtu %d, hint %d: found %d in %d steps", mtu, hint, s.found, steps)
			}
			if hint == mtu && mtu > 108 && steps > 5 {
				t.Errorf("mtu %d was named and took %d steps", mtu, steps)
			}
		}
	}
}

func TestMTUSearch_one_loss_does_not_mislead(t *testing.T) {
	var s mtuSearch
	s.start(108, 1500, 0)
	tried := map[uint16]bool{}
	for s.active {
		size, ok := s.next()
		if !ok {
			t.Fatal("stuck")
		}
		if size <= 1450 && tried[size] {
			s.passed(size)
		} else {
			s.failed(size, false)
		}
		tried[size] = true
	}
	if s.found != 1450 {
		t.Errorf("found %d", s.found)
	}
}

func TestMTUSearch_a_busy_peer_does_not_mislead(t *testing.T) {
	for quiet := range 10 { // for so many probes from the third on nothing is answered
		var s mtuSearch
		s.start(108, 1500, 0)
		for i := 0; s.active; i++ {
			size, ok := s.next()
			if !ok {
				t.Fatal("stuck")
			}
			if size <= 1450 && (i < 3 || i >= 3+quiet) {
				s.passed(size)
			} else {
				s.failed(size, false)
			}
		}
		if s.found != 1450 {
			t.Errorf("%d probes lost: found %d", quiet, s.found)
		}
	}
}

func TestMTUSearch_unsent_probes_are_asked_for_again(t *testing.T) {
	var s mtuSearch
	s.start(108, 1500, 0)
	size, _ := s.next()
	s.unsent(size)
	if again, ok := s.next(); !ok || again != size {
		t.Errorf("%d, then %d", size, again)
	}
	s.start(1500, 1500, 0)
}
