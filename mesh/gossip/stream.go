package gossip

import "net"

// stream is a connection that counts its bytes and that Shutdown can find.
type stream struct {
	net.Conn
	owner *socket
}

func (s *socket) track(conn net.Conn) (net.Conn, error) {
	c := &stream{Conn: conn, owner: s}
	s.mu.Lock()
	open := s.conns != nil
	if open {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if !open {
		conn.Close()
		return nil, net.ErrClosed
	}
	s.stats.streams.Add(1)
	return c, nil
}

func (c *stream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.owner.stats.streamBytesReceived.Add(uint64(n))
	return n, err
}

func (c *stream) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.owner.stats.streamBytesSent.Add(uint64(n))
	return n, err
}

func (c *stream) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}
