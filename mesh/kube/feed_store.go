package kube

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// Add implements cache.ReflectorStore, as do the methods below.
func (f *feed[T]) Add(obj any) error {
	key, item := f.read(obj)
	f.mu.Lock()
	f.items[key] = item
	f.version++
	f.mu.Unlock()
	poke(f.changed)
	return nil
}

// Update is Add.
func (f *feed[T]) Update(obj any) error { return f.Add(obj) }

// Delete removes what the object was.
func (f *feed[T]) Delete(obj any) error {
	key, _ := f.read(obj)
	f.mu.Lock()
	delete(f.items, key)
	f.version++
	f.mu.Unlock()
	poke(f.changed)
	return nil
}

// Replace takes a whole list.
func (f *feed[T]) Replace(list []any, _ string) error {
	items := make(map[string]T, len(list))
	for _, obj := range list {
		key, item := f.read(obj)
		items[key] = item
	}
	f.mu.Lock()
	f.items, f.listed = items, true
	f.version++
	f.mu.Unlock()
	f.current()
	poke(f.changed)
	return nil
}

// Resync has nothing to do.
func (f *feed[T]) Resync() error { return nil }

// Transformer cuts down the objects of a streamed list while it comes in.
func (f *feed[T]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if o, ok := obj.(runtime.Object); ok {
			return f.trim(o), nil
		}
		return obj, nil
	}
}
