package probe

import "time"

// minimum keeps the smallest duration of the present block and of the one before.
// It holds nanoseconds in 32 bits: round trips end at the time-out of one second.
type minimum struct {
	now, before uint32 // 0: none
	count       uint16 // in the present block
}

func (m *minimum) add(d time.Duration) {
	v := uint32(min(max(d, 1), 1<<32-1))
	if m.now == 0 || v < m.now {
		m.now = v
	}
	m.count++
}

func (m *minimum) turn() { *m = minimum{before: m.now} }

func (m *minimum) min() time.Duration {
	switch {
	case m.now == 0:
		return time.Duration(m.before)
	case m.before == 0:
		return time.Duration(m.now)
	}
	return time.Duration(min(m.now, m.before))
}
