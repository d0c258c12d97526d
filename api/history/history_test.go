package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// disorder changes a few things at random.
func (w *world) disorder(r *rand.Rand) {
	for range 1 + r.IntN(6) {
		pair := [2]mesh.Key{w.any(r), w.any(r)}
		switch r.IntN(9) {
		case 0, 1:
			w.bad[pair] = dead()
		case 2:
			w.bad[pair] = lossy(probe.Loss(10 + r.IntN(100)))
		case 3:
			w.bad[pair] = [probe.Kinds]probe.Status{} // not probed yet
		case 4, 5:
			clear(w.bad)
		case 6:
			w.silent[pair[0]] = !w.silent[pair[0]]
		case 7:
			if w.life[pair[0]] = mesh.Left - w.life[pair[0]]; r.IntN(4) == 0 {
				clear(w.life)
			}
			w.roster()
		case 8:
			if r.IntN(2) == 0 && len(w.agents) > 6 {
				w.agents = w.agents[:len(w.agents)-2]
			} else {
				w.join(len(w.agents)/2 + r.IntN(3)*7)
			}
			seen := map[mesh.Key]bool{}
			w.agents = slices.DeleteFunc(w.agents, func(a mesh.Agent) bool { old := seen[a.Key]; seen[a.Key] = true; return old })
			w.roster()
		}
	}
}

// TestEveryMomentComesBackAsItWas records a cluster in disorder, over restarts and chapters, and asks
// for every moment of it.
func TestEveryMomentComesBackAsItWas(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, 4)
		log := &store.MemoryLog{}
		h, said := open(t, log)
		was := map[time.Time]string{}
		for step := range 150 {
			if w.disorder(r); step%40 == 39 {
				h.Close()
				h, said = open(t, log) // as after a restart
			}
			step := time.Duration(1+r.IntN(3)) * time.Second
			if r.IntN(20) == 0 {
				step = 11 * time.Minute // a new chapter
			}
			w.pass(step)
			v := w.view()
			h.Record(v, nil, w.now)
			was[w.now] = picture(v)
		}
		for at, want := range was {
			v, err := h.View(t.Context(), at)
			if err != nil {
				t.Fatalf("seed %d, %v: %v", seed, at.Sub(epoch), err)
			}
			if got := picture(v); got != want {
				t.Fatalf("seed %d, %v:\n%s\nwant\n%s", seed, at.Sub(epoch), diff(got, want), want)
			}
		}
		if said.String() != "" {
			t.Errorf("seed %d: %s", seed, said)
		}
	}
}

func diff(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("line %d: %s", i+1, a[i])
		}
	}
	return "more lines are wanted"
}

func key(node int, network mesh.Network) mesh.Key {
	return mesh.Key{Node: fmt.Sprintf("node%03d", node), Network: network}
}

func lines(p *api.ChangePage) (out []string) {
	for _, c := range p.Paths {
		out = append(out, fmt.Sprint(c.At.Sub(epoch), " ", c.Path.Source, ">", c.Path.Destination, " ", c.Was, ">", c.Path.State))
	}
	for _, c := range p.Agents {
		out = append(out, fmt.Sprint(c.At.Sub(epoch), " ", c.Agent, " ", c.Was, ">", c.Now, " ", c.Appeared, c.Gone))
	}
	return out
}

// story is node002's pod becoming deaf for a minute, and node001/host silent for the last half of it.
func story(t *testing.T, h *History) *world {
	w := newWorld(t, 3)
	step := func(n int) {
		for range n {
			w.pass(time.Second)
			h.Record(w.view(), nil, w.now)
		}
	}
	step(10)
	for _, a := range w.agents {
		if a.Key != key(2, mesh.Pod) {
			w.bad[[2]mesh.Key{a.Key, key(2, mesh.Pod)}] = dead()
		}
	}
	step(30)
	w.silent[key(1, mesh.Host)] = true
	step(30)
	clear(w.bad)
	clear(w.silent)
	step(10)
	return w
}

