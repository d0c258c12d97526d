package service

import (
	"strings"
	"testing"
	"time"

	"netchecker/probe"
)

// results spells results: g good, s slow, t timed out, r refused.
func results(text string) []Result {
	kinds := map[rune]Result{
		'g': {State: probe.OK, RTT: time.Millisecond},
		's': {State: probe.Degraded, Code: probe.CodeSlow, RTT: 3 * time.Second, Detail: "late"},
		't': {State: probe.Failing, Code: probe.CodeTimeout, Detail: "silence"},
		'r': {State: probe.Failing, Code: probe.CodeRefused, Detail: "no"},
	}
	var out []Result
	for _, c := range text {
		out = append(out, kinds[c])
	}
	return out
}

func TestTheLastResultsDecideTheState(t *testing.T) {
	for _, c := range []struct {
		says, results string
		state         probe.State
		code          probe.Code
		unsettled     int
	}{
		{"one good result is ok", "g", probe.OK, probe.CodeNone, 0},
		{"one bad result says nothing yet", "t", probe.Unknown, probe.CodeNone, 2},
		{"one bad result does not spoil a good service", "ggt", probe.OK, probe.CodeNone, 2},
		{"nor do two", "ggtt", probe.OK, probe.CodeNone, 1},
		{"three do, and the last names the class", "ggttr", probe.Failing, probe.CodeRefused, 0},
		{"one good result does not heal", "tttg", probe.Failing, probe.CodeTimeout, 1},
		{"two do", "tttgg", probe.OK, probe.CodeNone, 0},
		{"a bad one between starts the count again", "tttgtg", probe.Failing, probe.CodeTimeout, 1},
		{"one late answer is chance", "ggs", probe.OK, probe.CodeNone, 1},
		{"two are slow", "ggss", probe.Degraded, probe.CodeSlow, 0},
		{"late answers end a failure", "tttss", probe.Degraded, probe.CodeSlow, 0},
		{"two quick ones end slowness", "ggssgg", probe.OK, probe.CodeNone, 0},
		{"three lost of twelve is loss", "gggtgggtgggt", probe.Degraded, probe.CodeLoss, 2},
		{"three lost of nine is too few to say", "ggtggtggt", probe.OK, probe.CodeNone, 2},
		{"what was lost while failing is no loss afterwards", "gggggggtttgg", probe.OK, probe.CodeNone, 0},
		{"three that are lost or late are degraded", "gggtst", probe.Degraded, probe.CodeTimeout, 2},
		{"old loss leaves the window", "gtgtgtgggggggggggggggggggg", probe.OK, probe.CodeNone, 0},
	} {
		t.Run(c.says, func(t *testing.T) {
			var r record
			for _, res := range results(c.results) {
				r.add(res, time.Unix(0, 0))
			}
			if r.state != c.state || r.code != c.code || r.unsettled() != c.unsettled {
				t.Errorf("%s: %v, code %q, unsettled %d, want %v, %q, %d",
					c.results, r.state, r.code, r.unsettled(), c.state, c.code, c.unsettled)
			}
		})
	}
}

func TestSinceMovesOnlyWithTheState(t *testing.T) {
	var r record
	for i, res := range results("ggtttrrgg") {
		r.add(res, time.Unix(int64(i), 0))
		want := map[int]int64{0: 0, 1: 0, 2: 0, 3: 0, 4: 4, 5: 4, 6: 4, 7: 4, 8: 8}[i]
		if r.since.Unix() != want {
			t.Errorf("after result %d the state is %d s old, want %d", i, r.since.Unix(), want)
		}
	}
}

func TestAChangeOfTheCodeIsAChange(t *testing.T) {
	var r record
	var got strings.Builder
	for _, res := range results("gtttrg") {
		if r.add(res, time.Unix(0, 0)) {
			got.WriteString("x")
		} else {
			got.WriteString("-")
		}
	}
	if want := "x--xx-"; got.String() != want {
		t.Errorf("changes %s, want %s", got.String(), want)
	}
}

func TestWhatIsAwaitedCountsAndIsCalledSo(t *testing.T) {
	for _, c := range []struct {
		says, results string
		waiting       int
		connected     bool
		state         probe.State
		code          probe.Code
	}{
		{"two late ones say nothing", "gg", 2, false, probe.OK, probe.CodeNone},
		{"three do", "gg", 3, false, probe.Degraded, probe.CodeWaiting},
		{"with a connection", "gg", 3, true, probe.Degraded, probe.CodeHung},
		{"a lost one counts with them, and is what is known", "ggt", 2, false, probe.Degraded, probe.CodeTimeout},
		{"so does a slow one", "ggs", 2, true, probe.Degraded, probe.CodeSlow},
		{"a failure stays one", "ggttt", 3, true, probe.Failing, probe.CodeTimeout},
		{"also from the start", "", 3, false, probe.Degraded, probe.CodeWaiting},
		{"and nothing is known of what has not answered yet", "", 2, false, probe.Unknown, probe.CodeNone},
	} {
		t.Run(c.says, func(t *testing.T) {
			var r record
			for _, res := range results(c.results) {
				r.add(res, time.Unix(0, 0))
			}
			was := r.state
			if changed := r.wait(c.waiting, c.connected, time.Unix(1, 0)); changed != (c.state != was) {
				t.Errorf("changed %v", changed)
			}
			if r.state != c.state || r.code != c.code {
				t.Errorf("%v, code %q, want %v, %q", r.state, r.code, c.state, c.code)
			}
			if c.state != probe.Degraded {
				return
			}
			r.waiting = 0
			if r.add(results("g")[0], time.Unix(2, 0)); r.state != probe.Degraded {
				t.Errorf("%v after one good answer", r.state)
			}
			if r.add(results("g")[0], time.Unix(3, 0)); r.state != probe.OK {
				t.Errorf("%v after two", r.state)
			}
		})
	}
}
