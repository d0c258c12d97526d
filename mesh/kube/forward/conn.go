package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/streaming/pkg/httpstream"
)

// complaintTime is how long the end of a connection waits for the reason of it, which is sent before.
const complaintTime = time.Second

// maxComplaint bounds what is read of a reason.
const maxComplaint = 1 << 12

// conn is a connection to the server: one stream for what is said, one for why it failed. It knows no
// deadlines; who uses it closes it when it has waited enough.
type conn struct {
	link             *link
	data, complaints httpstream.Stream

	over chan struct{} // closed when the other side has nothing more to complain of
	why  string        // read after over

	once sync.Once
}

func newConn(l *link, data, complaints httpstream.Stream) *conn {
	c := &conn{link: l, data: data, complaints: complaints, over: make(chan struct{})}
	go func() { // Close waits for it
		defer close(c.over)
		text, _ := io.ReadAll(io.LimitReader(complaints, maxComplaint)) // what was cut short is still the best there is
		c.why = strings.Join(strings.Fields(string(text)), " ")
	}()
	return c
}

// Read implements net.Conn. Where it would end it fails if the other side says why.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.data.Read(p)
	if err == nil || n > 0 {
		return n, err
	}
	timer := time.NewTimer(complaintTime)
	defer timer.Stop()
	select {
	case <-c.over:
	case <-timer.C:
		return n, err
	}
	if c.why != "" {
		_ = c.link.conn.Close() // the next connection is to a pod that answers
		return n, &Error{context: c.link.context, err: fmt.Errorf("server pod %s does not answer: %s", c.link.pod, c.why), broken: true}
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) { return c.data.Write(p) }

// Close implements net.Conn.
func (c *conn) Close() (err error) {
	c.once.Do(func() {
		err = errors.Join(c.data.Reset(), c.complaints.Reset())
		c.link.conn.RemoveStreams(c.data, c.complaints)
		<-c.over
	})
	return err
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return address("netcheck") }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return address(fmt.Sprintf("%s:%d", c.link.pod, c.link.port)) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// address names one end.
type address string

// Network implements net.Addr.
func (address) Network() string { return "portforward" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
