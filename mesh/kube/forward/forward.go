// Package forward is a person's way to netchecker's server where only the API server can be reached:
// what kubectl port-forward does, but without a port on this machine, which anybody on it could use
// with that person's rights. A connection is a pair of streams within the one to the API server.
//
// It finds the server behind its Service and finds another one when that is gone. What is said over
// the connections it does not know.
package forward

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"netchecker/mesh/kube"
)

// Namespace is where netchecker is unless somebody put it elsewhere.
const Namespace = "netchecker"

// Service is the name of the server's Service.
const Service = "netchecker-service"

// Config says which cluster, in kubectl's terms.
type Config struct {
	// Kubeconfig is a file; "" is what kubectl would take.
	Kubeconfig string
	// Context is a context of the kubeconfig; "" is the current one.
	Context string
	// Namespace is where netchecker is; "" is Namespace, not the context's: few have it there.
	Namespace string
	// Agent is how the API server's audit log calls us.
	Agent string
}

// Error is why the server cannot be reached through the cluster: one line that begins with the context.
type Error struct {
	context string
	err     error
	// broken is set where a server was reached, and then was not.
	broken bool
}

// Broken reports whether a server that had been found went away: another one may be found at once.
func (e *Error) Broken() bool { return e.broken }

// Error implements error.
func (e *Error) Error() string {
	where := "service account"
	if e.context != "" {
		where = fmt.Sprintf("context %q", e.context)
	}
	return where + ": " + e.err.Error()
}

// Unwrap returns what it is about.
func (e *Error) Unwrap() error { return e.err }

// Tunnel leads to the server. Any goroutine may call its methods.
type Tunnel struct {
	config    *rest.Config
	core      typed.CoreV1Interface
	namespace string
	context   string
	try       time.Duration // how long one server is waited for

	// turn is held by who opens a link: a channel, so that who waits for it can give up.
	turn chan struct{}

	mu     sync.Mutex // guards what is below
	link   *link      // nil: there is none
	closed bool
}

// New reads what says how to reach the cluster. It asks nobody. Its errors are those of kube.Load.
func New(c Config) (*Tunnel, error) {
	loaded, err := kube.Load(c.Kubeconfig, c.Context)
	if err != nil {
		return nil, err
	}
	loaded.REST.UserAgent, loaded.REST.QPS = c.Agent, -1 // a person's few questions need no limit
	core, err := typed.NewForConfig(loaded.REST)
	if err != nil {
		return nil, &Error{context: loaded.Context, err: oneLine{err}}
	}
	return &Tunnel{config: loaded.REST, core: core, context: loaded.Context, namespace: cmp.Or(c.Namespace, Namespace),
		try: tryTime, turn: make(chan struct{}, 1)}, nil
}

// String is what the tunnel leads to, for messages.
func (t *Tunnel) String() string {
	if t.context == "" {
		return fmt.Sprintf("%s in namespace %q", Service, t.namespace)
	}
	return fmt.Sprintf("%s in namespace %q of context %q", Service, t.namespace, t.context)
}

// Namespace is where the server is looked for.
func (t *Tunnel) Namespace() string { return t.namespace }

// TLS opens the tunnel and reports whether the server wants HTTPS, as its probes say. Its errors are
// of type Error, or that of ctx.
func (t *Tunnel) TLS(ctx context.Context) (bool, error) {
	l, _, err := t.open(ctx)
	if err != nil {
		return false, err
	}
	return l.tls, nil
}

// DialContext connects to the server, whatever the address: it is for http.Transport. When the server
// is gone it looks for another one. Its errors are those of TLS; reading from what it returns ends
// with an Error when nobody answers at the other end.
func (t *Tunnel) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	for {
		l, old, err := t.open(ctx)
		if err != nil {
			return nil, err
		}
		c, err := l.dial()
		if err == nil {
			return c, nil
		}
		t.forget(l)
		if !old { // one that was open before may have broken since
			return nil, &Error{context: t.context, err: fmt.Errorf("server pod %s: %w", l.pod, oneLine{err}), broken: true}
		}
	}
}

// Renew ends what is open: the next connection looks for a server anew. It is for who waits in vain,
// which can be the first sign that a node is gone.
func (t *Tunnel) Renew() {
	t.mu.Lock()
	l := t.link
	t.mu.Unlock()
	if l != nil {
		t.forget(l)
	}
}

// Close ends everything. Errors of what is cut are of no use to anybody.
func (t *Tunnel) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.Renew()
}

func (t *Tunnel) forget(l *link) {
	t.mu.Lock()
	if t.link == l {
		t.link = nil
	}
	t.mu.Unlock()
	_ = l.conn.Close() // it is given up
}

// current is the link that is open, if any.
func (t *Tunnel) current() (*link, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, net.ErrClosed
	}
	if t.link != nil && t.link.ended() {
		t.link = nil
	}
	return t.link, nil
}

// open returns the link that is open, then old, or a new one.
func (t *Tunnel) open(ctx context.Context) (l *link, old bool, err error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { <-t.turn }()
	if l, err := t.current(); l != nil || err != nil {
		return l, true, err
	}
	found, err := t.find(ctx)
	if err != nil {
		return nil, false, t.explain(ctx, err)
	}
	var first error
	for _, s := range found {
		l, err := t.connect(ctx, s)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		t.mu.Lock()
		closed := t.closed
		if !closed {
			t.link = l
		}
		t.mu.Unlock()
		if closed {
			_ = l.conn.Close() // nobody wants it any more
			return nil, false, net.ErrClosed
		}
		return l, false, nil
	}
	return nil, false, t.explain(ctx, first)
}

// explain says where it happened; the end of ctx stands for itself.
func (t *Tunnel) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{context: t.context, err: err}
}
