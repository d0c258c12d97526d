package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deviceAfter is how long a connection may be silent before it is tried by the device besides: less
// than HedgeAfter, so that the same peer is reached before the next one is tried.
const deviceAfter = 300 * time.Millisecond

// TryDevice makes connections that do not come about be tried by the named interface besides, past
// whatever routes lead them astray: a bridge whose network covers the other nodes, or a stale route,
// cuts a node off that could say so itself. It is called before the first post.
func (c *Client) TryDevice(name string) {
	t := c.http.Transport.(*http.Transport)
	plain := t.DialContext
	bound := (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second, Control: func(network, address string, raw syscall.RawConn) error {
		if err := dialControl(network, address, raw); err != nil {
			return err
		}
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), name) }); err != nil {
			return err
		}
		return failed
	}}).DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return eitherDial(ctx, network, address, plain, bound)
	}
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// eitherDial tries first, and second too once first has failed or was silent for a while. The error
// is of both, and both have ended when it returns.
func eitherDial(ctx context.Context, network, address string, first, second dialFunc) (conn net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ends := make(chan dialEnd, 2)
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		close(ends)
		for late := range ends { // it came about as well
			if late.err == nil {
				late.conn.Close()
			}
		}
	}()
	start := func(dial dialFunc) {
		running.Go(func() {
			conn, err := dial(ctx, network, address)
			ends <- dialEnd{conn, err}
		})
	}
	start(first)
	timer := time.NewTimer(deviceAfter)
	defer timer.Stop()
	var errs []error
	for begun := 1; len(errs) < 2; {
		select {
		case <-timer.C:
		case e := <-ends:
			if e.err == nil {
				return e.conn, nil
			}
			errs = append(errs, e.err)
		}
		if begun == 1 {
			begun++
			start(second)
		}
	}
	return nil, errors.Join(errs...)
}

type dialEnd struct {
	conn net.Conn
	err  error
}
