package client

import (
	"context"
	"crypto/tls"
	"errors"
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

// sayCertificate logs that a server's certificate is not believed, once: a peer may carry the message
// all the same, and nobody would learn of a wrong CA, or of who shows such a certificate.
func (c *Client) sayCertificate(to string, err error) {
	bad, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return
	}
	said := true
	c.learn(to, func(s *server) { said, s.certificate = s.certificate == bad.Error(), bad.Error() })
	if !said {
		c.cfg.Log.Warn("server's certificate is not believed: messages go through peers, or not at all", "server", to, "error", bad)
	}
}
