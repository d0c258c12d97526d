package evidence

import (
	"context"
	"time"

	"netchecker/probe"
)

// The pace of a Reader's readings.
const (
	// Every is the pause between readings while nothing happens.
	Every = 30 * time.Second
	// Spacing is the least pause between readings. After a Trigger the pause grows from here back
	// to Every, since what a fault leaves behind (retries, failed neighbours) comes later than it.
	Spacing = 2 * time.Second
	// growthOver is the least time that growths cover when readings come fast, so that what a few
	// packets a second leave behind is seen.
	growthOver = 10 * time.Second
)

// Reader reads again and again and knows what the counters were before.
type Reader struct {
	read  func(context.Context, Interest) (*probe.Snapshot, error)
	asked chan struct{}
	past  []memory // oldest first
}

// memory is what a Reader keeps of a reading.
type memory struct {
	// at has the monotonic clock, which Snapshot.At has not: when the node's clock is set, what has grown
	// since an hour ago, or since an hour to come, must not pass for news.
	at       time.Time
	counters counts
	links    map[linkKey][2]probe.Traffic
	drops    map[probe.DropRule]uint64
}

// linkKey tells a link from a later one of the same name.
type linkKey struct {
	index int
	name  string
}

// NewReader makes a reader. With privileged it reads the packet filter as well, for which the
// process needs NET_ADMIN.
func NewReader(privileged bool) *Reader {
	return &Reader{
		read: func(ctx context.Context, i Interest) (*probe.Snapshot, error) { return read(ctx, i, privileged) },
		// One waiting request is enough: it is served by a reading that has not begun yet.
		asked: make(chan struct{}, 1),
	}
}

// Trigger asks for a reading at once, for instance because a path of this node turned bad. It
// never blocks; requests closer than Spacing share one reading.
func (r *Reader) Trigger() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// Run reads at once, then at every Trigger and from time to time, until ctx ends. Interest is
// asked before each reading; take gets each snapshot, which it may keep, or the error in its
// place. Neither may be called concurrently with itself; both may block.
func (r *Reader) Run(ctx context.Context, interest func() Interest, take func(*probe.Snapshot, error)) {
	pause := Every
	for {
		s, err := r.Read(ctx, interest())
		if ctx.Err() != nil {
			return
		}
		take(s, err)
		asked, ok := r.wait(ctx, pause)
		if !ok {
			return
		}
		if pause = min(2*pause, Every); asked {
			pause = Spacing
		}
	}
}

// wait returns after a pause, or after Spacing if somebody asks; ok is false when ctx ends.
func (r *Reader) wait(ctx context.Context, pause time.Duration) (asked, ok bool) {
	least := time.NewTimer(Spacing)
	defer least.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-least.C:
	}
	select { // whoever asked meanwhile comes before the end of the pause
	case <-r.asked:
		return true, true
	default:
	}
	rest := time.NewTimer(pause - Spacing)
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-r.asked:
		return true, true
	case <-rest.C:
		return false, true
	}
}

// Read reads once and fills in the growths since an earlier reading: the youngest that is at least
// 10 s old, else the oldest. It must not be called concurrently, nor while Run runs.
func (r *Reader) Read(ctx context.Context, i Interest) (*probe.Snapshot, error) {
	s, err := r.read(ctx, i)
	if err != nil {
		return nil, err
	}
	now := remember(s, time.Now())
	if before := r.base(now.at); before != nil {
		s.Interval = now.at.Sub(before.at)
		grow(s, before)
	} else {
		forgetTotals(s)
	}
	if n := len(r.past); n == 0 || now.at.Sub(r.past[n-1].at) >= Spacing/2 { // else a caller in a hurry would fill memory
		r.past = append(r.past, now)
	}
	return s, nil
}

// base picks the reading to compare with and drops those before it.
func (r *Reader) base(now time.Time) *memory {
	for len(r.past) > 1 && now.Sub(r.past[1].at) >= growthOver {
		r.past = r.past[1:]
	}
	if len(r.past) == 0 {
		return nil
	}
	return &r.past[0]
}

func remember(s *probe.Snapshot, at time.Time) memory {
	m := memory{at: at, counters: s.Counters, links: make(map[linkKey][2]probe.Traffic, len(s.Links))}
	for _, l := range s.Links {
		m.links[linkKey{l.Index, l.Name}] = [2]probe.Traffic{l.RX, l.TX}
	}
	if s.Firewall != nil {
		m.drops = make(map[probe.DropRule]uint64, len(s.Firewall.Drops))
		for _, d := range s.Firewall.Drops {
			m.drops[uncounted(d)] += d.Packets
		}
	}
	return m
}

// uncounted is the rule without its counters.
func uncounted(d probe.DropRule) probe.DropRule {
	d.Packets, d.Growth = 0, 0
	return d
}

func grow(s *probe.Snapshot, before *memory) {
	for i := range s.Counters {
		if c, old := &s.Counters[i], before.counters[i]; c.Known && old.Known {
			c.Growth = since(c.Total, old.Total)
		}
	}
	for i := range s.Links {
		l := &s.Links[i]
		old, known := before.links[linkKey{l.Index, l.Name}]
		if !known { // a new link counts from zero
			continue
		}
		l.RX, l.TX = trafficSince(l.RX, old[0]), trafficSince(l.TX, old[1])
	}
	if s.Firewall == nil {
		return
	}
	for i := range s.Firewall.Drops {
		d := &s.Firewall.Drops[i]
		if old, known := before.drops[uncounted(*d)]; known {
			d.Growth = since(d.Packets, old)
		}
	}
}

// forgetTotals makes the first reading's link counters, which are totals, no growths.
func forgetTotals(s *probe.Snapshot) {
	for i := range s.Links {
		s.Links[i].RX, s.Links[i].TX = probe.Traffic{}, probe.Traffic{}
	}
}

func trafficSince(now, old probe.Traffic) probe.Traffic {
	return probe.Traffic{
		Packets: since(now.Packets, old.Packets), Errors: since(now.Errors, old.Errors), Dropped: since(now.Dropped, old.Dropped),
	}
}

// since is what a counter grew by; one that was set back counts anew.
func since(now, old uint64) uint64 {
	if now < old {
		return now
	}
	return now - old
}
