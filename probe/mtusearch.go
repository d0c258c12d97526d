package probe

import "time"

// mtuSearch finds the largest packet that passes while the full-sized one does not. It is pure: ask
// it for sizes to try, tell it what became of them. It tries three sizes at once, at the quarters of
// what is left. A size counts as too big when two probes of it were lost, and the size it ends at is
// tried twice more, so that passing loss, or a peer that was busy for half a second, does not mislead it.
type mtuSearch struct {
	low, high uint16 // low is known to pass, high not to
	hint      uint16 // MTU that a router named; 0: none
	found     uint16 // result of the last search; 0: none
	full      uint16 // where high began
	proved    bool   // high is certain not to pass
	proving   bool   // the last step: high is tried once more, since chance may have lost it
	returns   uint8  // how often that showed that it was chance
	active    bool
	tries     [3]mtuTry
	until     time.Duration // no new search before
}

type mtuTry struct {
	size uint16
	sent uint8
	lost uint8
	good bool
}

// searchAgain is how long a result stands while the mtu probe goes on failing.
const searchAgain = time.Minute

// searchReturns is how often a search may find that chance misled it.
const searchReturns = 3

// start begins a search between low, which passes, and high, which does not.
func (s *mtuSearch) start(low, high uint16, now time.Duration) {
	if low >= high {
		return
	}
	*s = mtuSearch{low: low, high: high, full: high, proved: true, hint: s.hint, found: s.found, active: true, until: now + searchAgain}
	s.plan()
}

// stop ends the search and forgets its result: the full size passes again, or nothing does.
func (s *mtuSearch) stop(forget bool) {
	s.active = false
	if forget {
		s.found, s.hint, s.until = 0, 0, 0
	}
}

// suggest takes the MTU that a router or our own kernel named.
func (s *mtuSearch) suggest(mtu uint16) {
	if mtu == s.hint {
		return
	}
	s.hint, s.until = mtu, 0
	if s.active && mtu >= s.low && mtu < s.high {
		s.plan()
	}
}

// plan chooses the next sizes: the hint and the size above it, or the quarters of what is left.
func (s *mtuSearch) plan() {
	s.tries = [3]mtuTry{}
	if s.high-s.low <= 1 {
		s.proving = !s.proved && s.returns < searchReturns
		if !s.proving {
			s.found, s.active = s.low, false
			return
		}
		s.tries[0].size = s.high
		return
	}
	if s.hint > s.low && s.hint < s.high {
		s.tries[0].size = s.hint
		if s.hint+1 < s.high {
			s.tries[1].size = s.hint + 1
		}
		return
	}
	gap := int(s.high - s.low)
	for i := range s.tries {
		size := s.low + uint16(gap*(i+1)/4)
		if size > s.low && size < s.high {
			s.tries[i].size = size
		}
	}
}

// next returns a size to send now; false when there is none. Each size is sent once more after its first loss.
func (s *mtuSearch) next() (uint16, bool) {
	if !s.active {
		return 0, false
	}
	for i := range s.tries {
		t := &s.tries[i]
		if t.size != 0 && !t.good && t.lost < 2 && t.sent == t.lost {
			t.sent++
			return t.size, true
		}
	}
	return 0, false
}

// passed takes an answer to a probe of size.
func (s *mtuSearch) passed(size uint16) {
	if !s.active || size >= s.full {
		return
	}
	if size >= s.high { // chance lost it before
		s.high, s.proved, s.proving = s.full, true, false
		s.returns++
	}
	for i := range s.tries {
		if s.tries[i].size == size {
			s.tries[i].good = true
		}
	}
	s.low = max(s.low, size)
	s.settle()
}

// failed takes the loss of a probe of size; certain says that an error proved it, no second one is needed.
func (s *mtuSearch) failed(size uint16, certain bool) {
	if !s.active {
		return
	}
	for i := range s.tries {
		if t := &s.tries[i]; t.size == size && !t.good {
			t.lost++
			if certain {
				t.lost, t.sent = 2, 2
			}
			if t.lost >= 2 && size > s.low && size <= s.high {
				s.high, s.proved = size, certain || s.proving || s.proved && size == s.high
			}
		}
	}
	s.settle()
}

// settle plans anew once every size of this step is decided, or made pointless by the others.
func (s *mtuSearch) settle() {
	for _, t := range s.tries {
		if t.size != 0 && !t.good && t.lost < 2 && t.size > s.low && (t.size < s.high || s.proving) {
			return
		}
	}
	s.plan()
}

// unsent takes back what next promised: the probe of size could not leave.
func (s *mtuSearch) unsent(size uint16) {
	for i := range s.tries {
		if t := &s.tries[i]; t.size == size && t.sent > 0 {
			t.sent--
		}
	}
}
