package kube

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"netchecker/mesh"
)

// The labels of the agents' pods, as ever.
const (
	podAgents  = "netchecker-agent"
	hostAgents = "netchecker-agent-hostnet"
)

// Pod is an agent's pod.
type Pod struct {
	Name string
	// Key has no node while the pod waits for one.
	mesh.Key
	// Addrs are the pod's addresses, one a family; the zero Addr where it has none, or none yet.
	Addrs [2]netip.Addr
	// Running is since when the pod runs; zero while it does not.
	Running time.Time
	// Terminating says that the pod was told to go.
	Terminating bool
	// Interval is what the pod's flags say of the time between two reports.
	Interval time.Duration
}

// defaultInterval is that of an agent whose flags say nothing.
const defaultInterval = time.Minute

// DueAt is when the pod can be asked for a report: two intervals after it began to run. It is zero
// for a pod that owes none.
func (p *Pod) DueAt() time.Time {
	if p.Terminating || p.Running.IsZero() || p.Node == "" {
		return time.Time{}
	}
	return p.Running.Add(2 * p.Interval)
}

func trimPod(obj runtime.Object) runtime.Object {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return obj
	}
	out := &corev1.Pod{ObjectMeta: trimMeta(&p.ObjectMeta)}
	out.Labels = map[string]string{"app": p.Labels["app"]}
	out.Spec.NodeName = p.Spec.NodeName
	out.Status.Phase, out.Status.StartTime, out.Status.PodIPs = p.Status.Phase, p.Status.StartTime, p.Status.PodIPs
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		out.Spec.Containers = append(out.Spec.Containers, corev1.Container{Args: c.Args, Command: c.Command, Env: c.Env})
	}
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		out.Status.ContainerStatuses = append(out.Status.ContainerStatuses, corev1.ContainerStatus{State: c.State, RestartCount: c.RestartCount})
	}
	return out
}

// trimMeta keeps what lists and watches need.
func trimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, DeletionTimestamp: m.DeletionTimestamp}
}

func readPod(obj any) (string, Pod) {
	p := obj.(*corev1.Pod)
	out := Pod{Name: p.Name, Key: mesh.Key{Node: p.Spec.NodeName}, Terminating: p.DeletionTimestamp != nil,
		Running: runningSince(p), Interval: defaultInterval}
	if p.Labels["app"] == hostAgents {
		out.Network = mesh.Host
	}
	for i := range p.Status.PodIPs[:min(len(p.Status.PodIPs), len(out.Addrs))] {
		out.Addrs[i], _ = netip.ParseAddr(p.Status.PodIPs[i].IP) // the API server takes nothing else
	}
	for i := range p.Spec.Containers {
		if d := reportInterval(&p.Spec.Containers[i]); d > 0 {
			out.Interval = d
		}
	}
	return p.Name, out
}

// runningSince is when the pod began to run. A container that restarts does not begin anew: one
// that dies every minute would owe no report for ever.
func runningSince(p *corev1.Pod) (since time.Time) {
	if p.Status.Phase != corev1.PodRunning {
		return time.Time{}
	}
	if p.Status.StartTime != nil {
		since = p.Status.StartTime.Time
	}
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		if running := c.State.Running; running != nil && c.RestartCount == 0 && running.StartedAt.After(since) {
			since = running.StartedAt.Time // the image may have taken minutes
		}
	}
	return since
}

// intervalFlag is the agent's flag, intervalEnv the same from the environment.
const (
	intervalFlag = "reportinterval"
	intervalEnv  = "NETCHECKER_REPORTINTERVAL"
)

// reportInterval is what a container's command line says; 0 for nothing that can be read.
func reportInterval(c *corev1.Container) time.Duration {
	text := ""
	if at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == intervalEnv }); at >= 0 {
		text = c.Env[at].Value
	}
	args := append(slices.Clone(c.Command), c.Args...)
	for i, arg := range args {
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || name != intervalFlag {
			continue
		}
		if !given && i+1 < len(args) {
			value = args[i+1]
		}
		text = value
	}
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	d, _ := time.ParseDuration(text)
	return max(d, 0)
}
