package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"netchecker/mesh"
)

func testPod(name, app, node string) *corev1.Pod {
	started := metav1.NewTime(time.Now().Add(-time.Hour))
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "netchecker", Name: name, Labels: map[string]string{"app": app}},
		Spec:   corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started}}
}

func testNode(name, zone string, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
}

// followed runs a Cluster over a client until the test ends.
func followed(t *testing.T, client *fake.Clientset) *Cluster {
	t.Helper()
	c := (&Access{client: client, namespace: "netchecker"}).Follow(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// eventually waits for what is to come.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func names(c *Cluster) string {
	pods, err := c.Pods()
	if err != nil {
		return "unknown"
	}
	var out []string
	for _, p := range pods {
		out = append(out, p.Name+" "+p.Key.String())
	}
	return strings.Join(out, ", ")
}

func TestPodsAndNodesAreFollowed(t *testing.T) {
	client := fake.NewClientset(testPod("a1", podAgents, "node1"), testPod("h1", hostAgents, "node1"), testNode("node1", "z1", corev1.ConditionTrue))
	c := followed(t, client)
	eventually(t, "both pods", func() bool { return names(c) == "a1 node1/pod, h1 node1/host" })
	eventually(t, "the node", func() bool {
		nodes, current, err := c.Nodes()
		return err == nil && current && len(nodes) == 1 && nodes["node1"].Zone == "z1" && !nodes["node1"].NotReady && !nodes["node1"].Cordoned
	})
	ctx := context.Background()
	going := testPod("a1", podAgents, "node1")
	going.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	if _, err := client.CoreV1().Pods("netchecker").Update(ctx, going, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pod that goes owes nothing", func() bool {
		pods, _ := c.Pods()
		return len(pods) == 2 && pods[0].DueAt().IsZero() && !pods[1].DueAt().IsZero()
	})
	if err := client.CoreV1().Pods("netchecker").Delete(ctx, "a1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod has gone", func() bool { return names(c) == "h1 node1/host" })
	cordoned := testNode("node1", "z2", corev1.ConditionUnknown)
	cordoned.Spec.Unschedulable = true
	if _, err := client.CoreV1().Nodes().Update(ctx, cordoned, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "cordoned, not ready, in another zone", func() bool {
		nodes, _, _ := c.Nodes()
		return nodes["node1"].Cordoned && nodes["node1"].NotReady && nodes["node1"].Zone == "z2"
	})
}

func TestBeforeTheFirstListNobodyKnows(t *testing.T) {
	client := fake.NewClientset(testPod("a1", podAgents, "node1"))
	var down atomic.Bool
	down.Store(true)
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return down.Load(), nil, syscall.ECONNREFUSED
	})
	c := followed(t, client)
	eventually(t, "the error says why", func() bool {
		_, err := c.Pods()
		return err != nil && strings.Contains(err.Error(), "connection refused")
	})
	if err := c.PodsStale(time.Now()); err != nil {
		t.Errorf("stale although there is nothing: %v", err)
	}
	down.Store(false)
	eventually(t, "the pod", func() bool { return names(c) == "a1 node1/pod" })
}

func TestTheLastCopyGoesOnAndSaysHowOldItIs(t *testing.T) {
	f := newFeed((&Cluster{client: fake.NewClientset()}).podSource(), readPod, make(chan struct{}, 1), slog.New(slog.DiscardHandler))
	if err := f.Replace([]any{testPod("a1", podAgents, "node1")}, "1"); err != nil {
		t.Fatal(err)
	}
	f.fails(syscall.ECONNREFUSED)
	f.fails(errors.New("again"))
	items, err := f.copy()
	if len(items) != 1 || err != nil || f.isCurrent() {
		t.Fatalf("%d pods, %v, current %t", len(items), err, f.isCurrent())
	}
	said := f.stale(f.failedAt.Add(3 * time.Minute))
	if said == nil || !strings.Contains(said.Error(), "3m0s ago") || !strings.Contains(said.Error(), "again") {
		t.Errorf("stale: %v", said)
	}
	f.watched()
	if err := f.stale(time.Now()); err != nil || !f.isCurrent() {
		t.Errorf("after the API server is back: %v", err)
	}
}

