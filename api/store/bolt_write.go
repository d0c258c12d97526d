package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"

	"netchecker/api"
)

// write is the writer's goroutine: it alone uses the file. It ends when Close asks it to.
func (b *Bolt) write() {
	defer close(b.done)
	for {
		select {
		case <-b.closing:
			b.flush()
			return
		case <-b.wake:
		}
		b.flush()
		select { // what comes meanwhile goes together
		case <-b.closing:
			b.flush()
			return
		case <-time.After(flushEvery):
		}
		if b.Err() != nil {
			b.again()
		}
	}
}

// again makes the next turn come though nothing new did: a full disk may have room again.
func (b *Bolt) again() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// flush writes all that is not written yet, in one transaction. On an error it stays unwritten.
func (b *Bolt) flush() {
	b.mu.Lock()
	batch := b.dirty
	if len(batch) == 0 {
		b.mu.Unlock()
		return
	}
	b.dirty, b.writing = map[string]*api.Record{}, b.oldest
	b.mu.Unlock()
	err, broken := b.commit(batch)
	if broken {
		// The handle may hold its own locks, so it is not closed but left behind, once in a damage.
		b.db = nil
		if e := b.moveAside(err); e != nil {
			err = e
		}
		b.Memory.mu.RLock()
		maps.Copy(batch, b.Memory.byName) // a new file needs them all
		b.Memory.mu.RUnlock()
	}
	b.wrote(batch, err == nil)
	if err != nil {
		err = fmt.Errorf("write %q: %w", b.path, err)
	}
	b.say(err)
}

// wrote counts a batch, and puts one back that could not be written, but for what was replaced since.
func (b *Bolt) wrote(batch map[string]*api.Record, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	began := b.writing
	b.writing = time.Time{}
	if ok {
		b.stats.Writes += uint64(len(batch))
		return
	}
	b.stats.Errors++
	b.oldest = began
	for name, rec := range batch {
		if _, newer := b.dirty[name]; !newer {
			b.dirty[name] = rec
		}
	}
}

// commit writes a batch; broken means that the file itself is damaged.
func (b *Bolt) commit(batch map[string]*api.Record) (err error, broken bool) {
	if b.db == nil {
		if err := b.open(); err != nil {
			return err, false
		}
		if b.db == nil {
			return b.Err(), false
		}
	}
	broken = true // until the transaction returns by itself
	defer damaged(&err)()
	err = b.db.Update(func(tx *bolt.Tx) error {
		records, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		for name, rec := range batch {
			if err := b.change(records, name, rec); err != nil {
				return fmt.Errorf("report of %q: %w", name, err)
			}
		}
		return nil
	})
	return err, false
}

func (b *Bolt) change(records *bolt.Bucket, name string, rec *api.Record) error {
	if rec == nil {
		return records.Delete([]byte(name))
	}
	value, err := json.Marshal(stored{rec.Report, rec.Authenticated})
	if err != nil { // one record that cannot be written must not keep the others from it
		b.log.Error("report not kept in the file", "agent", name, "error", err)
		return nil
	}
	return records.Put([]byte(name), value)
}