func TestChangesSayWhatHappenedAndWhen(t *testing.T) {
	h, _ := open(t, nil)
	w := story(t, h)
	q := api.ChangeQuery{Since: epoch, Until: w.now, Limit: 100}
	page, err := h.Changes(t.Context(), q)
	if err != nil || page.Next != "" || page.LeftOut {
		t.Fatal(err, page.Next, page.LeftOut)
	}
	want := []string{
		"11s node000/pod>node002/pod ok>failing", "11s node000/host>node002/pod ok>failing", "11s node001/pod>node002/pod ok>failing",
		"11s node001/host>node002/pod ok>failing", "11s node002/host>node002/pod ok>failing",
		"1m11s node000/pod>node002/pod failing>ok", "1m11s node000/host>node002/pod failing>ok", "1m11s node001/pod>node002/pod failing>ok",
		"1m11s node001/host>node002/pod failing>ok", "1m11s node002/host>node002/pod failing>ok",
		"43s node001/host reporting>stale false false", "1m11s node001/host stale>reporting false false"}
	if got := lines(&page); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p := &page.Paths[0].Path; p.Probes[probe.UDP].Forward != 200 || p.Probes[probe.TCP].Code != probe.CodeTimeout {
		t.Errorf("what was known of it: %+v", p.Probes)
	}
	for what, c := range map[string]struct {
		change func(q *api.ChangeQuery)
		paths  int
		agents int
	}{
		"source":              {func(q *api.ChangeQuery) { q.Filter.Source = "node001" }, 4, 2},
		"destination":         {func(q *api.ChangeQuery) { q.Filter.Destination = "node001" }, 0, 2},
		"another destination": {func(q *api.ChangeQuery) { q.Filter.Destination = "node002" }, 10, 0},
		"kind":                {func(q *api.ChangeQuery) { q.Filter.Kinds = mesh.WantKind(mesh.HostToPod) }, 6, 2},
		"state":               {func(q *api.ChangeQuery) { q.Filter.States = mesh.WantState(probe.Degraded) }, 0, 0},
		"until":               {func(q *api.ChangeQuery) { q.Until = epoch.Add(11 * time.Second) }, 5, 0},
		"since":               {func(q *api.ChangeQuery) { q.Since = epoch.Add(12 * time.Second) }, 5, 2},
		"between":             {func(q *api.ChangeQuery) { q.Since, q.Until = epoch.Add(12*time.Second), epoch.Add(40*time.Second) }, 0, 0},
	} {
		q := q
		c.change(&q)
		if page, err := h.Changes(t.Context(), q); err != nil || len(page.Paths) != c.paths || len(page.Agents) != c.agents {
			t.Errorf("%s: %v, %v", what, lines(&page), err)
		}
	}
	var paged []string
	for q.Limit = 3; ; {
		page, err := h.Changes(t.Context(), q)
		if err != nil || len(page.Paths)+len(page.Agents) > 3 {
			t.Fatal(err, lines(&page))
		}
		paged = append(paged, lines(&page)...)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	slices.Sort(paged)
	slices.Sort(want)
	if !slices.Equal(paged, want) {
		t.Errorf("in pages\n%s", strings.Join(paged, "\n"))
	}
	for _, after := range []string{"x", "1", "1-", "-1", "1-1-1", "99999999999999999999-1"} {
		q.After = after
		if _, err := h.Changes(t.Context(), q); err == nil {
			t.Errorf("after %q was taken", after)
		}
	}
}

func TestAMomentThatNobodyWatchedIsAnError(t *testing.T) {
	log := &store.MemoryLog{}
	h, _ := open(t, log)
	if _, err := h.View(t.Context(), epoch); err == nil || !strings.Contains(err.Error(), "nothing is remembered yet") {
		t.Errorf("before the first record: %v", err)
	}
	w := story(t, h)
	ended := w.now
	h.Close()
	h, _ = open(t, log)
	w.pass(10 * time.Minute)
	h.Record(w.view(), nil, w.now)
	for at, want := range map[time.Time]string{
		epoch:                              "2026-01-01T00:00:00.000Z: remembered is what happened from 2026-01-01T00:00:01.000Z to 2026-01-01T00:11:20.000Z",
		ended.Add(time.Minute):             "but for 2026-01-01T00:01:20.000Z to 2026-01-01T00:11:20.000Z, when no server watched",
		epoch.Add(time.Second):             "",
		epoch.Add(1500 * time.Millisecond): "",
		w.now:                              "",
	} {
		_, err := h.View(t.Context(), at)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", at.Sub(epoch), err, want)
		}
		_, err2 := h.Findings(at)
		if fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("findings: %v", err2)
		}
	}
}

func finding(id, summary string, closed *time.Time) diagnose.Finding {
	return diagnose.Finding{ID: id, Kind: diagnose.OverlayBroken, Severity: diagnose.Critical, Since: epoch, Summary: summary, ClosedAt: closed}
}

