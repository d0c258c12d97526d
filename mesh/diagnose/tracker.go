package diagnose

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"netchecker/mesh"
)

// Tracker remembers findings from round to round. It is not safe for concurrent use.
type Tracker struct {
	tracks map[string]*track
	runs   map[mesh.Key]run
	now    time.Time
	first  time.Time
	// shade is a digest of all candidates, and when it last changed.
	shade   uint64
	changed time.Time
	// heard says that some agent has reported since the tracker began.
	heard bool
	gate  []bool
}

// run is one life of an agent, by the name and start that it states.
type run struct {
	name string
	boot uint64
	seen time.Time
	// fresh says that the run began while the tracker watched.
	fresh bool
}

// track is a finding's course.
type track struct {
	candidate
	appeared time.Time // of the present spell
	seen     time.Time
	opened   time.Time // zero while it is pending
	closed   time.Time // zero while it is open
	// rival is another reading of the same slot, and since when it is the better one.
	rival      string
	rivalSince time.Time
	// peak is the most that it has weighed, faded since when it is less than half of that.
	peak     int
	faded    time.Time
	reopened int
	idText   string
	since    time.Time
}

// NewTracker returns a Tracker that knows of nothing.
func NewTracker() *Tracker {
	return &Tracker{tracks: map[string]*track{}, runs: map[mesh.Key]run{}}
}

const (
	// newRun is how long a new run of an agent is left alone: peers that do not know its address yet
	// still ask the old one.
	newRun = 6 * time.Second
	// patience is how much longer than its hold a candidate waits for the others to settle,
	// longPatience for what tells two kinds apart.
	patience, longPatience = 2 * time.Second, 5 * time.Second
	// calm is how long nothing may have changed for the picture to be settled.
	calm = 900 * time.Millisecond
	// closing is how long a finding must be absent to be closed; it doubles when it comes back.
	closing = 3 * time.Second
	// recovery is how long paths that were dead may still show loss: windows need 20 clean probes.
	recovery = 15 * time.Second
	// lastPaths is how long after most paths of a fault came back the last of them may take.
	lastPaths = 6 * time.Second
	// flapping is how soon after closing the same finding is one that flaps.
	flapping = 2 * time.Minute
)

// Round looks at one view and returns all findings that are open, and those that this round closed
// (with ClosedAt set), in the order of Finding.Compare. Rounds may come as often as rows do; one a
// second is enough.
func (t *Tracker) Round(in Input) []Finding {
	if in.Now.Before(t.now) { // a clock that is set back must not make a finding younger
		in.Now = t.now
	}
	t.now = in.Now
	if t.first.IsZero() {
		t.first = in.Now
	}
	t.meet(in)
	r := &round{Input: in, tracker: t, explained: map[string]string{}}
	found := r.run()
	t.align(found)
	t.watch(found)
	for i := range found {
		t.take(&found[i])
	}
	return t.findings(r)
}

// ignored reports whether an agent is of no account in this round.
func (t *Tracker) ignored(i int) bool { return t.gate[i] }

// meet notes which agents are new, and which are of no account.
func (t *Tracker) meet(in Input) {
	v := in.View
	t.gate = slices.Grow(t.gate[:0], v.Len())[:v.Len()]
	for i := range v.Len() {
		m := v.Agent(i)
		old, known := t.runs[m.Key]
		now := run{name: m.Name, boot: m.Boot, seen: old.seen, fresh: old.fresh}
		if !known || old.name != now.name || old.boot != now.boot {
			now.seen, now.fresh = in.Now, !t.first.Equal(in.Now)
		}
		t.runs[m.Key] = now
		state, _ := v.Reported(i)
		t.heard = t.heard || state == mesh.Reporting
		settle := newRun
		if row, _ := v.RowOf(i); row != nil {
			settle = max(settle, row.Interval*3/2)
		}
		t.gate[i] = now.fresh && in.Now.Sub(now.seen) < settle || in.Nodes[m.Node].Gone ||
			in.Leaving[m.Name] && !in.Nodes[m.Node].NotReady // of a dead node pods are told to go as well
	}
	if len(t.runs) > 2*v.Len()+64 { // forget who is gone
		for key := range t.runs {
			if _, there := v.Find(key); !there {
				delete(t.runs, key)
			}
		}
	}
}

// align gives candidates that say what an open finding says the slot of that, so that it stays the
// same when its paths come to fail in another way.
func (t *Tracker) align(found []candidate) {
	taken := map[string]bool{}
	for i := range found {
		taken[found[i].slot] = true
	}
	for slot, k := range t.tracks {
		if !k.lives() || taken[slot] {
			continue
		}
		at := slices.IndexFunc(found, func(c candidate) bool {
			other := t.tracks[c.slot]
			return c.tag() == k.tag() && len(c.nodes) > 0 && (other == nil || other.opened.IsZero())
		})
		if at >= 0 {
			delete(t.tracks, found[at].slot)
			found[at].slot, taken[slot] = slot, true
		}
	}
}

