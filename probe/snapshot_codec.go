package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxSnapshotBytes is the most that an encoded snapshot has.
const MaxSnapshotBytes = 64 << 10

// snapshotVersion is the first byte. What a reader of this version may miss goes into a section of
// its own, which it skips; only what it would misread needs another version.
const snapshotVersion = 1

// The sections of an encoded snapshot: a byte of these, the length, and that many bytes. Append
// only, also within a list's records: new fields go into a new section.
const (
	sectionStrings = iota + 1
	sectionHead
	sectionLinks
	sectionRoutes
	sectionRules
	sectionLookups
	sectionNeighbors
	sectionFDB
	sectionListeners
	sectionCounters
	sectionSysctls
	sectionMissing
	sectionChains
	sectionDrops
)

// AppendSnapshot appends the snapshot in its wire form: some 2 KB for 5 nodes and 10 KB for 100
// before compression. What exceeds MaxSnapshotBytes is shortened, the longest list first, and
// counted in LeftOut. The snapshot itself stays as it is.
func AppendSnapshot(dst []byte, s *Snapshot) []byte {
	short := *s
	for {
		w := wire{writing: true, index: map[string]uint64{}}
		w.snapshot(&short)
		if size := w.size(); size <= MaxSnapshotBytes || !short.shorten() {
			return w.appendTo(dst)
		}
	}
}

// shorten drops half of the longest list; false when nothing is left to drop.
func (s *Snapshot) shorten() bool {
	lengths := []int{len(s.Routes), len(s.Lookups), len(s.Neighbors), len(s.FDB), len(s.Links), len(s.Rules), 0}
	if s.Firewall != nil {
		lengths[6] = len(s.Firewall.Drops) + len(s.Firewall.Chains)
	}
	longest := slices.Index(lengths, slices.Max(lengths))
	if lengths[longest] == 0 {
		return false
	}
	switch longest {
	case 0:
		s.Routes = half(s.Routes, &s.LeftOut.Routes)
	case 1:
		s.Lookups = half(s.Lookups, &s.LeftOut.Lookups)
	case 2:
		s.Neighbors = half(s.Neighbors, &s.LeftOut.Neighbors)
	case 3:
		s.FDB = half(s.FDB, &s.LeftOut.FDB)
	case 4:
		s.Links = half(s.Links, &s.LeftOut.Links)
	case 5:
		s.Rules = half(s.Rules, &s.LeftOut.Rules)
	case 6:
		f := *s.Firewall
		f.Drops, f.Chains = half(f.Drops, &s.LeftOut.FirewallRules), half(f.Chains, new(int))
		s.Firewall = &f
	}
	return true
}

func half[T any](list []T, leftOut *int) []T {
	keep := len(list) / 2
	*leftOut += len(list) - keep
	return list[:keep]
}

// ErrSnapshot is what every error of ParseSnapshot is.
var ErrSnapshot = errors.New("bad snapshot")

// ParseSnapshot decodes what AppendSnapshot wrote. It never reads more than MaxSnapshotBytes and
// trusts nothing in them.
func ParseSnapshot(b []byte) (*Snapshot, error) {
	switch {
	case len(b) > MaxSnapshotBytes:
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrSnapshot, len(b), MaxSnapshotBytes)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: empty", ErrSnapshot)
	case b[0] != snapshotVersion:
		return nil, fmt.Errorf("%w: version %d, want %d", ErrSnapshot, b[0], snapshotVersion)
	}
	var s Snapshot
	w := wire{}
	last := byte(0)
	for b = b[1:]; len(b) > 0; {
		tag := b[0]
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) || tag <= last {
			return nil, fmt.Errorf("%w: section %d has a bad length or place", ErrSnapshot, tag)
		}
		w.b = b[1+n : 1+n+int(size)]
		b, last = b[1+n+int(size):], tag
		w.section(tag, &s)
		if w.bad || len(w.b) > 0 && tag <= sectionDrops {
			return nil, fmt.Errorf("%w: section %d does not hold what it should", ErrSnapshot, tag)
		}
	}
	return &s, nil
}

// snapshot writes every section that holds something.
func (w *wire) snapshot(s *Snapshot) {
	for tag := byte(sectionHead); tag <= sectionDrops; tag++ {
		w.b = nil
		if w.section(tag, s); len(w.b) > 0 {
			w.sections = append(w.sections, wireSection{tag, w.b})
		}
	}
	w.b = nil
	w.section(sectionStrings, s)
	w.sections = slices.Insert(w.sections, 0, wireSection{sectionStrings, w.b})
}

// section writes or reads one section. Unknown ones are skipped.
func (w *wire) section(tag byte, s *Snapshot) {
	switch tag {
	case sectionStrings:
		w.stringTable()
	case sectionHead:
		w.head(s)
	case sectionLinks:
		list(w, &s.Links, (*wire).link)
	case sectionRoutes:
		list(w, &s.Routes, (*wire).route)
	case sectionRules:
		list(w, &s.Rules, (*wire).rule)
	case sectionLookups:
		list(w, &s.Lookups, (*wire).lookup)
	case sectionNeighbors:
		list(w, &s.Neighbors, (*wire).neighbor)
	case sectionFDB:
		list(w, &s.FDB, (*wire).fdb)
	case sectionListeners:
		list(w, &s.Listeners, (*wire).listener)
	case sectionCounters:
		w.counters(&s.Counters)
	case sectionSysctls:
		w.sysctls(&s.Sysctls)
	case sectionMissing:
		list(w, &s.Missing, func(w *wire, m *Missing) { w.text(&m.Part); w.text(&m.Why) })
	case sectionChains, sectionDrops:
		w.firewall(tag, s)
	}
}

func (w *wire) firewall(tag byte, s *Snapshot) {
	if w.writing && s.Firewall == nil {
		return
	}
	if s.Firewall == nil {
		s.Firewall = &Firewall{}
	}
	if tag == sectionDrops {
		list(w, &s.Firewall.Drops, (*wire).drop)
		return
	}
	list(w, &s.Firewall.Chains, (*wire).chain)
	if w.writing && len(w.b) == 0 {
		w.b = append(w.b, 0) // an empty list says that there is a firewall to read, and nothing in it
	}
}

func (w *wire) head(s *Snapshot) {
	var at int64
	if !s.At.IsZero() {
		at = s.At.UnixNano()
	}
	if w.signed(&at); !w.writing && at != 0 {
		s.At = time.Unix(0, at).UTC()
	}
	w.signed((*int64)(&s.Interval))
	w.signed((*int64)(&s.Took))
	l, t := &s.LeftOut, &s.NeighborTable
	for _, n := range []*int{&l.Links, &l.Addrs, &l.Routes, &l.Rules, &l.Lookups, &l.Neighbors, &l.FDB, &l.FirewallRules,
		&t.IPv4, &t.IPv6, &t.Bad} {
		w.count(n)
	}
}
