package client

import (
	"context"
	"net"
	"net/http"
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
// is that of first.
func eitherDial(ctx context.Context, network, address string, first, second dialFunc) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type end struct {
		conn  net.Conn
		err   error
		first bool
	}
	ends := make(chan end, 2)
	start := func(dial dialFunc, first bool) {
		conn, err := dial(ctx, network, address)
		ends <- end{conn, err, first}
	}
	go start(first, true)
	running, tried := 1, false
	timer := time.NewTimer(deviceAfter)
	defer timer.Stop()
	var failed error
	for {
		select {
		case <-timer.C:
		case e := <-ends:
			running--
			if e.err == nil {
				cancel()
				for ; running > 0; running-- {
					if late := <-ends; late.err == nil {
						late.conn.Close()
					}
				}
				return e.conn, nil
			}
			if e.first {
				failed = e.err
			}
		}
		if !tried {
			tried, running = true, running+1
			go start(second, false)
		}
		if running == 0 {
			return nil, failed
		}
	}
}
