package client

import (
	"context"
	"net"
	"net/http"
	"time"
)

// SetDial puts a test between the client and its connections.
func (c *Client) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.http.Transport.(*http.Transport).DialContext = dial
}

// Forget makes what was learnt of a server due for another try.
func (c *Client) Forget(to string) {
	c.learn(to, func(s *server) {
		if !s.directAfter.IsZero() {
			s.directAfter = time.Now()
		}
		s.rowsAfter = time.Time{}
	})
}

// RelayBurst is how many messages a relay takes at once.
const RelayBurst = relayBurst

// ForgetEnrolment makes another enrolment at a server due, if it wants one.
func (c *Client) ForgetEnrolment(to string) {
	c.learn(to, func(s *server) { s.after = time.Time{} })
}

// Client is what a relay posts with.
func (r *Relay) Client() *Client { return r.cfg.Client }