func summaries(list []diagnose.Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.Summary+fmt.Sprint(f.ClosedAt != nil))
	}
	return out
}

func TestFindingsAreRememberedOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	begin := func() (*History, func()) {
		said := &text{}
		log, err := store.OpenLog(path, logger(said))
		if err != nil {
			t.Fatal(err)
		}
		h, _ := open(t, log)
		return h, func() {
			h.Close()
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	h, end := begin()
	w := newWorld(t, 2)
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	step := func(open ...diagnose.Finding) {
		w.pass(time.Second)
		h.Record(w.view(), open, w.now)
	}
	step() // 1 s
	h.Note(finding("a", "node3 is broken", nil), at(2))
	step(finding("a", "node3 is broken", nil)) // 2
	h.Note(finding("b", "node4 is broken", nil), at(3))
	step(finding("a", "node3 is broken: closed port", nil), finding("b", "node4 is broken", nil)) // 3
	closed := at(4)
	h.Note(finding("b", "node4 was broken", &closed), closed)
	step(finding("a", "node3 is broken: closed port", nil)) // 4
	check := func(what string, got []diagnose.Finding, want ...string) {
		t.Helper()
		if !slices.Equal(summaries(got), want) {
			t.Errorf("%s: %q, want %q", what, summaries(got), want)
		}
	}
	check("since the beginning", h.FindingsSince(epoch, at(9)), "node4 was brokentrue", "node3 is broken: closed portfalse")
	check("since b closed", h.FindingsSince(at(5), at(9)), "node3 is broken: closed portfalse")
	for s, want := range map[int][]string{1: nil, 2: {"node3 is broken: closed portfalse"}, 3: {"node3 is broken: closed portfalse", "node4 was brokenfalse"}} {
		got, err := h.Findings(at(s))
		if err != nil {
			t.Error(err)
		}
		check(fmt.Sprint("at ", s), got, want...)
	}
	end()
	h, end = begin()
	defer end()
	list := h.FindingsSince(epoch, at(9))
	check("after the restart", list, "node4 was brokentrue", "node3 is broken: closed porttrue")
	if got := *list[1].ClosedAt; !got.Equal(at(4)) {
		t.Errorf("what was open closed at %v, want the last moment that anybody watched", got.Sub(epoch))
	}
}

// fullLog is a log on a disk that is full for a while.
type fullLog struct {
	store.MemoryLog
	full bool
}

func (l *fullLog) Append(first uint64, values [][]byte) (bool, error) {
	if l.full {
		return false, fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	return l.MemoryLog.Append(first, values)
}

func TestAFullDiskIsSaidOnceAndNothingIsLost(t *testing.T) {
	log := &fullLog{}
	h, said := open(t, log)
	w := newWorld(t, 3)
	was := map[time.Time]string{}
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 60 {
		log.full = i >= 20 && i < 40
		w.disorder(r)
		w.pass(time.Second)
		v := w.view()
		h.Record(v, nil, w.now)
		was[w.now] = picture(v)
		if (h.Err() != nil) != log.full || log.full && !errors.Is(h.Err(), syscall.ENOSPC) {
			t.Fatalf("step %d: %v", i, h.Err())
		}
		if got, err := h.View(t.Context(), w.now); err != nil || picture(got) != was[w.now] {
			t.Fatalf("step %d: what waits cannot be read: %v", i, err)
		}
	}
	for at, want := range was {
		if got, err := h.View(t.Context(), at); err != nil || picture(got) != want {
			t.Errorf("%v: %v", at.Sub(epoch), err)
		}
	}
	if got := said.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "kept in memory only") || !strings.Contains(got, "written again") {
		t.Errorf("the log says\n%s", got)
	}
}

func TestTheOldestGoesFirst(t *testing.T) {
	h, _ := open(t, nil)
	h.cfg.MaxBytes, h.cfg.MaxAge = 1<<20, time.Hour
	w := newWorld(t, 4)
	r := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		w.disorder(r)
		w.pass(time.Minute)
		h.Record(w.view(), nil, w.now)
	}
	since, until := h.Kept()
	if age := until.Sub(since); age < time.Hour || age > time.Hour+calmChapter {
		t.Errorf("%v are kept, an hour is asked for", age)
	}
	if _, err := h.View(t.Context(), since); err != nil {
		t.Errorf("the oldest moment: %v", err)
	}
	h.cfg.MaxBytes = 20 << 10
	for range 100 {
		w.disorder(r)
		w.pass(time.Second)
		h.Record(w.view(), nil, w.now)
	}
	if size := h.cfg.Log.Size(); size > 3*h.cfg.MaxBytes {
		t.Errorf("%d bytes are kept", size)
	}
}

