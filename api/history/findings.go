package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"netchecker/mesh/diagnose"
)

// maxFindings bounds the findings remembered: when there are more, those that closed first are forgotten.
const maxFindings = 10_000

// kept is a finding as it was last seen.
type kept struct {
	// OpenedAt is when it was found, which is later than when the trouble began.
	OpenedAt time.Time        `json:"opened_at"`
	Finding  diagnose.Finding `json:"finding"`
}

// findings remembers findings by id. Its owner guards it.
type findings struct {
	byID map[string]*kept
	news map[string]bool
}

func (f *findings) init() { f.byID, f.news = map[string]*kept{}, map[string]bool{} }

// note takes in a finding as it opens or closes.
func (f *findings) note(finding diagnose.Finding, at time.Time) {
	k := f.byID[finding.ID]
	if k == nil {
		k = &kept{OpenedAt: at.UTC()}
		f.byID[finding.ID] = k
	}
	k.Finding = finding
	f.news[finding.ID] = true
	f.bound()
}

// take returns the content of a block with what is new, nil for nothing; all adds every finding that is open.
func (f *findings) take(open []diagnose.Finding, all bool) []byte {
	for i := range open { // what has come to say something else; what opened was noted
		if k := f.byID[open[i].ID]; k != nil && k.Finding.ClosedAt == nil {
			if k.Finding.Summary != open[i].Summary {
				f.news[open[i].ID] = true
			}
			k.Finding = open[i]
		}
	}
	var out []*kept
	for id, k := range f.byID {
		if f.news[id] || all && k.Finding.ClosedAt == nil {
			out = append(out, k)
		}
	}
	clear(f.news)
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, func(a, b *kept) int { return cmp.Compare(a.Finding.ID, b.Finding.ID) })
	body, err := json.Marshal(out)
	if err != nil {
		panic(err) // text, numbers and times always encode
	}
	return body
}

// restore takes in a block that take made.
func (f *findings) restore(b *block) error {
	var list []*kept
	if err := json.Unmarshal(b.body, &list); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	for _, k := range list {
		if k != nil && k.Finding.ID != "" {
			f.byID[k.Finding.ID] = k
		}
	}
	f.bound()
	return nil
}

// interrupt closes what was open when nobody watched any more: if it still lasts, it is found anew.
func (f *findings) interrupt(at time.Time) {
	for id, k := range f.byID {
		if k.Finding.ClosedAt == nil {
			k.Finding.ClosedAt = &at
			f.news[id] = true
		}
	}
}

// forget drops what closed before a moment.
func (f *findings) forget(before time.Time) {
	for id, k := range f.byID {
		if k.Finding.ClosedAt != nil && k.Finding.ClosedAt.Before(before) {
			delete(f.byID, id)
			delete(f.news, id)
		}
	}
}

func (f *findings) bound() {
	for len(f.byID) > maxFindings {
		var first *kept
		for _, k := range f.byID {
			if first == nil || k.ends().Before(first.ends()) {
				first = k
			}
		}
		delete(f.byID, first.Finding.ID)
		delete(f.news, first.Finding.ID)
	}
}

// ends is when a finding closed; one that is open ends last.
func (k *kept) ends() time.Time {
	if k.Finding.ClosedAt == nil {
		return k.OpenedAt.Add(100 * 365 * 24 * time.Hour)
	}
	return *k.Finding.ClosedAt
}

// between returns the findings that were open at some time from since to until, the latest first.
func (f *findings) between(since, until time.Time) []diagnose.Finding {
	var list []*kept
	for _, k := range f.byID {
		if !k.OpenedAt.After(until) && !k.ends().Before(since) {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *kept) int {
		return cmp.Or(b.OpenedAt.Compare(a.OpenedAt), cmp.Compare(a.Finding.ID, b.Finding.ID))
	})
	out := make([]diagnose.Finding, len(list))
	for i, k := range list {
		out[i] = k.Finding
	}
	return out
}
