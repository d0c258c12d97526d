package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// dials stands for a way to connect: after a while it gives a connection or an error.
func dials(after time.Duration, conn net.Conn, err error) dialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-time.After(after):
			return conn, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestTheSecondWayIsTriedWhenTheFirstIsSilentOrFails(t *testing.T) {
	plain, bound := &net.TCPConn{}, &net.TCPConn{}
	refused := errors.New("refused")
	for _, c := range []struct {
		name          string
		first, second dialFunc
		want          net.Conn
		err           error
		within        time.Duration
	}{
		{"the first answers", dials(time.Millisecond, plain, nil), dials(0, bound, nil), plain, nil, time.Millisecond},
		{"the first is silent", dials(time.Hour, nil, nil), dials(time.Millisecond, bound, nil), bound, nil, deviceAfter + time.Millisecond},
		{"the first fails at once", dials(0, nil, refused), dials(time.Millisecond, bound, nil), bound, nil, time.Millisecond},
		{"the first is late but sooner", dials(deviceAfter+time.Millisecond, plain, nil), dials(time.Hour, nil, nil), plain, nil, deviceAfter + time.Millisecond},
		{"both fail", dials(time.Second, nil, refused), dials(0, nil, errors.New("not permitted")), nil, refused, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				conn, err := eitherDial(t.Context(), "tcp", "192.0.2.1:8095", c.first, c.second)
				if conn != c.want || !errors.Is(err, c.err) {
					t.Errorf("got %p and %v, want %p and %v", conn, err, c.want, c.err)
				}
				if took := time.Since(began); took != c.within {
					t.Errorf("took %v, want %v", took, c.within)
				}
			})
		})
	}
}
