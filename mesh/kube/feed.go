package kube

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// listTime bounds one page of a list; all pods of 10,000 agents in one are 100 MB.
	listTime = time.Minute
	// retryMost is about how long the API server may be back before we notice, and how often we list
	// what we may not watch: up to twice as long, so that not all servers ask at once.
	retryMost = 10 * time.Second
)

// source is where one kind of objects comes from.
type source struct {
	// what are the objects, without which something cannot be known: both for log lines.
	what, without string
	sample        runtime.Object
	list          func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch         func(context.Context, metav1.ListOptions) (watch.Interface, error)
	// choose narrows what the API server sends.
	choose func(*metav1.ListOptions)
	// trim cuts an object down to what read wants: of 10,000 pods at 10 KB we keep 0.1 KB each.
	trim func(runtime.Object) runtime.Object
}

// feed follows the objects of one source and keeps what read makes of each. It is the store of a
// client-go reflector, which lists and watches for it, rather than an informer: that would keep
// the objects beside what we make of them, and does not tell whether its copy is still current.
type feed[T any] struct {
	source
	read    func(obj any) (string, T)
	changed chan<- struct{}
	log     *slog.Logger

	mu      sync.Mutex
	items   map[string]T
	version uint64
	listed  bool
	// failed is why the copy is not current, since failedAt; nil while it is.
	failed   error
	failedAt time.Time
	// polled says that we may list but not watch.
	polled bool
}

func newFeed[T any](s source, read func(any) (string, T), changed chan<- struct{}, log *slog.Logger) *feed[T] {
	return &feed[T]{source: s, read: read, changed: changed, log: log, items: map[string]T{}}
}

// run follows the objects until ctx ends. The client is asked whether it can stream lists.
func (f *feed[T]) run(ctx context.Context, client any) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return f.page(ctx, o) // the reflector's own context outlives it
		},
		WatchFuncWithContext: f.open,
	}
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client), f.sample, f, cache.ReflectorOptions{
		Name: f.what, Backoff: &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 8, Cap: retryMost}})
	reflector.RunWithContext(ctx)
}

// page lists, and cuts down each page before the next one comes.
func (f *feed[T]) page(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	if o.Limit > 0 && o.ResourceVersion == "0" {
		o.ResourceVersion = "" // "0" would answer from a cache that may lag, and all in one page
	}
	f.choose(&o)
	list, err := f.list(ctx, o)
	if err != nil {
		f.fails(err)
		return nil, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	for i := range items {
		items[i] = f.trim(items[i])
	}
	return list, meta.SetList(list, items)
}

func (f *feed[T]) open(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	f.choose(&o)
	w, err := f.watch(ctx, o)
	switch {
	case err == nil:
		f.watched()
	case apierrors.IsForbidden(err):
		f.unwatched(err)
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err): // listed anew at once
	default:
		f.fails(err)
	}
	return w, err
}

// fails notes that the API server did not answer, or said no.
func (f *feed[T]) fails(err error) {
	f.mu.Lock()
	first, listed := f.failed == nil, f.listed
	if first {
		f.failedAt = time.Now()
	}
	f.failed = err
	f.mu.Unlock()
	if !first {
		return
	}
	if apierrors.IsForbidden(err) {
		f.log.Warn("list of "+f.what+" is forbidden: "+f.without, "error", err)
	} else {
		f.log.Warn("no answer of the API server: "+f.what+" are the last known", "ever_listed", listed, "error", err)
	}
	poke(f.changed)
}

func (f *feed[T]) watched() {
	f.mu.Lock()
	f.polled = false
	f.mu.Unlock()
	f.current()
}

// unwatched notes that we may not watch: the reflector lists again and again instead.
func (f *feed[T]) unwatched(err error) {
	f.mu.Lock()
	first := !f.polled
	f.polled = true
	f.mu.Unlock()
	if first {
		f.log.Warn("watch of "+f.what+" is forbidden: they are listed again and again, and changes seen late", "error", err)
	}
}

// current notes that what we have is what the API server has.
func (f *feed[T]) current() {
	f.mu.Lock()
	was := f.failed
	if !f.listed { // a watch that opens promises a first list, and has not given it
		f.mu.Unlock()
		return
	}
	f.failed = nil
	f.mu.Unlock()
	if was != nil {
		f.log.Info("answer of the API server again: " + f.what + " are current")
		poke(f.changed)
	}
}

// copy returns all there is and since when it is not current, zero while it is. An error means
// that it was never listed.
func (f *feed[T]) copy() (map[string]T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.unlisted(); err != nil {
		return nil, err
	}
	return maps.Clone(f.items), nil
}

// settled reports whether it was listed, or never will be: it is forbidden.
func (f *feed[T]) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listed || apierrors.IsForbidden(f.failed)
}

// unlisted is the error of who asks before the first list. The caller holds mu.
func (f *feed[T]) unlisted() error {
	switch {
	case f.listed:
		return nil
	case f.failed != nil:
		return fmt.Errorf("%s were not listed yet: %w", f.what, oneLine{f.failed})
	}
	return fmt.Errorf("%s were not listed yet", f.what)
}

// stale says why, and since when, the copy is not current; nil while it is or there is none.
func (f *feed[T]) stale(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil || !f.listed {
		return nil
	}
	return fmt.Errorf("%s are those of %s (%s ago): %w", f.what, f.failedAt.UTC().Format(time.RFC3339), now.Sub(f.failedAt).Round(time.Second), oneLine{f.failed})
}

// isCurrent reports whether the copy was listed and is current, so that what is not in it does not exist.
func (f *feed[T]) isCurrent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listed && f.failed == nil
}

// poke leaves a token in a channel of length 1 unless there is one.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
