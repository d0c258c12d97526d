package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// The kernel's tables are read by a few lines of our own instead of a library's lists: a node with
// 50,000 neighbours or a million routes must not become as many objects, and a reading that takes
// too long must end instead of being drained.

var (
	errTime        = errors.New("out of time")
	errInterrupted = errors.New("the table changed while it was read")
	errShort       = errors.New("message cut off")
)

// bufferSize is more than the kernel puts into one datagram of a dump.
const bufferSize = 64 << 10

// buffers spares each table of each reading a buffer of its own.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// netlinkConn asks one netlink family. After an error nothing more may be asked of it.
type netlinkConn struct {
	fd   int
	seq  uint32
	buf  *[bufferSize]byte
	stop time.Time
}

func dialNetlink(family int, stop time.Time) (*netlinkConn, error) {
	left := time.Until(stop)
	if left <= 0 {
		return nil, errTime
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	wait := unix.NsecToTimeval(int64(max(left, time.Millisecond)))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &netlinkConn{fd: fd, buf: buffers.Get().(*[bufferSize]byte), stop: stop}, nil
}

func (c *netlinkConn) close() {
	unix.Close(c.fd)
	buffers.Put(c.buf)
}

// ask sends a request and calls each with the type and body of every answer, which are only valid
// during the call. It ends with the last answer, an error, or the end of the time.
func (c *netlinkConn) ask(kind, flags uint16, body []byte, each func(kind uint16, body []byte)) error {
	c.seq++
	request := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	request = binary.NativeEndian.AppendUint16(request, kind)
	request = binary.NativeEndian.AppendUint16(request, flags|unix.NLM_F_REQUEST)
	request = binary.NativeEndian.AppendUint32(request, c.seq)
	request = binary.NativeEndian.AppendUint32(request, 0)
	if err := unix.Sendto(c.fd, append(request, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink request: %w", err)
	}
	interrupted := false
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf[:], 0)
		if errors.Is(err, unix.EINTR) && time.Now().Before(c.stop) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return errTime
		}
		if err != nil {
			return fmt.Errorf("netlink answer: %w", err)
		}
		done, err := c.answers(c.buf[:n], &interrupted, each)
		switch {
		case err != nil:
			return err
		case done && interrupted:
			return errInterrupted
		case done:
			return nil
		case time.Now().After(c.stop):
			return errTime
		}
	}
}

// answers walks one datagram. Done says that no more will come.
func (c *netlinkConn) answers(b []byte, interrupted *bool, each func(uint16, []byte)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return false, errShort
		}
		kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		seq, body := binary.NativeEndian.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:size]
		b = b[min(len(b), (size+3)&^3):]
		if seq != c.seq {
			continue
		}
		*interrupted = *interrupted || flags&unix.NLM_F_DUMP_INTR != 0
		if kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR {
			if len(body) >= 4 {
				if errno := int32(binary.NativeEndian.Uint32(body)); errno < 0 {
					return true, unix.Errno(-errno)
				}
			}
			return true, nil
		}
		each(kind, body)
		done = flags&unix.NLM_F_MULTI == 0
	}
	return done, nil
}

// dump calls each for every entry of a table of the routing family. A table that changes
// meanwhile is read once more, after reset.
func dump(stop time.Time, kind uint16, request []byte, reset func(), each func(body []byte)) error {
	var err error
	for range 2 {
		reset()
		if err = dumpOnce(stop, kind, request, each); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

func dumpOnce(stop time.Time, kind uint16, request []byte, each func(body []byte)) error {
	c, err := dialNetlink(unix.NETLINK_ROUTE, stop)
	if err != nil {
		return err
	}
	defer c.close()
	// The answers to GETLINK are NEWLINK, and so on: two less.
	return c.ask(kind, unix.NLM_F_DUMP, request, func(got uint16, body []byte) {
		if got == kind-2 {
			each(body)
		}
	})
}

// attributes walks the attributes of a message or of an attribute that holds others, and ends at
// the first malformed one.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if size < unix.SizeofRtAttr || size > len(b) || !yield(kind, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// attribute appends one attribute with its padding.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func number32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func number64(b []byte, at int) uint64 {
	if len(b) < at+8 {
		return 0
	}
	return binary.NativeEndian.Uint64(b[at:])
}

// text is a string that ends with a zero byte.
func text(b []byte) string { return unix.ByteSliceToString(b) }

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func macOf(b []byte) (m probe.MAC) {
	if len(b) == len(m) { // infiniband's and tunnels' are of other sizes
		copy(m[:], b)
	}
	return m
}