func TestWithoutLeaveToWatchListsAreRepeated(t *testing.T) {
	client := fake.NewClientset(testPod("a1", podAgents, "node1"))
	no := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	client.PrependWatchReactor("pods", clienttesting.DefaultWatchReactor(nil, no))
	client.PrependReactor("list", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, no })
	c := followed(t, client)
	eventually(t, "the pod", func() bool { return names(c) == "a1 node1/pod" })
	if _, err := client.CoreV1().Pods("netchecker").Create(context.Background(), testPod("a2", podAgents, "node2"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new pod", func() bool { return names(c) == "a1 node1/pod, a2 node2/pod" })
	if err := c.PodsStale(time.Now()); err != nil {
		t.Errorf("a list that is repeated is no old one: %v", err)
	}
	if nodes, current, err := c.Nodes(); err == nil || current {
		t.Errorf("nodes without leave: %v, current %t, %v", nodes, current, err)
	}
}

// That there are no services is known once the API server has said so, or that it will not say.
func TestServicesAreKnownOnceTheyAreListedOrForbidden(t *testing.T) {
	client := fake.NewClientset()
	var mute, forbid atomic.Bool
	mute.Store(true)
	client.PrependReactor("list", "endpointslices", func(clienttesting.Action) (bool, runtime.Object, error) {
		switch {
		case mute.Load():
			return true, nil, errors.New("the API server does not answer")
		case forbid.Load():
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "endpointslices"}, "", errors.New("no"))
		}
		return false, nil, nil
	})
	c := followed(t, client)
	eventually(t, "an error", func() bool { return c.slices[0].failedOnce() })
	if list, all := c.Services(); all || len(list) > 0 {
		t.Errorf("before the first list: %v, all %t", list, all)
	}
	forbid.Store(true)
	mute.Store(false)
	eventually(t, "all that may be listed", func() bool { _, all := c.Services(); return all })
}

// failedOnce reports whether a list has failed.
func (f *feed[T]) failedOnce() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed != nil
}

func TestAPodIsDueTwoOfItsIntervalsAfterItsStart(t *testing.T) {
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	pod := func(change func(*corev1.Pod)) Pod {
		p := testPod("a1", podAgents, "node1")
		p.Status.StartTime = &metav1.Time{Time: start}
		p.Spec.Containers = []corev1.Container{{Args: []string{"-v=5", "-reportinterval=10"}}}
		change(p)
		_, out := readPod(trimPod(p))
		return out
	}
	container := func(restarts int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: restarts,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(start.Add(time.Minute))}}}}
		}
	}
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   time.Duration
	}{
		"by its flag":           {func(*corev1.Pod) {}, 20 * time.Second},
		"two dashes, two words": {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"--reportinterval", "5"} }, 10 * time.Second},
		"in the command": {func(p *corev1.Pod) {
			p.Spec.Containers[0] = corev1.Container{Command: []string{"agent", "-reportinterval=7s"}}
		}, 14 * time.Second},
		"in the environment": {func(p *corev1.Pod) {
			p.Spec.Containers[0] = corev1.Container{Env: []corev1.EnvVar{{Name: intervalEnv, Value: "9"}}}
		}, 18 * time.Second},
		"by default":              {func(p *corev1.Pod) { p.Spec.Containers = nil }, 2 * time.Minute},
		"nonsense":                {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"-reportinterval"} }, 2 * time.Minute},
		"after a slow image":      {container(0), time.Minute + 20*time.Second},
		"also while it restarts":  {container(7), 20 * time.Second},
		"never while it is going": {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: start} }, -1},
		"never while pending":     {func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, -1},
		"never once it failed":    {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, -1},
		"never on no node":        {func(p *corev1.Pod) { p.Spec.NodeName = "" }, -1},
	} {
		got := pod(c.change)
		if at := got.DueAt(); c.want < 0 && !at.IsZero() || c.want >= 0 && !at.Equal(start.Add(c.want)) {
			t.Errorf("%s: due after %v, want %v", name, at.Sub(start), c.want)
		}
	}
}

