package echo

import (
	"encoding/binary"
	"math/bits"
	"time"

	"netchecker/probe"
)

// sender is what is known of one agent's probes over one family.
type sender struct {
	key        senderKey
	boot       uint64
	last       time.Duration
	streams    [probe.Kinds]stream
	prev, next *sender // in order of last, newest first
}

// stream is one kind of one sender's probes.
type stream struct {
	count   uint64
	bits    uint64 // bit i: sequence highest-i arrived
	highest uint32
	first   uint32 // where this stretch of sequences began
	period  time.Duration
	last    time.Duration
	offset  uint8 // sequence q came from source port (q+offset) mod 16
	state   probe.HeardState
}

type entry uint8

const (
	entryNew    entry = iota
	entryReplay       // this sequence was here before, or is older than we remember
	entryOther        // another life of the same sender, not the one we count
)

const (
	// lifeTime is how long a life must have been silent before a lower boot number replaces it: a
	// recording of an earlier life must not wipe out the present one, but clocks do go back.
	lifeTime = 3 * time.Second
	// lossWindow is over how many of the newest sequences a stream is judged, and lossLimit how many missing are too many.
	lossWindow, lossLimit = 20, 2
	// silenceSlack is added to two intervals before a sender counts as silent: its tick and ours.
	silenceSlack = 150 * time.Millisecond
)

// enter takes a valid request.
func (s *sender) enter(p *probe.Packet, now time.Duration) entry {
	if p.Boot != s.boot {
		if p.Boot < s.boot && now-s.last < lifeTime {
			return entryOther
		}
		s.boot, s.streams = p.Boot, [probe.Kinds]stream{}
	}
	st := &s.streams[p.Kind]
	if !st.enter(p.Seq) {
		return entryReplay
	}
	st.count++
	st.last, s.last = now, now
	st.period = max(time.Duration(p.Period)*10*time.Millisecond, 10*time.Millisecond)
	st.offset = (p.Flow - uint8(p.Seq)) & (probe.Flows - 1)
	return entryNew
}

// enter marks a sequence as arrived; false when it was before. After a gap of 64 or more a new
// stretch begins: the sender has made its target anew, or was cut off so long that silence has said so.
func (st *stream) enter(seq uint32) bool {
	ahead := int64(seq) - int64(st.highest)
	switch {
	case st.bits == 0 || ahead >= 64:
		st.first, st.highest, st.bits = seq, seq, 1
	case ahead > 0:
		st.highest, st.bits = seq, st.bits<<ahead|1
	case ahead <= -64 || st.bits&(1<<-ahead) != 0:
		return false
	default:
		st.bits |= 1 << -ahead
		st.first = min(st.first, seq)
	}
	return true
}

// span returns how many of the newest sequences, 64 at most, we were there for.
func (st *stream) span() int { return int(min(int64(st.highest)-int64(st.first)+1, 64)) }

// missing returns how many of the newest n sequences did not arrive.
func (st *stream) missing(n int) int { return n - bits.OnesCount64(st.bits&(^uint64(0)>>(64-n))) }

// judge draws a stream's state at now and reports whether it changed.
func (s *sender) judge(k probe.Kind, now time.Duration) bool {
	st := &s.streams[k]
	state := probe.HeardOK
	switch {
	case st.count == 0:
		state = probe.HeardNever
	case now-st.last > 2*st.period+silenceSlack:
		state = probe.HeardSilent
	case st.span() >= lossWindow && st.missing(lossWindow) >= lossLimit:
		state = probe.HeardLossy
	}
	changed := state != st.state
	st.state = state
	return changed
}

func (s *sender) heard(now time.Duration) probe.Heard {
	h := probe.Heard{Sender: s.key.id, Boot: s.boot, IPv6: s.key.v6, Loss: probe.LossUnknown, Age: now - s.last}
	for _, k := range probe.AllKinds() {
		s.judge(k, now)
		h.Counts[k], h.State[k] = s.streams[k].count, s.streams[k].state
	}
	udp := &s.streams[probe.UDP]
	h.Highest = udp.highest
	if udp.count > 0 {
		n := udp.span()
		h.Loss = probe.LossOf(udp.missing(n), n)
		slots := probe.BadFlows(^uint64(0)>>(64-n), ^udp.bits, udp.highest)
		h.BadFlows = bits.RotateLeft16(slots, int(udp.offset))
	}
	return h
}

// putHold writes the hold time into an encoded packet.
func putHold(reply []byte, hold time.Duration) {
	binary.BigEndian.PutUint32(reply[68:], uint32(min(max(hold, 0), 1<<32-1)))
}
