package history

import "time"

// unwatched is how long after a view nobody may say any more that all was as it shows. Views come every
// few seconds, but not while a disk hangs or the process is stopped.
const unwatched = 2 * time.Minute

// gap marks the blocks of a view as the first after a time in which nobody watched. What changed
// meanwhile is in them all the same.
func (h *History) gap(blocks []block, at int64) []block {
	if len(blocks) == 0 {
		blocks = []block{{kind: beatBlock, at: at}}
	}
	blocks[0].flags |= flagSession
	if h.last > h.beatAt { // the end of what was watched
		blocks = append([]block{{kind: beatBlock, at: h.last}}, blocks...)
	}
	h.beat = 0 // the beat before stays
	return blocks
}

// setBack has what is open begin no later than now, when the clock was set back: by the clock's present
// time it is there.
func (h *History) setBack(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, k := range h.findings.byID {
		if k.Finding.ClosedAt == nil && k.OpenedAt.After(now) {
			k.OpenedAt = now.UTC()
			h.findings.news[id] = true
		}
	}
}
