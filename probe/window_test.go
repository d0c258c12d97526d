package probe

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// play enters a history: '.' is an answer after 1 ms, 'x' a time-out, 'r' a refusal, 's' an answer
// after 200 ms, '-' a probe whose outcome is not known. One probe each 250 ms.
func play(w *Window, history string, now time.Duration) time.Duration {
	for _, outcome := range history {
		seq := w.Send()
		now += 250 * time.Millisecond
		switch outcome {
		case '.':
			w.Good(seq, time.Millisecond, now)
		case 's':
			w.Good(seq, 200*time.Millisecond, now)
		case 'x':
			w.Lost(seq, CodeTimeout, now)
		case 'r':
			w.Lost(seq, CodeRefused, now)
		}
	}
	return now
}

func TestWindow_verdicts(t *testing.T) {
	good := strings.Repeat(".", 30)
	for _, tt := range []struct {
		name, history string
		state         State
		code          Code
	}{
		{"nothing sent is unknown", "", Unknown, CodeNone},
		{"nothing known is unknown", "----", Unknown, CodeNone},
		{"the first answer is enough", ".", OK, CodeNone},
		{"one loss at the start is unknown", "x", Unknown, CodeNone},
		{"four losses at the start fail", "xxxx", Failing, CodeTimeout},
		{"one loss in a clean window is ok", good + "x", OK, CodeNone},
		{"one loss, then answers, is ok", good + "x....", OK, CodeNone},
		{"three losses in a row after clean outcomes are lossy", good + "xxx", Degraded, CodeLoss},
		{"the first loss and the burst of three fail", good + "xxxx", Failing, CodeTimeout},
		{"a refusal is named", good + "rrrr", Failing, CodeRefused},
		{"an error among time-outs stays named", good + "xrxxx", Failing, CodeRefused},
		{"an error from before the last clean window is not named again", good + "rrrr" + strings.Repeat(".", 40) + "xxxxxx", Failing, CodeTimeout},
		{"two losses of 20 degrade", good + "x...x", Degraded, CodeLoss},
		{"two losses further apart than 20 do not", good + "x" + strings.Repeat(".", 20) + "x", OK, CodeNone},
		{"one answer ends failing", good + "xxxxxx.", Degraded, CodeLoss},
		{"five answers are not a clean window", good + "xxxxxx.....", Degraded, CodeLoss},
		{"nineteen good are not a clean window", good + "xxxxxx" + strings.Repeat(".", 19), Degraded, CodeLoss},
		{"twenty good are", good + "xxxxxx" + strings.Repeat(".", 20), OK, CodeNone},
		{"four losses in a row amid loss of half are chance", good + "x.x.x.x.x.x.xxxx", Degraded, CodeLoss},
		{"twelve are not", good + "x.x.x.x.x.x.xxxxxxxxxxxx", Failing, CodeTimeout},
		{"local refusals among answers are named", good + "r.r..r", Degraded, CodeRefused},
		{"unknown outcomes neither count nor break a run", good + "x-x-x-x", Failing, CodeTimeout},
		{"nineteen slow answers are ok", good + strings.Repeat("s", 19), OK, CodeNone},
		{"twenty are slow", good + strings.Repeat("s", 20), Degraded, CodeSlow},
		{"one fast answer is not five", good + strings.Repeat("s", 20) + ".", Degraded, CodeSlow},
		{"five fast answers are ok", good + strings.Repeat("s", 20) + ".....", OK, CodeNone},
		{"slow from the start is this path's own baseline", strings.Repeat("s", 40), OK, CodeNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			play(&w, tt.history, 0)
			if w.State() != tt.state || w.Code() != tt.code {
				t.Errorf("%s: %v %v, want %v %v", tt.history, w.State(), w.Code(), tt.state, tt.code)
			}
		})
	}
}

func TestWindow_order_of_arrival_does_not_matter(t *testing.T) {
	const history = "..........x..xx.xx...........x...x.xxxxx"
	var inOrder Window
	end := play(&inOrder, history, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var w Window
		for range history {
			w.Send()
		}
		for _, i := range rng.Perm(len(history)) {
			if history[i] == 'x' {
				w.Lost(uint32(i+1), CodeTimeout, end)
			} else {
				w.Good(uint32(i+1), time.Millisecond, end)
			}
		}
		if w.done != inOrder.done || w.lost != inOrder.lost {
			t.Fatalf("lost %064b, in order %064b", w.lost, inOrder.lost)
		}
		run, losses, seen := w.tail(20)
		if r, l, s := inOrder.tail(20); r != run || l != losses || s != seen {
			t.Fatalf("tail %d %d %d, in order %d %d %d", run, losses, seen, r, l, s)
		}
	}
}

func TestWindow_Status_counts_since_the_trouble_began(t *testing.T) {
	var w Window
	now := play(&w, strings.Repeat(".", 60), 0)
	if s := w.Status(now); s.Loss != 0 || s.RTT != time.Millisecond || s.Forward != LossUnknown {
		t.Errorf("clean: %+v", s)
	}
	now = play(&w, strings.Repeat("x", 20), now)
	if s := w.Status(now + time.Second); s.Loss != 200 || s.Forward != LossUnknown || s.Age < time.Second || s.Age > 6*time.Second {
		t.Errorf("dead: %+v", s)
	}
	now = play(&w, strings.Repeat(".", 64), now)
	if s := w.Status(now); s.Loss != 0 || s.State != OK {
		t.Errorf("repaired: %+v", s)
	}
}

