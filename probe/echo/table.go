package echo

import "time"

// table holds the senders, the most recent first, and forgets the least recent when it is full.
type table struct {
	rows        map[senderKey]*sender
	first, last *sender
	limit       int
}

// senderKey names a row: an agent with addresses of both families asks over each for itself.
type senderKey struct {
	id uint64
	v6 bool
}

func newTable(limit int) table { return table{rows: make(map[senderKey]*sender), limit: limit} }

// get returns the row of a sender, new if need be, and makes it the most recent.
func (t *table) get(key senderKey, now time.Duration) *sender {
	s := t.rows[key]
	switch {
	case s == nil && len(t.rows) >= t.limit:
		s = t.last
		t.unlink(s)
		delete(t.rows, s.key)
		*s = sender{key: key, last: now}
		t.rows[key] = s
	case s == nil:
		s = &sender{key: key, last: now}
		t.rows[key] = s
	case s == t.first:
		return s
	default:
		t.unlink(s)
	}
	s.prev, s.next = nil, t.first
	if t.first != nil {
		t.first.prev = s
	}
	t.first = s
	if t.last == nil {
		t.last = s
	}
	return s
}

func (t *table) unlink(s *sender) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		t.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		t.last = s.prev
	}
	s.prev, s.next = nil, nil
}
