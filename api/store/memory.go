package store

import (
	"context"
	"slices"
	"strings"
	"sync"

	"netchecker/api"
)

// Memory keeps records in memory alone. Any goroutine may use it.
type Memory struct {
	mu     sync.RWMutex
	byName map[string]*api.Record
	// sorted is what All returns, nil after a change of the set of names. It is shared with readers
	// and therefore replaced, never changed.
	sorted []*api.Record
}

var _ api.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{byName: map[string]*api.Record{}} }

// Put implements api.Store. It never fails.
func (m *Memory) Put(_ context.Context, rec *api.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byName[rec.Name] = rec
	m.sorted = nil
	return nil
}

// Get implements api.Store. It never fails.
func (m *Memory) Get(_ context.Context, name string) (*api.Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byName[name], nil
}

// All implements api.Store. It never fails. Callers share the list and must not change it.
func (m *Memory) All(context.Context) ([]*api.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sorted == nil {
		m.sorted = make([]*api.Record, 0, len(m.byName))
		for _, rec := range m.byName {
			m.sorted = append(m.sorted, rec)
		}
		slices.SortFunc(m.sorted, func(a, b *api.Record) int { return strings.Compare(a.Name, b.Name) })
	}
	return m.sorted, nil
}

// Delete implements api.Store. It never fails.
func (m *Memory) Delete(_ context.Context, names ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		delete(m.byName, name)
	}
	m.sorted = nil
	return nil
}

// Err implements api.Store: memory always works.
func (m *Memory) Err() error { return nil }

// Behind implements api.Store: memory shows all there is.
func (m *Memory) Behind() error { return nil }

// Stats implements api.Store.
func (m *Memory) Stats() api.StoreStats { return api.StoreStats{Kind: "memory"} }
