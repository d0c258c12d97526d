package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// explain says why no endpoint can be reached, where a dial shows it: the client library says no more
// than that its time ran out. The error itself stays when the dials show nothing wrong.
func (e *Etcd) explain(ctx context.Context, err error) error {
	if !unreachable(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout())
	defer cancel()
	var why []error
	for _, endpoint := range e.client.Endpoints() {
		if dialed := e.dial(ctx, endpoint); dialed != nil {
			why = append(why, fmt.Errorf("%s: %w", endpoint, dialed))
		}
	}
	if len(why) < len(e.client.Endpoints()) {
		hint := ""
		if e.tls == nil {
			hint = " (if it serves TLS, https is missing in -etcd-endpoints)"
		}
		why = append([]error{fmt.Errorf("no answer from %s%s: %w", strings.Join(e.client.Endpoints(), ", "), hint, err)}, why...)
	}
	return oneLine(why)
}

// oneLine joins errors, which errors.Join puts on a line each.
func oneLine(all []error) error {
	joined := all[0]
	for _, err := range all[1:] {
		joined = fmt.Errorf("%w; %w", joined, err)
	}
	return joined
}

// dial connects as the client library does.
func (e *Etcd) dial(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if e.tls == nil {
		return nil
	}
	cfg := e.tls.Clone()
	cfg.ServerName = u.Hostname()
	cfg.NextProtos = []string{"h2"}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	// In TLS 1.3 the refusal of our certificate comes after the handshake, to the first read.
	if err := secure.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := secure.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
