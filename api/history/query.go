package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
)

// Kept implements api.History.
func (h *History) Kept() (since, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept()
}

func (h *History) kept() (since, until time.Time) {
	if len(h.index) == 0 {
		return time.Time{}, time.Time{}
	}
	first := h.index[0].at
	for i := range h.index { // what a clock wrote before it was set back may be still to come
		first = min(first, h.index[i].at)
	}
	return time.UnixMilli(first).UTC(), time.UnixMilli(h.until).UTC()
}

// View implements api.History.
func (h *History) View(ctx context.Context, at time.Time) (*mesh.View, error) {
	list, err := h.chapterOf(at)
	if err != nil {
		return nil, err
	}
	select {
	case h.reads <- struct{}{}:
		defer func() { <-h.reads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s := newState()
	err = h.read(list, func(b *block) error {
		c, err := readContent(b, len(s.agents))
		if err == nil {
			s.apply(b, &c)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return s.view(at), nil
}

// Findings implements api.History.
func (h *History) Findings(at time.Time) ([]diagnose.Finding, error) {
	if _, err := h.chapterOf(at); err != nil {
		return nil, err
	}
	h.mu.Lock()
	list := h.findings.between(at, at)
	h.mu.Unlock()
	list = slices.DeleteFunc(list, func(f diagnose.Finding) bool { return f.ClosedAt != nil && !f.ClosedAt.After(at) })
	for i := range list {
		list[i].ClosedAt = nil // that was still to come
	}
	slices.SortFunc(list, func(a, b diagnose.Finding) int { return a.Compare(&b) })
	return list, nil
}

// FindingsSince implements api.History.
func (h *History) FindingsSince(since, until time.Time) []diagnose.Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.findings.between(since, until)
}

// chapterOf lists the blocks that tell how things stood at a moment.
func (h *History) chapterOf(at time.Time) ([]entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, until := h.kept()
	ms := at.UnixMilli()
	first := -1
	for i := len(h.index) - 1; i >= 0 && first < 0; i-- {
		if e := &h.index[i]; e.flags&flagChapter != 0 && e.at <= ms {
			first = i
		}
	}
	if first < 0 {
		return nil, api.NotKept{At: at, Since: since, Until: until}
	}
	end := first + 1
	for end < len(h.index) && h.index[end].at <= ms && h.index[end].flags&flagChapter == 0 {
		end++
	}
	last := h.index[end-1].at
	if end == len(h.index) && ms-h.until > unwatched.Milliseconds() {
		return nil, api.NotKept{At: at, Since: since, Until: until}
	}
	if end < len(h.index) && h.index[end].flags&flagSession != 0 && ms > last {
		return nil, api.NotKept{At: at, Since: since, Until: until,
			GapFrom: time.UnixMilli(last).UTC(), GapTo: time.UnixMilli(h.index[end].at).UTC()}
	}
	return slices.Clone(h.index[first:end]), nil
}

// read unpacks the blocks of snapshots and changes of a list.
func (h *History) read(list []entry, each func(b *block) error) error {
	return h.readNumbered(list, func(_ uint64, b *block) error {
		if b.kind != snapshotBlock && b.kind != changesBlock {
			return nil
		}
		return each(b)
	})
}

// readNumbered unpacks the blocks of a list whose numbers follow each other, also those that wait
// for the log. A damaged one is an error: what comes after it would be told wrong.
func (h *History) readNumbered(list []entry, each func(n uint64, b *block) error) error {
	from, to := list[0].n, list[len(list)-1].n
	var failed error
	take := func(n uint64, value []byte) bool {
		b, err := h.coder.unpack(value)
		if err == nil {
			err = each(n, &b)
		}
		failed = err
		return err == nil
	}
	h.mu.Lock()
	waiting := h.next - uint64(len(h.pending))
	pending := slices.Clone(h.pending)
	h.mu.Unlock()
	if from < waiting {
		if err := h.cfg.Log.Read(from, min(to, waiting-1), take); err != nil || failed != nil {
			return cmp.Or(failed, err)
		}
	}
	for n := max(from, waiting); n <= to && n-waiting < uint64(len(pending)); n++ {
		if !take(n, pending[n-waiting]) {
			return failed
		}
	}
	return nil
}
