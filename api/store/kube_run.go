package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// follow reads all objects and then hears of every change, until ctx ends.
func (k *Kube) follow(ctx context.Context) {
	listWatch := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list := &AgentList{}
			err := k.client.Get().Namespace(k.namespace).Resource(plural).SpecificallyVersionedParams(&options, metav1.ParameterCodec, metav1.Unversioned).Do(ctx).Into(list)
			k.reached(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.Watch = true
			w, err := k.client.Get().Namespace(k.namespace).Resource(plural).SpecificallyVersionedParams(&options, metav1.ParameterCodec, metav1.Unversioned).Watch(ctx)
			k.reached(err)
			return w, err
		},
	}
	// The reflector's own pauses grow to half a minute, in which the store would still be said to fail.
	backoff := wait.Backoff{Duration: retryEvery, Cap: 5 * time.Second, Factor: 1.5, Steps: 5, Jitter: 0.5}
	cache.NewReflectorWithOptions(listWatch, &Agent{}, mirror{k}, cache.ReflectorOptions{Name: "agents", Backoff: &backoff}).RunWithContext(ctx)
}

// reached says whether the API server let us read.
func (k *Kube) reached(err error) {
	switch {
	case err == nil:
		k.placesMu.Lock()
		listed := k.listed
		k.placesMu.Unlock()
		if listed {
			k.setBehind(nil)
			k.queue.again()
		}
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), errors.Is(err, context.Canceled): // a list follows, or the end
	case apierrors.IsNotFound(err):
		k.setBehind(fmt.Errorf("kubernetes: %s.%s is not defined in the cluster: apply deploy/base/crd.yaml or allow the server to create it", plural, group))
	default:
		k.setBehind(fmt.Errorf("kubernetes: %w", err))
	}
}

// mirror is where the reflector puts what it hears.
type mirror struct{ k *Kube }

// Add implements cache.ReflectorStore.
func (m mirror) Add(obj any) error { return m.Update(obj) }

// Update implements cache.ReflectorStore.
func (m mirror) Update(obj any) error {
	if a, ok := obj.(*Agent); ok {
		m.k.take(a)
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (m mirror) Delete(obj any) error {
	if a, ok := obj.(*Agent); ok {
		m.k.forget(a.Name)
		m.k.vanished(a.Name)
	}
	return nil
}

// Replace implements cache.ReflectorStore: all objects were read.
func (m mirror) Replace(objects []any, _ string) error {
	k, stored := m.k, map[string]bool{}
	k.placesMu.Lock()
	k.versions = map[string]string{}
	k.placesMu.Unlock()
	for _, obj := range objects {
		if a, ok := obj.(*Agent); ok {
			stored[a.Name] = true
			k.take(a)
		}
	}
	k.reread(stored)
	k.placesMu.Lock()
	k.listed = true
	k.placesMu.Unlock()
	k.setBehind(nil)
	k.queue.again()
	return nil
}

// Resync implements cache.ReflectorStore.
func (m mirror) Resync() error { return nil }

// take takes in an object as it stands in the API server.
func (k *Kube) take(a *Agent) {
	k.placesMu.Lock()
	ours := k.versions[a.Name] == a.ResourceVersion
	k.versions[a.Name] = a.ResourceVersion
	k.placesMu.Unlock()
	if ours {
		return
	}
	rec, err := a.record()
	if err != nil {
		k.log.Warn("object is no report", "agent", a.Name, "error", err)
		return
	}
	k.learn(rec)
}

func (k *Kube) version(name string) string {
	k.placesMu.Lock()
	defer k.placesMu.Unlock()
	return k.versions[name]
}

func (k *Kube) forget(name string) {
	k.placesMu.Lock()
	defer k.placesMu.Unlock()
	delete(k.versions, name)
}

// write writes what waits, oldest first, until ctx ends, and then for a few seconds more.
func (k *Kube) write(ctx context.Context) {
	lost := time.NewTicker(pingEvery)
	defer lost.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
			defer cancel()
			if k.Behind() == nil {
				k.flush(last) // Close says what is left
			}
			return
		case <-lost.C:
			if k.Behind() == nil {
				k.writeLost()
			}
		case <-k.queue.wake:
			if k.Behind() != nil {
				continue // whoever reaches it again wakes us
			}
			k.flush(ctx)
			if k.queue.err() != nil {
				select {
				case <-ctx.Done():
				case <-time.After(retryEvery):
				}
			}
		}
	}
}

// flush writes what waits now, no faster than the API server has to bear.
func (k *Kube) flush(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(writers)
	for range k.queue.waiting() {
		if k.limit.Wait(ctx) != nil || k.Behind() != nil {
			break
		}
		for _, c := range k.queue.take(1) {
			g.Go(func() error {
				k.settle(c, k.change(context.WithoutCancel(ctx), c))
				return nil
			})
		}
	}
	_ = g.Wait() // nothing returns an error
}

// errChanged says that the object is not what we took it for.
var errChanged = errors.New("object changed meanwhile")

// settle tells the queue how a change went.
func (k *Kube) settle(c change, err error) {
	switch {
	case err == nil:
		k.queue.done(c)
	case errors.Is(err, errChanged):
		k.queue.retry(c)
	default:
		k.queue.failed(c, fmt.Errorf("kubernetes: report of %q: %w", c.name, err))
	}
}

// change makes one change.
func (k *Kube) change(ctx context.Context, c change) error {
	if problems := validation.IsDNS1123Subdomain(c.name); problems != nil {
		k.log.Debug("report not kept in Kubernetes: no pod has such a name", "agent", c.name)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	version := k.version(c.name)
	if c.rec == nil {
		return k.remove(ctx, c.name, version)
	}
	a, err := object(c.rec, k.namespace, version)
	if err != nil { // one record that cannot be written must not keep the others from it
		k.log.Error("report not kept in Kubernetes", "agent", c.name, "error", err)
		return nil
	}
	request := k.client.Post()
	if version != "" {
		request = k.client.Put().Name(c.name)
	}
	written := &Agent{}
	err = request.Namespace(k.namespace).Resource(plural).Body(a).Do(ctx).Into(written)
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || version != "" && apierrors.IsNotFound(err) {
		return k.refresh(ctx, c.name)
	}
	if err != nil {
		return err
	}
	k.placesMu.Lock()
	k.versions[c.name] = written.ResourceVersion
	k.placesMu.Unlock()
	return nil
}

// remove deletes the object if it is still the one we know: a newer one must stay.
func (k *Kube) remove(ctx context.Context, name, version string) error {
	if version == "" {
		return nil
	}
	err := k.client.Delete().Namespace(k.namespace).Resource(plural).Name(name).
		Body(&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}}).Do(ctx).Error()
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// refresh reads what is there instead of what we took it for. The change is tried again, unless what
// is there makes it needless.
func (k *Kube) refresh(ctx context.Context, name string) error {
	a := &Agent{}
	err := k.client.Get().Namespace(k.namespace).Resource(plural).Name(name).Do(ctx).Into(a)
	switch {
	case apierrors.IsNotFound(err):
		k.forget(name)
	case err != nil:
		return err
	default:
		k.take(a)
	}
	return errChanged
}
