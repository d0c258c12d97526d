package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	joinsAtOnce = 16 // exchanges and look-ups under way
	joinsLonely = 2  // started per round while we know nobody: one list is all it takes
	joinsRound  = 8  // started per round else

	joinFirst    = time.Second      // pause after the first failure
	joinLonely   = 5 * time.Second  // longest pause while we know nobody
	joinFew      = 10 * time.Second // longest pause while few members are dead
	joinMany     = 30 * time.Second // longest pause else, and for seeds
	fewDead      = 32
	secondAfter  = 4 * time.Second  // plus or minus half of it
	lonelyEager  = 30 * time.Second // how long a lonely member tries once a second
	joinsFutile  = 3                // exchanges in a row that succeed and yet bring nobody to life
	futileMember = 100 * time.Millisecond
	roundMost    = 30 * time.Second
	roundMembers = 100 // members per second of a round
)

// joiner tries to reach the dead and the seeds, for ever. It knows them by address: one process
// answers there, whatever its name.
type joiner struct {
	self     netip.AddrPort
	exchange func(netip.AddrPort) error // push and pull whole lists; blocks for seconds
	contacts func() *contacts
	resolver Resolver
	stats    *counters
	seeds    []*seed
	wake     chan struct{} // of length 1: do not wait out a long pause
	slots    chan struct{}
	jobs     *sync.WaitGroup // the caller's, who waits for run and for every attempt

	mu    sync.Mutex // guards what follows and the seeds
	tries map[netip.AddrPort]*try
	since time.Time // since when we are lonely; zero while we are not
	again time.Time // when to ask for a second list after the first company; zero: asked
	hot   time.Time // until then look every second: an exchange may have to be repeated
}

// try is what became of the attempts at one address.
type try struct {
	fails, wins int // in a row
	next        time.Time
	busy        bool
	round       time.Time // last round in which the address was a candidate
}

// run works until ctx ends.
func (j *joiner) run(ctx context.Context) {
	// Members are started by the hundred at once: spread their first knock.
	timer := time.NewTimer(rand.N(500 * time.Millisecond))
	defer timer.Stop()
	soon := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			soon = false
			timer.Reset(j.round(ctx, time.Now()))
		case <-j.wake:
			if !soon { // one early round, however often we are woken
				soon = true
				timer.Reset(jitter(time.Second / 2))
			}
		}
	}
}

// round starts what is due and returns when to look again.
func (j *joiner) round(ctx context.Context, now time.Time) time.Duration {
	c := j.contacts()
	j.mu.Lock()
	defer j.mu.Unlock()
	lonely := len(c.alive) == 0
	switch {
	case lonely && j.since.IsZero():
		j.since = now
	case !lonely && !j.since.IsZero():
		j.since = time.Time{}
		j.again = now.Add(secondAfter/2 + rand.N(secondAfter))
	}
	j.secondList(ctx, c, now)
	j.resolveDue(ctx, lonely, len(c.alive), now)
	left := joinsRound
	if lonely {
		left = joinsLonely
	}
	for _, addr := range j.candidates(c, now) {
		if left == 0 {
			break
		}
		if t := j.tries[addr]; !t.busy && !now.Before(t.next) && j.start(ctx, addr, t) {
			left--
		}
	}
	for addr, t := range j.tries {
		if !t.busy && t.round != now {
			delete(j.tries, addr)
		}
	}
	if lonely || now.Before(j.hot) {
		return jitter(time.Second)
	}
	return jitter(min(max(2*time.Second, time.Duration(len(c.alive))*2*time.Second/roundMembers), roundMost))
}

// secondList asks a live member for its list some seconds after the first company. Where everybody
// starts at once the first list was short, and gossip takes 20 s to bring 300 members to each of
// 300, 5 to a packet; with a second list it is 12 s and a third less traffic. The caller holds j.mu.
func (j *joiner) secondList(ctx context.Context, c *contacts, now time.Time) {
	if j.again.IsZero() || now.Before(j.again) || len(c.alive) == 0 {
		return
	}
	for addr := range c.alive { // in random order enough
		if j.spawn(ctx, func() { j.exchange(addr) }, func() {}) {
			j.again = time.Time{}
		}
		return
	}
}

// candidates returns in random order the dead and the seeds that no live member answers for.
func (j *joiner) candidates(c *contacts, now time.Time) []netip.AddrPort {
	var list []netip.AddrPort
	add := func(addr netip.AddrPort) {
		if addr == j.self || c.alive[addr] {
			return
		}
		t := j.tries[addr]
		if t == nil {
			t = &try{}
			j.tries[addr] = t
		}
		if t.round != now {
			t.round = now
			list = append(list, addr)
		}
	}
	for _, addr := range c.dead {
		add(addr)
	}
	for _, s := range j.seeds {
		for _, addr := range s.addrs {
			add(addr)
		}
	}
	rand.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	return list
}

// start begins an attempt unless all slots are taken. The caller holds j.mu.
func (j *joiner) start(ctx context.Context, addr netip.AddrPort, t *try) bool {
	return j.spawn(ctx, func() {
		j.stats.joins.Add(1)
		err := j.exchange(addr)
		if err != nil {
			j.stats.joinsFailed.Add(1)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		t.busy = false
		j.settle(addr, t, err == nil, time.Now())
	}, func() { t.busy = true })
}

// settle says when to try the address again. An exchange that succeeds may have to be repeated at
// once (see the package's comment), but not for ever: another process may live there now.
func (j *joiner) settle(addr netip.AddrPort, t *try, ok bool, now time.Time) {
	if ok {
		t.fails = 0
		if t.wins++; t.wins <= joinsFutile {
			t.next, j.hot = now.Add(joinFirst), now.Add(3*joinFirst)
			poke(j.wake)
			return
		}
		// A Service's address answers for ever and is nobody's own; lists grow with the members.
		most := max(2*joinMany, time.Duration(len(j.contacts().alive))*futileMember)
		t.next = now.Add(pause(t.wins-joinsFutile, most))
		return
	}
	t.fails++
	t.wins = 0
	c := j.contacts()
	most := joinMany
	switch {
	case !j.since.IsZero() && now.Sub(j.since) < lonelyEager:
		most = joinFirst
	case !j.since.IsZero():
		most = joinLonely
	case len(c.dead) <= fewDead && slices.Contains(c.dead, addr):
		most = joinFew
	}
	t.next = now.Add(pause(t.fails, most))
}

// repair exchanges lists with a live member, if a slot is free: the next digest asks again.
func (j *joiner) repair(ctx context.Context, addr netip.AddrPort) {
	j.spawn(ctx, func() { j.exchange(addr) }, func() {})
}

// spawn runs job in a goroutine that run waits for, after begin, unless all slots are taken.
func (j *joiner) spawn(ctx context.Context, job, begin func()) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case j.slots <- struct{}{}:
	default:
		return false
	}
	begin()
	j.jobs.Go(func() {
		defer func() { <-j.slots }()
		job()
	})
	return true
}

// pause is joinFirst doubled with every failure after the first, at most most, times 0.5 to 1.
func pause(fails int, most time.Duration) time.Duration {
	return jitter(min(joinFirst<<min(fails-1, 10), most))
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
