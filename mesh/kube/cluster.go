package kube

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// Cluster follows the nodes, agent pods and Services of one cluster. Any goroutine may call its
// methods at any time; none asks the API server.
type Cluster struct {
	client    kubernetes.Interface
	namespace string
	changed   chan struct{}

	pods     *feed[Pod]
	nodes    *feed[Node]
	services []*feed[ways]
	slices   []*feed[ways]

	listMu  sync.Mutex // guards the two below, which Pods derives from the feed
	list    []Pod
	version uint64
}

// Follow returns a Cluster that knows nothing yet: Run makes it follow.
func (a *Access) Follow(log *slog.Logger) *Cluster {
	c := &Cluster{client: a.client, namespace: a.namespace, changed: make(chan struct{}, 1)}
	c.pods = newFeed(c.podSource(), readPod, c.changed, log)
	c.nodes = newFeed(c.nodeSource(), readNode, c.changed, log)
	own := func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + ownService }
	ownSlices := func(o *metav1.ListOptions) { o.LabelSelector = "kubernetes.io/service-name=" + ownService }
	dns := func(o *metav1.ListOptions) { o.LabelSelector = dnsLabels }
	c.services = []*feed[ways]{
		newFeed(c.serviceSource(dnsNamespace, dns), readService, c.changed, log),
		newFeed(c.serviceSource(a.namespace, own), readService, c.changed, log)}
	c.slices = []*feed[ways]{
		newFeed(c.sliceSource(dnsNamespace, dns), readSlice, c.changed, log),
		newFeed(c.sliceSource(a.namespace, ownSlices), readSlice, c.changed, log)}
	return c
}

// Run follows the cluster until ctx ends.
func (c *Cluster) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { c.pods.run(ctx, c.client) })
	work.Go(func() { c.nodes.run(ctx, c.client) })
	for _, f := range slices.Concat(c.services, c.slices) {
		work.Go(func() { f.run(ctx, c.client) })
	}
	work.Wait()
	return nil
}

// Changed receives a token when there may be something new. It has room for one.
func (c *Cluster) Changed() <-chan struct{} { return c.changed }

// Pods lists the agents' pods by name; callers share the list and must not change it. An error
// means that the API server never told: nobody knows.
func (c *Cluster) Pods() ([]Pod, error) {
	f := c.pods
	c.listMu.Lock()
	defer c.listMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.unlisted(); err != nil {
		return nil, err
	}
	if c.version != f.version || c.list == nil {
		list := make([]Pod, 0, len(f.items))
		for _, p := range f.items {
			list = append(list, p)
		}
		slices.SortFunc(list, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
		c.list, c.version = list, f.version
	}
	return c.list, nil
}

// PodsStale says since when and why the list of pods is not current; nil while it is, and while
// there is none.
func (c *Cluster) PodsStale(now time.Time) error { return c.pods.stale(now) }

// Nodes returns the nodes by name. Current says that a node which is not among them does not
// exist; it is false while the API server does not answer. An error means that it never told.
func (c *Cluster) Nodes() (nodes map[string]Node, current bool, err error) {
	nodes, err = c.nodes.copy()
	return nodes, c.nodes.isCurrent(), err
}

// Services lists the ways to DNS and to the server, as far as they are known. It is false until the API
// server has listed all that it may list for us: what is missing until then may be there.
func (c *Cluster) Services() ([]Target, bool) {
	all := true
	for _, f := range slices.Concat(c.services, c.slices) {
		all = all && f.settled()
	}
	return targets(merged(c.services), merged(c.slices), c.namespace), all
}

func merged(feeds []*feed[ways]) map[string]ways {
	out := map[string]ways{}
	for _, f := range feeds {
		known, _ := f.copy() // what is not known yet is no target yet
		maps.Copy(out, known)
	}
	return out
}

func (c *Cluster) podSource() source {
	api := c.client.CoreV1().Pods(c.namespace)
	return source{what: "pods", without: "which agents should exist cannot be known", sample: &corev1.Pod{}, trim: trimPod,
		list:   func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch:  func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return api.Watch(ctx, o) },
		choose: func(o *metav1.ListOptions) { o.LabelSelector = "app in (" + podAgents + ", " + hostAgents + ")" }}
}

func (c *Cluster) nodeSource() source {
	api := c.client.CoreV1().Nodes()
	return source{what: "nodes", without: "zones, cordons and deleted nodes cannot be known, and a deleted node's agents are expected until their retention ends",
		sample: &corev1.Node{}, trim: trimNode,
		list:   func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch:  func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return api.Watch(ctx, o) },
		choose: func(*metav1.ListOptions) {}}
}

func (c *Cluster) serviceSource(namespace string, choose func(*metav1.ListOptions)) source {
	api := c.client.CoreV1().Services(namespace)
	return source{what: "services of " + namespace, without: "their addresses are probed only as far as -services names them", sample: &corev1.Service{}, trim: trimService, choose: choose,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return api.Watch(ctx, o) }}
}

func (c *Cluster) sliceSource(namespace string, choose func(*metav1.ListOptions)) source {
	api := c.client.DiscoveryV1().EndpointSlices(namespace)
	return source{what: "endpointslices of " + namespace, without: "what is behind their Services is not probed", sample: &discoveryv1.EndpointSlice{}, trim: trimSlice, choose: choose,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return api.Watch(ctx, o) }}
}