func TestTargetsAreTheServicesAndWhatIsBehindThem(t *testing.T) {
	service := func(namespace, name string, ips []string, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"k8s-app": "kube-dns"}},
			Spec: corev1.ServiceSpec{ClusterIPs: ips, Ports: ports}}
	}
	slice := func(namespace, name, of string, ready []bool, ips []string, ports ...discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
			Labels: map[string]string{"k8s-app": "kube-dns", "kubernetes.io/service-name": of}}, Ports: ports}
		for i, ip := range ips {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready[i]}})
		}
		return s
	}
	port := func(n int32, p corev1.Protocol) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Port: &n, Protocol: &p}
	}
	dnsPorts := []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}, {Port: 53, Protocol: corev1.ProtocolTCP}, {Port: 9153, Protocol: corev1.ProtocolTCP}}
	c := followed(t, fake.NewClientset(
		service(dnsNamespace, "kube-dns", []string{"10.96.0.10", "fd00::a"}, dnsPorts...),
		service("netchecker", ownService, []string{"10.96.0.81"}, corev1.ServicePort{Port: 8081, Protocol: corev1.ProtocolTCP}),
		slice(dnsNamespace, "kube-dns-1", "kube-dns", []bool{true, false}, []string{"10.244.1.2", "10.244.1.3"},
			port(53, corev1.ProtocolUDP), port(53, corev1.ProtocolTCP), port(9153, corev1.ProtocolTCP)),
		slice("netchecker", ownService+"-1", ownService, []bool{true}, []string{"fd01::9"}, port(8081, corev1.ProtocolTCP))))
	want := []string{
		"dns-vip-1-udp dns-udp 10.96.0.10:53", "dns-vip-1-tcp dns-tcp 10.96.0.10:53", "dns-vip-2-udp dns-udp [fd00::a]:53", "dns-vip-2-tcp dns-tcp [fd00::a]:53",
		"dns-endpoint-udp dns-udp 10.244.1.2:53", "dns-endpoint-tcp dns-tcp 10.244.1.2:53",
		"server-vip http http://10.96.0.81:8081/api/v1/ping", "server-endpoint http http://[fd01::9]:8081/api/v1/ping"}
	var got []string
	eventually(t, "all targets", func() bool {
		got = nil
		list, all := c.Services()
		for _, x := range list {
			got = append(got, fmt.Sprint(x.Name, " ", x.Kind, " ", x.Address))
		}
		return all && len(got) == len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("targets:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOnePodOf10000CostsLittleMemoryAndNoSortWhileNothingChanges(t *testing.T) {
	f := newFeed((&Cluster{client: fake.NewClientset()}).podSource(), readPod, make(chan struct{}, 1), slog.New(slog.DiscardHandler))
	c := &Cluster{pods: f}
	var list []any
	for i := range 10000 {
		list = append(list, testPod(fmt.Sprintf("netchecker-agent-%05d", i), podAgents, fmt.Sprintf("node%d", i)))
	}
	if err := f.Replace(list, "1"); err != nil {
		t.Fatal(err)
	}
	pods, err := c.Pods()
	if err != nil || len(pods) != 10000 || pods[0].Network != mesh.Pod {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = c.Pods() }); n != 0 {
		t.Errorf("%v allocations to ask again", n)
	}
}

func TestAPodHasOneAddressAFamily(t *testing.T) {
	for want, ips := range map[[2]string][]string{
		{"invalid IP", "invalid IP"}: nil,
		{"10.244.1.2", "invalid IP"}: {"10.244.1.2"},
		{"fd00::2", "10.244.1.2"}:    {"fd00::2", "10.244.1.2"},
		{"10.244.1.3", "fd00::3"}:    {"10.244.1.3", "fd00::3", "10.244.1.4"},
	} {
		p := testPod("a1", podAgents, "node1")
		for _, ip := range ips {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
		}
		if _, got := readPod(trimPod(p)); [2]string{got.Addrs[0].String(), got.Addrs[1].String()} != want {
			t.Errorf("%v: %v", ips, got.Addrs)
		}
	}
}
