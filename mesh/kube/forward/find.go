package forward

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// server is a pod to try.
type server struct {
	pod  string
	port int32
	// tls is whether it wants HTTPS.
	tls bool
	// doubt is why it may not answer; "" is none.
	doubt string
}

// find lists the servers behind the Service, those first that can be expected to know most.
func (t *Tunnel) find(ctx context.Context) ([]server, error) {
	service, err := t.core.Services(t.namespace).Get(ctx, Service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("no service %s in namespace %q: is netchecker in another one?", Service, t.namespace)
	}
	if err != nil {
		return nil, t.refusal("get", "services", err)
	}
	if len(service.Spec.Selector) == 0 || len(service.Spec.Ports) == 0 {
		return nil, fmt.Errorf("service %s in namespace %q selects no pods or has no port", Service, t.namespace)
	}
	selector := labels.SelectorFromSet(service.Spec.Selector).String()
	pods, err := t.core.Pods(t.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, t.refusal("list", "pods", err)
	}
	if len(pods.Items) == 0 {
		return nil, fmt.Errorf("no server pod in namespace %q: none has the labels %s", t.namespace, selector)
	}
	return choose(service, pods.Items)
}

// choose picks the pods that can be tried: those that are ready, the one that has run longest first,
// and behind them those that only run, where the Service leads to them too. Without any the error
// says what is the matter with one of them.
func choose(service *corev1.Service, pods []corev1.Pod) ([]server, error) {
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int {
		if x, y := unready(&a) == "", unready(&b) == ""; x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	var out []server
	why := ""
	for i := range pods {
		p := &pods[i]
		trouble := idle(p)
		doubt := unready(p)
		if trouble == "" && doubt != "" && !service.Spec.PublishNotReadyAddresses {
			trouble = "is not ready: " + doubt
		}
		container, port := target(p, service.Spec.Ports[0].TargetPort)
		if trouble == "" && port == 0 {
			trouble = fmt.Sprintf("has no port %s", service.Spec.Ports[0].TargetPort.String())
		}
		if trouble != "" {
			why = cmp.Or(why, fmt.Sprintf("server pod %s %s", p.Name, trouble))
			continue
		}
		out = append(out, server{pod: p.Name, port: port, tls: wantsTLS(container), doubt: doubt})
	}
	if out == nil {
		return nil, fmt.Errorf("%s", why)
	}
	return out, nil
}

// idle says why nothing of a pod can answer; "" is that something runs.
func idle(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "is terminating"
	}
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		switch {
		case c.State.Waiting != nil:
			return "is not running: " + reason(c.State.Waiting.Reason, c.State.Waiting.Message)
		case c.State.Terminated != nil:
			return "is not running: " + reason(c.State.Terminated.Reason, c.State.Terminated.Message)
		}
	}
	if p.Status.Phase == corev1.PodRunning {
		return ""
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Status != corev1.ConditionTrue && c.Message != "" {
			return fmt.Sprintf("is not running: %s, %s", p.Status.Phase, reason(c.Reason, c.Message))
		}
	}
	return fmt.Sprintf("is not running: %s", p.Status.Phase)
}

// unready says why a pod is not ready; "" is that it is.
func unready(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "terminating"
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			if c.Status == corev1.ConditionTrue {
				return ""
			}
			return cmp.Or(reason(c.Reason, c.Message), string(c.Status))
		}
	}
	return "it has not said so yet"
}

func reason(short, long string) string {
	text := strings.Join(strings.Fields(long), " ")
	switch {
	case text == "":
		return short
	case short == "":
		return text
	}
	return short + ": " + text
}

// target is the container and the port that a Service's target means in a pod; 0 is none.
func target(p *corev1.Pod, port intstr.IntOrString) (*corev1.Container, int32) {
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		for _, have := range c.Ports {
			if have.Name != "" && have.Name == port.StrVal || port.Type == intstr.Int && have.ContainerPort == port.IntVal {
				return c, have.ContainerPort
			}
		}
	}
	if port.Type == intstr.Int && len(p.Spec.Containers) > 0 { // ports need not be listed
		return &p.Spec.Containers[0], port.IntVal
	}
	return nil, 0
}

// wantsTLS goes by the probes: the kubelet must know, or the pod would not be ready.
func wantsTLS(c *corev1.Container) bool {
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if p != nil && p.HTTPGet != nil {
			return p.HTTPGet.Scheme == corev1.URISchemeHTTPS
		}
	}
	return false
}

// refusal is why the API server did not do what it was asked for.
func (t *Tunnel) refusal(verb, resource string, err error) error {
	err = oneLine{err}
	switch {
	case apierrors.IsForbidden(err), strings.Contains(err.Error(), " is forbidden: "): // an upgrade's refusal comes as text
		return fmt.Errorf("no permission to %s %s in namespace %q: %w", verb, resource, t.namespace, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server does not know who asks: %w", err)
	}
	return fmt.Errorf("%s %s at %s: %w", verb, resource, t.config.Host, err)
}

// oneLine is an error without line breaks.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }
