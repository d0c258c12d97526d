package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"netchecker/api"
	"netchecker/mesh"
)

const (
	// lostWait is how long a record that vanished from the store, though we did not remove it, waits
	// before it is written again. Another server that removed it knows of the pod's end a little
	// earlier than we do, and our own sweep comes within this time.
	lostWait = 30 * time.Second
	// closeWait is what is left for writing when the server stops.
	closeWait = 5 * time.Second
)

// shared is what the stores have in common that several servers use at once: records in memory, a
// queue of changes to write, and what others wrote merged in. Of two records of one agent the one
// that came later stays, whoever took it.
//
// Memory is the truth while the server runs: what disappears from the store, by a hand, an expired
// lease or the loss of all its data, stays in memory and is written again. Only Delete removes.
type shared struct {
	Memory
	queue *queue
	log   *slog.Logger
	kind  string
	stop  context.CancelFunc // ends the goroutine that closes done
	done  chan struct{}

	mu     sync.Mutex // guards the following
	behind error      // why reads may lack something
	// lost holds when a record vanished from the store that memory still has.
	lost map[string]time.Time
}

func newShared(kind string, log *slog.Logger) *shared {
	return &shared{Memory: Memory{byName: map[string]*api.Record{}}, queue: newQueue(), log: log, kind: kind,
		done: make(chan struct{}), behind: fmt.Errorf("%s: not read yet", kind), lost: map[string]time.Time{}}
}

// Put implements api.Store: the record is in memory when it returns, and will be written.
func (s *shared) Put(ctx context.Context, rec *api.Record) error {
	err := s.Memory.Put(ctx, rec)
	s.queue.note(rec.Name, rec, time.Now())
	return err
}

// Delete implements api.Store, as late as Put. While the store cannot be followed it removes from
// memory alone: another server may have a newer record, which must not go. What is still there when
// the store is read again comes back, and is swept with knowledge.
func (s *shared) Delete(ctx context.Context, names ...string) error {
	s.mu.Lock()
	behind := s.behind != nil
	for _, name := range names {
		delete(s.lost, name)
	}
	s.mu.Unlock()
	for _, name := range names {
		if behind {
			s.queue.drop(name, nil)
		} else {
			s.queue.note(name, nil, time.Now())
		}
	}
	return s.Memory.Delete(ctx, names...)
}

// Err implements api.Store: why the store cannot be reached, or what it refused to write.
func (s *shared) Err() error {
	if err := s.Behind(); err != nil {
		return err
	}
	return s.queue.err()
}

// Behind implements api.Store.
func (s *shared) Behind() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
}

// setBehind sets what Behind says and logs when that begins, changes or ends.
func (s *shared) setBehind(err error) {
	s.mu.Lock()
	before := s.behind
	s.behind = err
	s.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.log.Error("reports are kept in memory only", "store", s.kind, "error", err)
	case err == nil && before != nil:
		s.log.Info("store is read, reports are kept", "store", s.kind)
	}
}

// Stats implements api.Store.
func (s *shared) Stats() api.StoreStats {
	st := api.StoreStats{Kind: s.kind}
	s.queue.stats(&st)
	return st
}

// learn takes in a record that stands in the store.
func (s *shared) learn(rec *api.Record) {
	if err := mesh.CheckName("agent name", rec.Name); err != nil {
		s.log.Warn("report in store not taken", "store", s.kind, "error", err)
		return
	}
	// A date ahead of our clock would keep the agent in good standing until then.
	if now := time.Now(); rec.LastUpdated.After(now) {
		rec.LastUpdated = now
	}
	s.mu.Lock()
	delete(s.lost, rec.Name)
	s.mu.Unlock()
	s.queue.drop(rec.Name, func(mine *api.Record) bool { return mine != nil && supersedes(rec, mine) })
	if mine, waits := s.queue.pending(rec.Name); waits && mine == nil {
		return // it is about to be removed
	}
	s.Memory.merge(rec)
}

// supersedes reports whether a record in the store makes writing mine needless: it came later, or it
// is the same report, which the agent gave to both servers.
func supersedes(stored, mine *api.Record) bool {
	return stored.LastUpdated.After(mine.LastUpdated) ||
		!mine.HostDate.IsZero() && stored.HostDate.Equal(mine.HostDate) && stored.Uptime == mine.Uptime && stored.ReportInterval == mine.ReportInterval &&
			stored.Authenticated == mine.Authenticated
}

// merge takes rec in unless what is there came later.
func (m *Memory) merge(rec *api.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.byName[rec.Name]; old == nil || rec.LastUpdated.After(old.LastUpdated) {
		m.byName[rec.Name] = rec
		m.sorted = nil
	}
}

// vanished notes that there is no record of name in the store any more.
func (s *shared) vanished(name string) {
	if rec, _ := s.Get(context.Background(), name); rec == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.lost[name]; !known {
		s.lost[name] = time.Now()
	}
}

// reread ends a reading of the whole store, in which stored were found.
func (s *shared) reread(stored map[string]bool) {
	all, _ := s.All(context.Background()) // Memory never fails
	for _, rec := range all {
		if _, waits := s.queue.pending(rec.Name); !waits && !stored[rec.Name] {
			s.vanished(rec.Name)
		}
	}
}

// writeLost has those records written again that vanished a while ago and that nobody removed.
func (s *shared) writeLost() {
	now := time.Now()
	var due []string
	s.mu.Lock()
	for name, at := range s.lost {
		if now.Sub(at) >= lostWait {
			due = append(due, name)
			delete(s.lost, name)
		}
	}
	s.mu.Unlock()
	written := 0
	for _, name := range due {
		rec, _ := s.Get(context.Background(), name) // Memory never fails
		if _, waits := s.queue.pending(name); rec != nil && !waits {
			s.queue.note(name, rec, now)
			written++
		}
	}
	if written > 0 {
		s.log.Warn("reports vanished from the store and are written again", "store", s.kind, "number", written)
	}
}

// Close writes what it can within a few seconds, and ends. It may be called once.
func (s *shared) Close() error {
	s.stop()
	<-s.done
	st := s.Stats()
	if st.Unwritten > 0 {
		return fmt.Errorf("%s: %d reports are not written: %w", s.kind, st.Unwritten, s.Err())
	}
	return nil
}