func TestAClockThatIsSetBackBeginsASession(t *testing.T) {
	h, said := open(t, nil)
	w := story(t, h)
	w.now = epoch.Add(30 * time.Second)
	w.bad[[2]mesh.Key{key(0, mesh.Pod), key(1, mesh.Pod)}] = dead()
	w.pass(time.Second)
	h.Record(w.view(), nil, w.now)
	got, err := h.View(t.Context(), w.now)
	if err != nil || picture(got) != picture(w.view()) {
		t.Errorf("the present cannot be read: %v", err)
	}
	if !strings.Contains(said.String(), "clock was set back") {
		t.Errorf("said %q", said)
	}
}

// A disk that hangs, as one in the network does when the network breaks, holds up Record alone: what
// happened meanwhile nobody has seen.
func TestATimeInWhichNobodyRecordedIsNotSaidToHaveBeenAsBefore(t *testing.T) {
	for what, trouble := range map[string]bool{"something changed meanwhile": true, "nothing changed meanwhile": false} {
		log := &store.MemoryLog{}
		h, _ := open(t, log)
		w := story(t, h)
		w.pass(3 * time.Second)
		h.Record(w.view(), nil, w.now)
		last := w.now
		if _, err := h.View(t.Context(), last.Add(5*time.Minute)); err == nil || strings.Contains(err.Error(), "no server watched") {
			t.Errorf("%s: minutes after the last record: %v", what, err)
		}
		if trouble {
			w.bad[[2]mesh.Key{key(0, mesh.Pod), key(1, mesh.Pod)}] = dead()
		}
		w.pass(5 * time.Minute)
		h.Record(w.view(), nil, w.now)
		back := w.now
		for range 3 {
			w.pass(11 * time.Second)
			h.Record(w.view(), nil, w.now)
		}
		for range 2 {
			var gap api.NotKept
			_, err := h.View(t.Context(), last.Add(time.Minute))
			if !errors.As(err, &gap) || !gap.GapFrom.Equal(last) || !gap.GapTo.Equal(back) {
				t.Errorf("%s: %v, want a gap from %v to %v", what, err, last, back)
			}
			for _, at := range []time.Time{last, back, w.now} {
				if _, err := h.View(t.Context(), at); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			page, err := h.Changes(t.Context(), api.ChangeQuery{Since: last, Until: w.now, Limit: 10})
			if err != nil || len(page.Paths) != map[bool]int{true: 1}[trouble] {
				t.Errorf("%s: changes %q, %v", what, lines(&page), err)
			}
			h.Close()
			h, _ = open(t, log) // a restart knows it, too
		}
	}
}

// A machine whose clock is two hours ahead until its first look at a time server.
func TestAfterTheClockIsSetBackThePresentIsKeptAndWhatIsOpenIsOpen(t *testing.T) {
	h, _ := open(t, nil)
	w := newWorld(t, 3)
	w.now = epoch.Add(2 * time.Hour)
	open := finding("a", "node2 is broken", nil)
	for i := range 5 {
		if i == 2 {
			h.Note(open, w.now)
		}
		w.pass(time.Second)
		h.Record(w.view(), []diagnose.Finding{open}, w.now)
	}
	back := epoch
	w.matrix, w.now = mesh.NewMatrix(), back
	w.roster()
	for range 60 {
		h.Record(w.view(), []diagnose.Finding{open}, w.now)
		w.pass(time.Second)
	}
	since, until := h.Kept()
	if since.After(back) || until.Before(since) {
		t.Errorf("kept from %v to %v, the present session began at %v", since, until, back)
	}
	if got := summaries(h.FindingsSince(back, w.now)); !slices.Equal(got, []string{"node2 is brokenfalse"}) {
		t.Errorf("found since then: %q", got)
	}
	if got, err := h.Findings(back.Add(30 * time.Second)); err != nil || !slices.Equal(summaries(got), []string{"node2 is brokenfalse"}) {
		t.Errorf("found at a moment: %q, %v", summaries(got), err)
	}
}
