package history

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
)

// Log keeps values by number. Any goroutine may read while one writes.
type Log interface {
	// Append keeps values under the numbers from first on; a value that is there is replaced. emptied
	// says that all values from before are lost, since they were damaged, and that nothing was kept.
	// After an error nothing was kept either, and it is worth trying again.
	Append(first uint64, values [][]byte) (emptied bool, err error)
	// Read calls each with the values from number from to number to, in order, until it returns
	// false. A value is good only during the call.
	Read(from, to uint64, each func(n uint64, value []byte) bool) error
	// Drop removes all values below a number.
	Drop(below uint64) error
	// Size is the room that the values take, in bytes.
	Size() int64
}

// Config says what a History keeps and where.
type Config struct {
	Log Log
	// MaxBytes bounds what the log may take, MaxAge how long anything is kept.
	MaxBytes int64
	MaxAge   time.Duration
	Logger   *slog.Logger
}

const (
	// beatEvery is how often it is written that nothing changes.
	beatEvery = 10 * time.Second
	// busyChapter and calmChapter are how long a chapter may last, if anything changed in it or not.
	busyChapter, calmChapter = 10 * time.Minute, time.Hour
	// minChapter is how many bytes of changes a chapter may always have; beyond, as many as its snapshot.
	minChapter = 1 << 20
	// maxPending bounds what waits for a log that cannot be written.
	maxPending = 8 << 20
)

// History keeps what happened. Record and Note are called by one goroutine each, everything else
// by any.
type History struct {
	cfg   Config
	coder *coder
	reads chan struct{} // bounds the states that are being put together

	// The following belong to Record.
	seen        *observer
	last        int64 // Unix ms of the last view
	chapterAt   int64
	chapterSize int // bytes of changes
	snapSize    int
	beatAt      int64
	beat        uint64 // number of the last block if that is a beat
	warned      bool

	mu sync.Mutex // guards the following
	// index lists the blocks in order.
	index []entry
	next  uint64 // number of the next block
	// pending are the blocks that the log could not take, the first of which has the number next less their count.
	pending     [][]byte
	pendingSize int
	until       int64
	findings    findings
	err         error
}

// entry is what is known of a block without reading it.
type entry struct {
	n     uint64
	at    int64
	kind  kind
	flags uint8
}