func TestWindow_directions(t *testing.T) {
	var w Window
	for range 64 {
		w.Send()
	}
	var received uint64
	for seq := uint32(1); seq <= 64; seq++ {
		switch {
		case seq == 64: // answered last, so that the peer's report covers all
			received |= 1
			w.Good(seq, 0, 0)
		case seq%4 == 0: // lost on the way there
			w.Lost(seq, CodeTimeout, 0)
		case seq%8 == 1: // received, the answer was lost
			received |= 1 << (64 - seq)
			w.Lost(seq, CodeTimeout, 0)
		default:
			received |= 1 << (64 - seq)
			w.Good(seq, 0, 0)
		}
	}
	w.Heard(64, received)
	w.first = 1
	if s := w.Status(0); s.Loss != LossOf(23, 64) || s.Forward != LossOf(15, 64) || s.Return != LossOf(8, 49) {
		t.Errorf("%+v", s)
	}
	w.PeerRestarted()
	if s := w.Status(0); s.Forward != LossOf(0, 1) {
		t.Errorf("the peer restarted and only the newest sequence is its own: %+v", s)
	}
	w.Heard(1000, ^uint64(0)) // a report on sequences that were never sent
	w.Heard(0, ^uint64(0))
}

func TestWindow_Forget_takes_out_one_source_port(t *testing.T) {
	var w Window
	play(&w, strings.Repeat("...x............", 4), 0)
	if slots := w.BadFlows(0); slots != 1<<4 {
		t.Fatalf("bad slots %016b", slots)
	}
	if ports := w.BadFlows(3); ports != 1<<7 {
		t.Fatalf("bad ports %016b", ports)
	}
	w.Forget(4)
	if w.lost != 0 {
		t.Errorf("still lost %064b", w.lost)
	}
	if _, _, seen := w.tail(64); seen != 60 {
		t.Errorf("%d outcomes known, want 60", seen)
	}
}

func TestWindow_relapse_needs_a_longer_clean_window(t *testing.T) {
	var w Window
	now := play(&w, strings.Repeat(".", 30)+"xxxx"+strings.Repeat(".", 20), 0)
	now = play(&w, "x.x"+strings.Repeat(".", 20), now)
	if w.State() != Degraded {
		t.Errorf("a path that flaps is %v after 20 good", w.State())
	}
	play(&w, strings.Repeat(".", 20), now)
	if w.State() != OK {
		t.Errorf("%v after 40 good", w.State())
	}
}

func TestWindow_Mismatch_is_unknown(t *testing.T) {
	var w Window
	now := play(&w, "....xxxx", 0)
	w.Mismatch(now)
	if w.State() != Unknown || w.Code() != CodeKeyMismatch || w.Dirty() {
		t.Errorf("%v %v", w.State(), w.Code())
	}
	play(&w, ".", now)
	if w.State() != OK {
		t.Errorf("%v after an answer", w.State())
	}
}

func TestWindow_ignores_what_is_too_old(t *testing.T) {
	var w Window
	play(&w, strings.Repeat(".", 100), 0)
	before := w
	w.Lost(30, CodeTimeout, 0)
	w.Good(1, 0, 0)
	w.Lost(101, CodeTimeout, 0) // not sent yet
	if w != before {
		t.Error("an outcome outside the window changed it")
	}
}

func TestBadFlows(t *testing.T) {
	for _, tt := range []struct {
		name, history string // newest last
		want          uint16 // by sequence mod 16, the first sequence is 1
	}{
		{"all good", strings.Repeat(".", 64), 0},
		{"all lost", strings.Repeat("x", 64), 0},
		{"one slot dead", strings.Repeat("..x.............", 3), 1 << 3},
		{"one slot lost once", strings.Repeat(".", 40) + "x" + strings.Repeat(".", 10), 0},
		{"four of sixteen dead of late", strings.Repeat(".", 32) + strings.Repeat("x...x...x...x...", 2), 1<<1 | 1<<5 | 1<<9 | 1<<13},
		{"one slot dead, another healed", strings.Repeat("..x..x..........", 2) + strings.Repeat("..x.............", 1), 0},
		{"fourteen of sixteen dead", strings.Repeat("xxxxxxx.xxxxxxx.", 2), 0x7f<<1 | 0x7f<<9&0xffff},
		{"nothing known", strings.Repeat("-", 64), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			play(&w, tt.history, 0)
			if got := BadFlows(w.done, w.lost, w.last); got != tt.want {
				t.Errorf("%016b, want %016b", got, tt.want)
			}
		})
	}
}

func TestBadFlows_random_loss_has_none(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, share := range []float64{0.05, 0.1, 0.2, 0.3, 0.5, 0.7} {
		wrong := 0
		for range 2000 {
			lost := uint64(0)
			for i := range 64 {
				if rng.Float64() < share {
					lost |= 1 << i
				}
			}
			if BadFlows(^uint64(0), lost, 64) != 0 {
				wrong++
			}
		}
		if wrong > 40 { // 2 %
			t.Errorf("at %.0f %% random loss %d of 2000 windows name a flow", 100*share, wrong)
		}
	}
}

func TestMinimum(t *testing.T) {
	var m minimum
	if m.min() != 0 {
		t.Error("empty")
	}
	m.add(5)
	m.add(3)
	m.turn()
	if m.min() != 3 {
		t.Error("the block before counts")
	}
	m.add(4)
	if m.min() != 3 {
		t.Error("the smaller of both")
	}
	m.turn()
	if m.min() != 4 {
		t.Error("two blocks later it is forgotten")
	}
	m.add(time.Hour)
	if m.min() != 4 {
		t.Error("what does not fit is the largest that does")
	}
}
