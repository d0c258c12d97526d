package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"netchecker/api"
	"netchecker/mesh"
)

const (
	// flushEvery is how long a report may be in memory only. A report is accepted when it is in memory:
	// a sync to disk for each of 10,000 agents would be 170 a second.
	flushEvery = time.Second
	// lockWait is how long the file's lock is waited for: a predecessor in a rolling update holds it.
	lockWait = 10 * time.Second
)

// Bolt keeps records in memory and, within a second, in a bolt file. While the file cannot be
// written memory goes on, Err says why, and what was missed is written once it can. Any goroutine
// may use it.
type Bolt struct {
	Memory
	path string
	log  *slog.Logger
	db   *bolt.DB // nil while it cannot be opened; belongs to the writer after OpenBolt

	mu      sync.Mutex             // guards the following
	dirty   map[string]*api.Record // nil records are to be deleted
	oldest  time.Time              // when the first of dirty came
	writing time.Time              // when the first of the batch being written came, zero when there is none
	err     error
	stats   api.StoreStats // Writes and Errors alone
	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
}

var _ api.Store = (*Bolt)(nil)

// stored is a record as it stands in the file.
type stored struct {
	api.Report
	Authenticated bool `json:"authenticated,omitempty"`
}

// OpenBolt opens the file, making it when there is none, and reads its records. A damaged file is
// moved aside, which the log says, and an empty one takes its place: the agents fill it within a
// report interval. An error means that the file cannot be used at all: no permission, a directory
// that is missing, a lock that somebody else holds. Close it.
func OpenBolt(path string, log *slog.Logger) (*Bolt, error) {
	b := &Bolt{Memory: Memory{byName: map[string]*api.Record{}}, path: path, log: log, dirty: map[string]*api.Record{},
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	if err := b.open(); err != nil {
		return nil, err
	}
	go b.write()
	return b, nil
}

// open opens the file, moving a damaged one aside. On a full disk it goes on without.
func (b *Bolt) open() error {
	err := b.read()
	if err != nil && !unusable(err) {
		if err = b.moveAside(err); err == nil {
			err = b.read()
		}
	}
	if full(err) {
		b.say(fmt.Errorf("open %q: %w", b.path, err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %q: %w", b.path, err)
	}
	return nil
}

// unusable tells a file that we may not or cannot use from one whose content is damaged.
func unusable(err error) bool {
	_, system := errors.AsType[syscall.Errno](err)
	_, path := errors.AsType[*fs.PathError](err)
	return system || path || errors.Is(err, berrors.ErrTimeout)
}

func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

func (b *Bolt) moveAside(damage error) error { return moveAside(b.path, damage, b.log) }

// moveAside makes room for a new file in place of a damaged one.
func moveAside(path string, damage error, log *slog.Logger) error {
	aside := fmt.Sprintf("%s.damaged-%d", path, time.Now().UnixNano())
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("move damaged file aside (%v): %w", damage, err)
	}
	log.Error("file is damaged: moved aside, beginning an empty one", "file", path, "moved to", aside, "error", damage)
	return nil
}

// bucket is the name of the bucket that holds the records, by agent.
const bucket = "reports"

// read opens the file and takes in its records. bolt reads a mapping of the file and trusts it:
// damage shows as a panic or a fault, which count as errors here.
func (b *Bolt) read() (err error) {
	defer damaged(&err)()
	db, err := bolt.Open(b.path, 0o600, &bolt.Options{Timeout: lockWait})
	if err != nil {
		return err
	}
	defer func() {
		if b.db == nil {
			closeQuietly(db)
		}
	}()
	err = db.View(func(tx *bolt.Tx) error {
		records := tx.Bucket([]byte(bucket))
		if records == nil {
			return nil
		}
		return records.ForEach(func(name, value []byte) error {
			b.restore(string(name), value)
			return nil
		})
	})
	if err == nil {
		b.db = db
	}
	return err
}

// restore takes one record of the file into memory, unless memory has a newer one.
func (b *Bolt) restore(name string, value []byte) {
	var s stored
	err := json.Unmarshal(value, &s)
	if err == nil {
		err = mesh.CheckName("agent name", name)
	}
	if err != nil {
		b.log.Warn("report in file not readable", "agent", name, "error", err)
		return
	}
	// A date ahead of our clock would keep the agent in good standing until then.
	if now := time.Now(); s.LastUpdated.After(now) {
		s.LastUpdated = now
	}
	b.Memory.mu.Lock()
	defer b.Memory.mu.Unlock()
	if b.Memory.byName[name] == nil {
		b.Memory.byName[name] = &api.Record{Name: name, Report: s.Report, Authenticated: s.Authenticated}
		b.Memory.sorted = nil
	}
}

// damaged turns panics and faults of the calling goroutine into an error; it returns the function to defer.
func damaged(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		if p := recover(); p != nil {
			*err = fmt.Errorf("damaged: %v", p)
		}
		debug.SetPanicOnFault(before)
	}
}

// closeQuietly closes a file found to be damaged, which may panic, too.
func closeQuietly(db *bolt.DB) {
	var err error
	defer damaged(&err)()
	_ = db.Close() // nothing of it is needed any more
}

// Put implements api.Store: the record is in memory when it returns and in the file within a second.
func (b *Bolt) Put(ctx context.Context, rec *api.Record) error {
	b.note(rec.Name, rec)
	return b.Memory.Put(ctx, rec)
}

// Delete implements api.Store, as late as Put.
func (b *Bolt) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		b.note(name, nil)
	}
	return b.Memory.Delete(ctx, names...)
}

func (b *Bolt) note(name string, rec *api.Record) {
	b.mu.Lock()
	if len(b.dirty) == 0 {
		b.oldest = time.Now()
	}
	b.dirty[name] = rec
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Err implements api.Store: it says why the file could not be written last time.
func (b *Bolt) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Stats implements api.Store.
func (b *Bolt) Stats() api.StoreStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.stats
	st.Kind, st.Bound, st.Unwritten = "bolt", 2*flushEvery, len(b.dirty)
	switch {
	case !b.writing.IsZero():
		st.Age = time.Since(b.writing)
	case st.Unwritten > 0:
		st.Age = time.Since(b.oldest)
	}
	return st
}

// say sets what Err says and logs when that begins or ends.
func (b *Bolt) say(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil && b.err == nil:
		b.log.Error("reports are kept in memory only", "error", err)
	case err == nil && b.err != nil:
		b.log.Info("reports are kept in the file again", "file", b.path)
	}
	b.err = err
}

// Close writes what is not written yet and closes the file. It may be called once.
func (b *Bolt) Close() error {
	close(b.closing)
	<-b.done
	err := b.Err()
	if b.db != nil {
		err = errors.Join(err, b.db.Close())
	}
	return err
}
