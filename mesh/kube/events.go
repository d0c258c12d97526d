package kube

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	// eventQueue bounds the Events that wait: what does not fit is in the findings all the same.
	eventQueue = 64
	// eventEvery and eventBurst bound what a cluster in trouble gets from us on top of it.
	eventEvery, eventBurst = 10 * time.Second, 25
	// eventAgain is how long the same Event of the same node is not repeated, also by another server.
	eventAgain = 10 * time.Minute
	// eventRetry is the pause before the API server is asked again, eventKeep how long it is worth it.
	eventRetry, eventKeep = 5 * time.Second, 10 * time.Minute
	// maxEventText is what Kubernetes takes.
	maxEventText = 1024
)

// Event is something to be said of a node. Topic is what it is about: the same Reason and Topic of
// one node are said once in ten minutes.
type Event struct {
	Node, Reason, Topic, Text string
	Warning                   bool
	at                        time.Time
}

// Recorder writes Events to Kubernetes.
type Recorder struct {
	client kubernetes.Interface
	name   string
	log    *slog.Logger
	queue  chan Event
	limit  *rate.Limiter
}

// Recorder returns one that speaks for the pod by that name. Run must run for anything to be written.
func (a *Access) Recorder(name string, log *slog.Logger) *Recorder {
	return &Recorder{client: a.client, name: name, log: log, queue: make(chan Event, eventQueue), limit: rate.NewLimiter(rate.Every(eventEvery), eventBurst)}
}

// Record takes an Event. It never blocks; what is too much is dropped with a line in the log.
func (r *Recorder) Record(e Event) {
	e.at = time.Now()
	if !r.limit.Allow() {
		r.log.Warn("event not written: too many", "node", e.Node, "reason", e.Reason)
		return
	}
	select {
	case r.queue <- e:
	default:
		r.log.Warn("event not written: the API server does not take them", "node", e.Node, "reason", e.Reason)
	}
}

// Run writes what Record takes, until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	forbidden := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			err := r.write(ctx, &e)
			if apierrors.IsForbidden(err) && !forbidden {
				r.log.Warn("events may not be written: findings are in the log and the API only", "error", err)
			} else if err != nil && ctx.Err() == nil {
				r.log.Debug("event not written", "node", e.Node, "error", err)
			}
			forbidden = forbidden || apierrors.IsForbidden(err)
		}
	}
}

// write tries again while the API server cannot be reached: a broken network is just when there
// is something to say.
func (r *Recorder) write(ctx context.Context, e *Event) error {
	for {
		try, cancel := context.WithTimeout(ctx, requestTime)
		_, err := r.client.CoreV1().Events(metav1.NamespaceDefault).Create(try, r.object(e), metav1.CreateOptions{})
		cancel()
		answered := err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		if answered && !apierrors.IsTooManyRequests(err) && !apierrors.IsServiceUnavailable(err) && !apierrors.IsServerTimeout(err) || time.Since(e.at) > eventKeep {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(eventRetry):
		}
	}
}

// object is the Event as Kubernetes has it, in the namespace that nodes' Events are in. Its name is
// the same for all that is not to be said twice: Kubernetes itself refuses the second.
func (r *Recorder) object(e *Event) *corev1.Event {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d", e.Reason, e.Topic, e.at.UnixNano()/int64(eventAgain))
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	text := e.Text
	if len(text) > maxEventText {
		text = strings.ToValidUTF8(text[:maxEventText-3], "") + "..."
	}
	at := metav1.NewTime(e.at)
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s.netchecker-%x", e.Node, h.Sum64())},
		// kubectl describe looks for the node's name as UID, which is how the kubelet writes its own.
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: e.Node, UID: types.UID(e.Node)},
		Reason:         e.Reason, Message: text, Type: kind, Count: 1, FirstTimestamp: at, LastTimestamp: at,
		Source: corev1.EventSource{Component: "netchecker-server", Host: r.name}, ReportingController: "netchecker/server", ReportingInstance: r.name,
	}
}
