package history

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/probe"
)

// BenchmarkRecord500 is a cluster of 500 nodes, a million paths, of which at any time 1 % are lossy and
// change their state within a minute, while now and then a node dies and comes back. It prints what a
// change costs in time and in the file.
func BenchmarkRecord500(b *testing.B) {
	log, err := store.OpenLog(filepath.Join(b.TempDir(), "history.db"), logger(&text{}))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	h, _ := open(b, log)
	w, r := newWorld(b, 500), rand.New(rand.NewPCG(1, 1))
	w.pass(time.Second)
	h.Record(w.view(), nil, w.now)
	began, changes, spent := log.Size(), 0, time.Duration(0)
	for i := 0; b.Loop(); i++ {
		for range 170 {
			pair := [2]mesh.Key{w.any(r), w.any(r)}
			w.bad[pair] = lossy(probe.Loss(10 + r.IntN(60)))
		}
		gone := 0
		for pair := range w.bad {
			if gone++; gone > 170 {
				break
			}
			delete(w.bad, pair)
		}
		if i%20 == 10 || i%20 == 15 {
			victim := w.agents[(i/20*2)%len(w.agents)].Node
			for _, a := range w.agents {
				for n := range mesh.Network(mesh.Networks) {
					if pair := [2]mesh.Key{a.Key, {Node: victim, Network: n}}; i%20 == 10 {
						w.bad[pair] = dead()
					} else {
						delete(w.bad, pair)
					}
				}
			}
		}
		w.pass(time.Second)
		v := w.view()
		start := time.Now()
		h.Record(v, nil, w.now)
		spent += time.Since(start)
		changes += countChanges(h, w.now)
	}
	b.ReportMetric(float64(log.Size()-began)/float64(changes), "bytes/change")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(changes), "ns/change")
	b.ReportMetric(float64(changes)/float64(b.N), "changes/op")
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "ms/record")
	start := time.Now()
	if _, err := h.View(b.Context(), w.now); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/view")
}

// countChanges counts what a moment's blocks hold.
func countChanges(h *History, at time.Time) (n int) {
	i := len(h.index)
	for i > 0 && h.index[i-1].at == at.UnixMilli() {
		i--
	}
	if i == len(h.index) {
		return 0
	}
	h.read(h.index[i:], func(b *block) error {
		if c, err := readContent(b, maxAgents); err == nil && b.kind == changesBlock {
			for _, s := range c.sources {
				n += len(s.changes)
			}
		}
		return nil
	})
	return n
}
