package probe

import (
	"math/bits"
	"time"
)

// Tick is how often an engine wakes at most: wake-ups, not system calls, are what probing costs.
const Tick = 50 * time.Millisecond

// udpShare is the part of the budget that the regular udp rounds may use; the other kinds share the rest.
const udpShare = 0.6

// Plan returns the regular interval of each kind: max(1 s, targets ÷ share), where udp's share is
// 60 % of rate and the other active kinds divide the rest. A kind that is off has interval 0.
func Plan(targets, rate int, off [Kinds]bool) [Kinds]time.Duration {
	others := 0
	for _, k := range AllKinds() {
		if k != UDP && !off[k] {
			others++
		}
	}
	var periods [Kinds]time.Duration
	for _, k := range AllKinds() {
		share := udpShare * float64(rate)
		if k != UDP {
			share = (1 - udpShare) * float64(rate) / float64(max(others, 1))
		}
		if !off[k] {
			periods[k] = max(time.Second, time.Duration(float64(targets)/share*float64(time.Second)))
		}
	}
	return periods
}

// phase orders targets within a round: by a hash of both identities, so that the order is the same
// after a restart, and differs between agents, which would otherwise all ask the same peer at once.
func phase(self, id uint64) uint64 {
	h := self ^ bits.RotateLeft64(id, 32)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd // the finalizer of MurmurHash3
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// round walks the targets of one kind, evenly spread over the period.
type round struct {
	period time.Duration
	start  time.Duration // when target 0 was due
	count  int
	next   int
}

// reset starts with a new number of targets or period at now, where the old round stood, so that
// frequent changes of the target list starve nobody.
func (r *round) reset(period time.Duration, count int, now time.Duration, offset float64) {
	done := offset
	if r.count > 0 && r.period > 0 {
		done = float64(r.next) / float64(r.count)
	}
	*r = round{period: period, count: count}
	if count == 0 || period == 0 {
		return
	}
	r.next = min(int(done*float64(count)), count-1)
	r.start = now - r.due(r.next)
}

// due returns when target i of a round is due, counted from the round's start.
func (r *round) due(i int) time.Duration {
	return time.Duration(int64(r.period) / int64(r.count) * int64(i))
}

// peek returns the index of the next target if it is due. A round that fell far behind, because we
// slept or the budget was short, is moved instead of made up for: no burst follows.
func (r *round) peek(now time.Duration) (int, bool) {
	if r.count == 0 || r.period == 0 {
		return 0, false
	}
	late := now - r.start - r.due(r.next)
	if late < 0 {
		return 0, false
	}
	if late > 4*Tick {
		r.start += late - Tick
	}
	return r.next, true
}

// advance moves on after the target that peek returned.
func (r *round) advance() {
	r.next++
	if r.next >= r.count {
		r.next = 0
		r.start += r.period
	}
}

// budgetSlots of one Tick each make the second over which the budget counts.
const budgetSlots = int(time.Second / Tick)

// budget keeps the probes of any 20 consecutive ticks within rate, and a single tick within four
// ticks' worth, so that a late wake-up does not burst.
type budget struct {
	rate  int
	sum   int
	slot  int64
	spent [budgetSlots]int
}

// advance tells the budget the time.
func (b *budget) advance(now time.Duration) {
	slot := int64(now / Tick)
	for range min(slot-b.slot, int64(budgetSlots)) {
		b.slot++
		i := b.slot % int64(budgetSlots)
		b.sum -= b.spent[i]
		b.spent[i] = 0
	}
	if slot > b.slot { // slept for more than a second: everything was cleared above
		moved := slot - b.slot
		b.slot += moved
	}
}

// take reports whether one more probe may be sent now, and counts it.
func (b *budget) take() bool {
	i := b.slot % int64(budgetSlots)
	if b.sum >= b.rate || b.spent[i] >= max(1, 4*b.rate/budgetSlots) {
		return false
	}
	b.sum++
	b.spent[i]++
	return true
}