// watch notes when the candidates last changed as a whole.
func (t *Tracker) watch(found []candidate) {
	sum := uint64(0)
	for i := range found {
		sum += nameHash(found[i].slot) * uint64(2*found[i].weight+1)
	}
	if sum != t.shade {
		t.shade, t.changed = sum, t.now
	}
}

// take enters one candidate.
func (t *Tracker) take(c *candidate) {
	k := t.tracks[c.slot]
	if k == nil {
		if t.recovering(c) {
			return
		}
		k = &track{candidate: *c, appeared: t.now}
		t.tracks[c.slot] = k
	}
	if !k.closed.IsZero() { // it comes back
		k.reopened++
		if t.now.Sub(k.closed) > flapping {
			k.reopened = 0
		}
		*k = track{candidate: *c, appeared: t.now, reopened: k.reopened}
	}
	k.seen = t.now
	if k.opened.IsZero() {
		k.candidate = *c
		if !t.recovering(c) {
			t.open(k)
		}
		return
	}
	t.update(k, c)
}

// open says a pending finding once it has lasted and the picture is settled.
func (t *Tracker) open(k *track) {
	age := t.now.Sub(k.appeared)
	settled := t.now.Sub(t.changed) >= calm
	if age < k.hold || !settled && age < k.hold+patience || age < k.hold+k.wait {
		return
	}
	k.opened, k.peak = t.now, k.weight
	k.since = k.Since
	if k.since.IsZero() || k.since.After(k.appeared) {
		k.since = k.appeared
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%d", k.slot, k.since.UnixMilli())
	k.idText = fmt.Sprintf("%016x", h.Sum64())
}

const (
	// rivalHold is how long another reading with as good a ground must last to replace the first,
	// bareHold one where neither has any, weakHold one with less: evidence stops coming while what it
	// showed lasts. Elimination alone makes no other kind of a finding at once: a node that comes back
	// part by part looks like many a fault.
	rivalHold = 3 * time.Second
	bareHold  = 8 * time.Second
	weakHold  = 30 * time.Second
)

// update takes what a later round says of an open finding. Numbers follow; words change only with
// the kind, the cause or the place, so that nobody reads another sentence each second.
func (t *Tracker) update(k *track, c *candidate) {
	k.count(c, t.now)
	if k.tag() == c.tag() && len(c.variant) <= len(k.variant) {
		k.rival = ""
		k.Confidence = max(k.Confidence, c.Confidence)
		return
	}
	if rival := c.tag() + c.variant; k.rival != rival {
		k.rival, k.rivalSince = rival, t.now
	}
	held := t.now.Sub(k.rivalSince)
	switch {
	case t.fades(k) && c.proof < 2: // the last paths of a fault that ends are no other fault
		return
	case c.proof > k.proof && (c.proof == 2 || c.Kind == k.Kind):
	case c.proof >= k.proof && (held >= rivalHold && k.proof > 0 || held >= bareHold || t.now.Sub(k.opened) < rivalHold && held >= calm):
	case held >= weakHold:
	default:
		return
	}
	k.candidate, k.rival = *c, ""
}

// tag tells readings of one slot apart.
func (c *candidate) tag() string {
	return fmt.Sprint(c.Kind, c.Cause, c.Location)
}

// findings lists what is open and closes what has ended.
func (t *Tracker) findings(r *round) []Finding {
	var list []Finding
	for slot, k := range t.tracks {
		absent := t.now.Sub(k.seen)
		switch {
		case !k.closed.IsZero():
			if t.now.Sub(k.closed) > flapping {
				delete(t.tracks, slot)
			}
			continue
		case k.opened.IsZero():
			if absent > calm {
				delete(t.tracks, slot)
			}
			continue
		case absent >= closing<<min(k.reopened, 4) && !r.lasts(k, absent), absent > 0 && (t.says(r.explained[slot]) || t.swallowed(k)):
			k.closed = t.now
		}
		f := k.Finding
		f.ID, f.Since = k.idText, k.since
		if !k.closed.IsZero() {
			at := t.now
			f.ClosedAt = &at
		}
		list = append(list, complete(f))
	}
	slices.SortFunc(list, func(a, b Finding) int { return a.Compare(&b) })
	return list
}

// complete makes lists of JSON lists rather than null.
func complete(f Finding) Finding {
	if f.Paths == nil {
		f.Paths = []Selector{}
	}
	if f.Alternatives == nil {
		f.Alternatives = []string{}
	}
	if f.Evidence == nil {
		f.Evidence = []Fact{}
	}
	if f.Location.Nodes == nil {
		f.Location.Nodes = []string{}
	}
	if f.Location.Groups == nil {
		f.Location.Groups = [][]string{}
	}
	f.Since = f.Since.UTC()
	return f
}
