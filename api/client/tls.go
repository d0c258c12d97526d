package client

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// handshakeTime is how long a TLS handshake may take.
const handshakeTime = 3 * time.Second

// tlsDialer returns what dials servers over TLS. The configuration is asked for each time:
// connections are kept for long, and what it is read from may change.
func tlsDialer(dialer *net.Dialer, config func() (*tls.Config, error)) func(context.Context, string, string) (net.Conn, error) {
	if config == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := config()
		if err != nil {
			return nil, err
		}
		raw, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		conn := tls.Client(raw, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
}