// Open reads what the log has. The logger is told of damaged blocks. Close it
// before the log.
func Open(cfg Config) (*History, error) {
	h := &History{cfg: cfg, coder: newCoder(), reads: make(chan struct{}, 2), next: 1}
	h.findings.init()
	bad := 0
	err := cfg.Log.Read(0, math.MaxUint64, func(n uint64, value []byte) bool {
		h.next = n + 1
		b, err := head(value)
		if err == nil && b.kind == findingsBlock {
			if b, err = h.coder.unpack(value); err == nil {
				err = h.findings.restore(&b)
			}
		}
		if err != nil { // it stays in its place, so that what comes after it in its chapter is not believed
			bad++
			b = block{at: h.until}
		}
		h.index = append(h.index, entry{n, b.at, b.kind, b.flags})
		h.until = b.at
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if bad > 0 {
		cfg.Logger.Error("parts of the history are damaged: their chapters cannot be read", "blocks", bad)
	}
	h.trim()
	h.findings.interrupt(time.UnixMilli(h.until).UTC())
	return h, nil
}

// Close writes until when somebody watched and frees what the history holds but its log. It may be
// called once, after the last Record.
func (h *History) Close() {
	if h.last > h.beatAt {
		h.write([]block{{kind: beatBlock, at: h.last}}, h.last)
	}
	h.coder.close()
}

// trim forgets the blocks before the first chapter: nobody can read them.
func (h *History) trim() {
	for i := range h.index {
		if h.index[i].flags&flagChapter != 0 {
			h.index = h.index[i:]
			return
		}
	}
	h.index = nil
}

// Err says what keeps the history from being kept, nil when it works.
func (h *History) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Note takes in a finding that opened or closed at a moment. It does no I/O.
func (h *History) Note(f diagnose.Finding, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.findings.note(f, at)
}

// Record takes in the matrix as it stands now and the findings that are open. It returns after what
// changed is in the log; when the log cannot take it, it is kept in memory, tried again with the
// next call, and Err says so.
func (h *History) Record(v *mesh.View, open []diagnose.Finding, now time.Time) {
	at := now.UnixMilli()
	var blocks []block
	if h.seen == nil || at < h.last {
		if h.seen != nil {
			h.cfg.Logger.Warn("the clock was set back: history begins a new session", "by", time.Duration(h.last-at)*time.Millisecond)
			h.setBack(now)
		}
		h.seen = newObserver(maxBad)
		h.seen.observe(v, at)
		blocks = h.chapter(at, flagSession)
	} else {
		agents, sources := h.seen.observe(v, at)
		for _, body := range appendChanges(agents, sources) {
			blocks = append(blocks, block{kind: changesBlock, at: at, body: body})
			h.chapterSize += len(body)
		}
		if h.chapterDue(at) {
			h.seen.renumber()
			blocks = append(blocks, h.chapter(at, 0)...)
		}
		if at-h.last > unwatched.Milliseconds() {
			blocks = h.gap(blocks, at)
		}
	}
	if h.seen.leftOut {
		for i := range blocks {
			blocks[i].flags |= flagLeftOut
		}
		if !h.warned {
			h.cfg.Logger.Warn("more paths are not ok than the history keeps", "kept", maxBad)
		}
	}
	h.warned, h.last = h.seen.leftOut, at
	h.write(append(blocks, h.findingBlocks(open, at, len(blocks) > 0 && blocks[len(blocks)-1].kind == snapshotBlock)...), at)
}

func (h *History) chapterDue(at int64) bool {
	age := time.Duration(at-h.chapterAt) * time.Millisecond
	return age >= calmChapter || h.chapterSize > 0 && age >= busyChapter ||
		h.chapterSize > max(minChapter, 2*h.snapSize) || int64(h.chapterSize) > h.cfg.MaxBytes/16
}

// chapter makes the blocks that begin a chapter.
func (h *History) chapter(at int64, flags uint8) (out []block) {
	h.chapterAt, h.chapterSize, h.snapSize = at, 0, 0
	for i, body := range appendSnapshot(h.seen.state, at) {
		b := block{kind: snapshotBlock, at: at, body: body}
		if i == 0 {
			b.flags = flagChapter | flags
		}
		h.snapSize += len(body)
		out = append(out, b)
	}
	return out
}

// findingBlocks makes a block of what is new of findings, or at the beginning of a chapter of all
// that are open.
func (h *History) findingBlocks(open []diagnose.Finding, at int64, all bool) []block {
	h.mu.Lock()
	defer h.mu.Unlock()
	if body := h.findings.take(open, all); body != nil {
		return []block{{kind: findingsBlock, at: at, body: body}}
	}
	return nil
}

// write hands the blocks to the log, with those it could not take before, and drops what is too old.
func (h *History) write(blocks []block, at int64) {
	h.mu.Lock()
	first := h.next
	h.mu.Unlock()
	if len(blocks) == 0 && at-h.beatAt >= beatEvery.Milliseconds() {
		blocks = []block{{kind: beatBlock, at: at}}
		if h.beat == first-1 && h.beat != 0 {
			first-- // in place of the last beat
		}
		h.beat = first
	}
	if len(blocks) > 0 {
		h.beatAt = at
	}
	values := make([][]byte, len(blocks))
	for i := range blocks {
		values[i] = h.coder.pack(&blocks[i])
	}
	h.mu.Lock()
	h.take(first, blocks, values)
	h.until = at
	retry, waiting := h.next-uint64(len(h.pending)), h.pending
	h.mu.Unlock()
	if len(waiting) > 0 {
		h.flush(retry, waiting)
	}
	if len(blocks) > 0 {
		h.drop(at)
	}
}

// take notes blocks as pending.
func (h *History) take(first uint64, blocks []block, values [][]byte) {
	if first < h.next { // a beat in place of one
		h.index = h.index[:len(h.index)-1]
		if len(h.pending) > 0 {
			h.pending = h.pending[:len(h.pending)-1]
		}
		h.next = first
	}
	for i := range blocks {
		h.index = append(h.index, entry{h.next, blocks[i].at, blocks[i].kind, blocks[i].flags})
		h.pending = append(h.pending, values[i])
		h.pendingSize += len(values[i])
		h.next++
	}
}

// flush writes what is pending. The lock is not held while the log works.
func (h *History) flush(first uint64, values [][]byte) {
	emptied, err := h.cfg.Log.Append(first, values)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.say(err)
	switch {
	case emptied:
		h.restart()
	case err == nil:
		h.pending, h.pendingSize = nil, 0
	case h.pendingSize > maxPending:
		h.cfg.Logger.Error("history is lost: it cannot be written and there is too much of it to wait", "bytes", h.pendingSize)
		h.index = h.index[:max(0, len(h.index)-len(h.pending))]
		h.next -= uint64(len(h.pending))
		h.pending, h.pendingSize = nil, 0
		h.seen, h.beat = nil, 0
	}
}

// restart forgets all that the log has lost and begins a new session with the next view.
func (h *History) restart() {
	h.index, h.pending, h.pendingSize = nil, nil, 0
	h.seen, h.beat = nil, 0
}

// say sets what Err says and logs when that begins or ends.
func (h *History) say(err error) {
	switch {
	case err != nil && h.err == nil:
		h.cfg.Logger.Error("history is kept in memory only", "error", err)
	case err == nil && h.err != nil:
		h.cfg.Logger.Info("history is written again")
	}
	h.err = err
}

// drop removes the oldest chapters while there is too much or they are too old. The present one stays.
func (h *History) drop(at int64) {
	for {
		h.mu.Lock()
		second := -1
		for i := 1; i < len(h.index) && second < 0; i++ {
			if h.index[i].flags&flagChapter != 0 {
				second = i
			}
		}
		full := h.cfg.Log.Size() > h.cfg.MaxBytes
		if second < 0 || !full && h.index[second].at >= at-h.cfg.MaxAge.Milliseconds() {
			h.mu.Unlock()
			return
		}
		below := h.index[second].n
		h.index = append([]entry(nil), h.index[second:]...)
		h.findings.forget(time.UnixMilli(h.index[0].at))
		h.mu.Unlock()
		if err := h.cfg.Log.Drop(below); err != nil {
			h.mu.Lock()
			h.say(err)
			h.mu.Unlock()
			return
		}
	}
}
