package store

import (
	"sync"
	"time"

	"netchecker/api"
)

// queue holds the changes that are not written yet, one an agent: a later one takes the place of an
// earlier one and does not lose its turn. Any goroutine may use it.
type queue struct {
	mu     sync.Mutex
	byName map[string]*entry
	// order holds the names whose turn comes, oldest change first; those in somebody's hand are not in it.
	order []string
	// refused are the names whose last attempt went wrong, lastErr is what the last of them got.
	refused map[string]bool
	lastErr error

	writes, errors uint64
	// turns counts changes, for change.turn.
	turns uint64
	// wake has something in it when there is something to take.
	wake chan struct{}
}

// entry is what is to be written of one agent.
type entry struct {
	change
	// since is when the oldest report came that this change makes durable.
	since, latest time.Time
	// taken says that somebody is writing an earlier version or this one.
	taken bool
}

// change is a record to write or, when rec is nil, to remove.
type change struct {
	name string
	rec  *api.Record
	// turn tells a change from the one that replaced it.
	turn uint64
}

func newQueue() *queue {
	return &queue{byName: map[string]*entry{}, refused: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// note adds a change.
func (q *queue) note(name string, rec *api.Record, now time.Time) {
	q.mu.Lock()
	e := q.byName[name]
	if e == nil {
		e = &entry{change: change{name: name}, since: now}
		q.byName[name] = e
		q.order = append(q.order, name)
	}
	q.turns++
	e.rec, e.latest, e.turn = rec, now, q.turns
	q.mu.Unlock()
	q.again()
}

// again wakes the writer.
func (q *queue) again() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// drop forgets the change of name if only says so, or if it is nil.
func (q *queue) drop(name string, only func(rec *api.Record) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.byName[name]; e != nil && (only == nil || only(e.rec)) {
		delete(q.byName, name)
		delete(q.refused, name)
	}
}

// pending returns the record that waits to be written under name; ok is false when no change does.
func (q *queue) pending(name string) (rec *api.Record, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.byName[name]; e != nil {
		return e.rec, true
	}
	return nil, false
}

// waiting is how many changes can be taken.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.order)
}

// take returns at most n changes, oldest first. Each must be given to done or failed.
func (q *queue) take(n int) (out []change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(out) < n && len(q.order) > 0 {
		e := q.byName[q.order[0]]
		q.order = q.order[1:]
		if e != nil && !e.taken { // dropped, or dropped and come again
			e.taken = true
			out = append(out, e.change)
		}
	}
	return out
}

// done says that a change is written. What replaced it meanwhile takes its turn at the end.
func (q *queue) done(c change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writes++
	delete(q.refused, c.name)
	e := q.byName[c.name]
	switch {
	case e == nil || !e.taken: // dropped meanwhile
	case e.turn == c.turn:
		delete(q.byName, c.name)
	default:
		e.since = e.latest
		q.requeue(e)
	}
}

// failed says that a change could not be written: it is tried again after all others.
func (q *queue) failed(c change, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.errors++
	e := q.byName[c.name]
	if e == nil || !e.taken {
		return
	}
	q.refused[c.name], q.lastErr = true, err
	q.requeue(e)
}

// retry says that a change could not be made yet, which is nobody's fault.
func (q *queue) retry(c change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.byName[c.name]; e != nil && e.taken {
		q.requeue(e)
	}
}

// requeue is for holders of the lock.
func (q *queue) requeue(e *entry) {
	e.taken = false
	q.order = append(q.order, e.name)
	q.again()
}

// err says why changes that were tried are not written, nil when there are none.
func (q *queue) err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.refused) == 0 {
		return nil
	}
	return q.lastErr
}

// stats fills in what the queue knows.
func (q *queue) stats(st *api.StoreStats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st.Writes, st.Errors, st.Unwritten = q.writes, q.errors, len(q.byName)
	now := time.Now()
	for _, e := range q.byName {
		st.Age = max(st.Age, now.Sub(e.since))
	}
}
