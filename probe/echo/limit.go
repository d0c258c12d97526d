package echo

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// limit is a rate limit in the form of the generic cell rate algorithm (ITU-T I.371): due is when
// the next cell would come at the sustained rate, and it may come up to burst cells early.
type limit struct {
	every, ahead time.Duration
	due          time.Duration
}

func newLimit(perSecond, burst int) limit {
	every := time.Second / time.Duration(max(perSecond, 1))
	return limit{every: every, ahead: every * time.Duration(burst)}
}

func (l *limit) take(now time.Duration) bool {
	if l.due-now > l.ahead {
		return false
	}
	l.due = max(l.due, now) + l.every
	return true
}

// sourceLimit is one limit for each source address, in a table of fixed size: addresses that share a
// place share a limit, and an attacker cannot choose whose, since the hash has a random seed.
type sourceLimit struct {
	seed  maphash.Seed
	limit limit
	due   [1024]time.Duration
}

func newSourceLimit(perSecond, burst int) sourceLimit {
	return sourceLimit{seed: maphash.MakeSeed(), limit: newLimit(perSecond, burst)}
}

func (s *sourceLimit) take(addr netip.Addr, now time.Duration) bool {
	b := addr.As16()
	h := maphash.Bytes(s.seed, b[:])
	due := &s.due[h%uint64(len(s.due))]
	l := s.limit
	l.due = *due
	ok := l.take(now)
	*due = l.due
	return ok
}
