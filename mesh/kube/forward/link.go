package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// tryTime is how long one server is waited for: the API server takes 30 s to say that a node does
// not answer, and there may be another one.
const tryTime = 8 * time.Second

// webSocketPrefix says in a WebSocket's subprotocol that the rest of it is tunnelled.
const webSocketPrefix = "SPDY/3.1+"

// link is the connection to one pod through the API server.
type link struct {
	server
	context string // for messages
	conn    httpstream.Connection
	asks    atomic.Int64 // how many connections there were: a number for each
}

// ended reports whether the other side has ended it.
func (l *link) ended() bool {
	select {
	case <-l.conn.CloseChan():
		return true
	default:
		return false
	}
}

// connect opens a link to a server, by WebSocket, and where that is refused, be it by an API server
// or proxy that is too old or since only create is granted, by SPDY: as kubectl does.
func (t *Tunnel) connect(ctx context.Context, s server) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, t.try)
	defer cancel()
	at := t.core.RESTClient().Post().Resource("pods").Namespace(t.namespace).Name(s.pod).SubResource("portforward").URL()
	conn, err := t.byWebSocket(ctx, at)
	if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
		conn, err = t.bySPDY(ctx, at)
	}
	switch {
	case err == nil:
		return &link{server: s, context: t.context, conn: conn}, nil
	case errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil: // the connection's own deadline may come first
		err = fmt.Errorf("no answer within %v", t.try)
	default:
		err = t.refusal("create", "pods/portforward", err)
	}
	if s.doubt != "" {
		return nil, fmt.Errorf("server pod %s is not ready (%s): %w", s.pod, s.doubt, err)
	}
	return nil, fmt.Errorf("server pod %s: %w", s.pod, err)
}

func (t *Tunnel) byWebSocket(ctx context.Context, at *url.URL) (httpstream.Connection, error) {
	transport, holder, err := websocket.RoundTripperFor(t.config)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Negotiate(transport, holder, r, webSocketPrefix+portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	return streamspdy.NewClientConnectionWithPings(portforward.NewTunnelingConnection("netcheck", conn), portforward.PingPeriod)
}

// bySPDY is upgradeToSPDY that ends with ctx, which the library heeds only until it has asked: for the
// answer it waits as long as the API server likes, which is 30 s where a kubelet does not answer, and
// no end at all where the API server itself hangs. Nobody waits for what is given up, since that would
// be the same wait. It owns its connection alone: when that comes after all, it closes it.
func (t *Tunnel) bySPDY(ctx context.Context, at *url.URL) (httpstream.Connection, error) {
	type outcome struct {
		conn httpstream.Connection
		err  error
	}
	out := make(chan outcome) // without room: what nobody takes is still the sender's to close
	go func() {
		conn, err := t.upgradeToSPDY(ctx, at)
		select {
		case out <- outcome{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close() // nobody wants it any more
			}
		}
	}()
	select {
	case o := <-out:
		return o.conn, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *Tunnel) upgradeToSPDY(ctx context.Context, at *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdy.RoundTripperFor(t.config)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, protocol, err := spdy.NegotiateStreaming(upgrader, &http.Client{Transport: transport}, r, portforward.PortForwardProtocolV1Name)
	if err == nil && protocol != portforward.PortForwardProtocolV1Name {
		_ = conn.Close() // it cannot be used
		err = fmt.Errorf("the API server speaks %q, not %q", protocol, portforward.PortForwardProtocolV1Name)
	}
	return conn, err
}

// dial opens the two streams of a connection to the server.
func (l *link) dial() (*conn, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(int(l.port)))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(l.asks.Add(1), 10))
	complaints, err := l.conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	if err := complaints.Close(); err != nil { // our direction of it: we have none
		return nil, err
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := l.conn.CreateStream(headers)
	if err != nil {
		_ = complaints.Reset() // without its pair it is of no use
		l.conn.RemoveStreams(complaints)
		return nil, err
	}
	return newConn(l, data, complaints), nil
}
