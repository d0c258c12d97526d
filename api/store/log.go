package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// MemoryLog keeps numbered values in memory, for a history that need not survive a restart. Any
// goroutine may use it. The zero value is empty.
type MemoryLog struct {
	mu     sync.RWMutex
	first  uint64
	values [][]byte
	size   int64
}

// valueCost is what a value takes besides its own bytes.
const valueCost = 24

// Append implements history.Log. It never fails.
func (l *MemoryLog) Append(first uint64, values [][]byte) (emptied bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.values) == 0 {
		l.first = first
	}
	for i, v := range values {
		l.size += int64(len(v)) + valueCost
		if at := first + uint64(i) - l.first; at < uint64(len(l.values)) {
			l.size -= int64(len(l.values[at])) + valueCost
			l.values[at] = v
			continue
		}
		l.values = append(l.values, v)
	}
	return false, nil
}

// Read implements history.Log.
func (l *MemoryLog) Read(from, to uint64, each func(n uint64, value []byte) bool) error {
	l.mu.RLock()
	first, values := l.first, l.values // values are replaced, never changed
	l.mu.RUnlock()
	for n := max(from, first); n <= to && n-first < uint64(len(values)); n++ {
		l.mu.RLock()
		v := values[n-first]
		l.mu.RUnlock()
		if !each(n, v) {
			return nil
		}
	}
	return nil
}

// Drop implements history.Log.
func (l *MemoryLog) Drop(below uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(uint64(len(l.values)), max(below, l.first)-l.first)
	for _, v := range l.values[:n] {
		l.size -= int64(len(v)) + valueCost
	}
	l.values = append([][]byte(nil), l.values[n:]...)
	l.first += n
	return nil
}

// Size implements history.Log.
func (l *MemoryLog) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.size
}

// BoltLog keeps numbered values in a bolt file. One goroutine may write while any others read.
type BoltLog struct {
	path string
	log  *slog.Logger

	mu   sync.RWMutex // held for reading by who uses the file, for writing by who exchanges it
	db   *bolt.DB     // nil while it cannot be opened
	size int64
}

// logBucket holds the values by their number, big endian.
const logBucket = "log"

// OpenLog opens the file, making it when there is none. A damaged file is moved aside, which the log
// says, and an empty one takes its place. On a full disk it opens nothing and tries again with each
// Append. An error means that the file cannot be used at all. Close it.
func OpenLog(path string, log *slog.Logger) (*BoltLog, error) {
	l := &BoltLog{path: path, log: log}
	err := l.open()
	if full(err) {
		return l, nil
	}
	return l, err
}

// open opens the file; a damaged one is moved aside.
func (l *BoltLog) open() error {
	db, err := openWhole(l.path)
	if err != nil && !unusable(err) {
		if err = moveAside(l.path, err, l.log); err == nil {
			db, err = openWhole(l.path)
		}
	}
	if err != nil {
		return fmt.Errorf("open %q: %w", l.path, err)
	}
	l.db, l.size = db, used(db)
	return nil
}

// openWhole opens a bolt file and walks through it once: what is damaged shows here, as a fault or a
// panic, and not when somebody asks.
func openWhole(path string) (db *bolt.DB, err error) {
	defer func() {
		if err != nil && db != nil {
			closeQuietly(db)
			db = nil
		}
	}()
	defer damaged(&err)()
	// Not NoFreelistSync: bolt then reads the whole file in a goroutine of its own, where what is
	// damaged ends the process.
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	there := false
	err = db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(logBucket))
		if there = b != nil; !there {
			return nil
		}
		return b.ForEach(func(key, _ []byte) error {
			if len(key) != 8 {
				return errors.New("damaged: no number")
			}
			return nil
		})
	})
	if err == nil && !there { // only then: a file on a full disk can still be read
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte(logBucket)); return err })
	}
	return db, err
}

// used is what a file holds, without the pages that are free.
func used(db *bolt.DB) int64 {
	s := db.Stats()
	size := int64(0)
	if db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }) != nil {
		return 0
	}
	return size - int64(s.FreePageN+s.PendingPageN)*int64(db.Info().PageSize)
}

// Append implements history.Log.
func (l *BoltLog) Append(first uint64, values [][]byte) (emptied bool, err error) {
	if l.db == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		err := l.open()
		return err == nil, err // nobody has read it yet, and what waits may have numbers that it holds
	}
	broken, err := l.update(func(b *bolt.Bucket) error {
		b.FillPercent = 0.95 // numbers only grow
		for i, v := range values {
			if err := b.Put(number(first+uint64(i)), v); err != nil {
				return err
			}
		}
		return nil
	})
	if !broken {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.db = nil // the handle may hold its own locks, so it is left behind, once in a damage
	if err := moveAside(l.path, err, l.log); err != nil {
		return true, err
	}
	return true, l.open()
}

// update changes the bucket in one transaction; broken means that the file itself is damaged.
func (l *BoltLog) update(change func(b *bolt.Bucket) error) (broken bool, err error) {
	broken = true // until the transaction returns by itself
	defer damaged(&err)()
	err = l.db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket([]byte(logBucket))) })
	if err == nil {
		size := used(l.db)
		l.mu.Lock()
		l.size = size
		l.mu.Unlock()
	}
	return false, err
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Read implements history.Log.
func (l *BoltLog) Read(from, to uint64, each func(n uint64, value []byte) bool) (err error) {
	l.mu.RLock()
	db := l.db
	l.mu.RUnlock()
	if db == nil {
		return nil
	}
	defer damaged(&err)()
	return db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket([]byte(logBucket)).Cursor()
		for key, value := c.Seek(number(from)); key != nil; key, value = c.Next() {
			n := binary.BigEndian.Uint64(key)
			if n > to || !each(n, value) {
				return nil
			}
		}
		return nil
	})
}

// Drop implements history.Log.
func (l *BoltLog) Drop(below uint64) error {
	if l.db == nil {
		return nil
	}
	_, err := l.update(func(b *bolt.Bucket) error {
		c := b.Cursor()
		for key, _ := c.First(); key != nil && binary.BigEndian.Uint64(key) < below; key, _ = c.First() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// Size implements history.Log.
func (l *BoltLog) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.size
}

// Close closes the file.
func (l *BoltLog) Close() (err error) {
	defer damaged(&err)()
	if l.db == nil {
		return nil
	}
	return l.db.Close()
}
