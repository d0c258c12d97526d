package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tcpConns are the tcp probes on their way: each a fresh connection, driven by the engine's tick.
// Closing one sends RST: no TIME_WAIT here, and a third less work for the peer.
type tcpConns struct {
	active []*tcpConn
	free   []*tcpConn
	name   rawAddr
	out    []byte // scratch: a whole request
	in     []byte // scratch: what one read returns
}

type tcpConn struct {
	fd        int
	cookie    uint64
	to        netip.AddrPort
	connected bool
	rtt       time.Duration
	packet    [PacketSize]byte
	length    int // of the body
	written   int // of the request
	response  response
}

// start opens a connection for a probe.
func (s *tcpConns) start(f *family, out *Outgoing) error {
	domain := unix.AF_INET
	if f.v6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ErrNotSent
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		unix.Close(fd)
		return ErrNotSent
	}
	if f.local.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // saves ports where known
		if err := unix.Bind(fd, sockaddr(f.v6, f.local, 0)); err != nil {
			unix.Close(fd)
			return ErrNotSent
		}
	}
	s.name.set(out.To)
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&s.name.raw)), uintptr(s.name.length))
	switch errno {
	case 0, unix.EINPROGRESS:
	case unix.EAGAIN, unix.EADDRNOTAVAIL: // no free local port
		unix.Close(fd)
		return ErrNotSent
	default:
		unix.Close(fd)
		return errno
	}
	c := s.take()
	*c = tcpConn{fd: fd, cookie: out.Cookie, to: out.To, length: len(out.Packet)}
	copy(c.packet[:], out.Packet)
	s.active = append(s.active, c)
	return nil
}

func (s *tcpConns) take() *tcpConn {
	if n := len(s.free); n > 0 {
		c := s.free[n-1]
		s.free = s.free[:n-1]
		return c
	}
	return new(tcpConn)
}

// list appends what to poll for.
func (s *tcpConns) list(poll []unix.PollFd) []unix.PollFd {
	for _, c := range s.active {
		events := int16(unix.POLLIN)
		if !c.sent() {
			events |= unix.POLLOUT
		}
		poll = append(poll, unix.PollFd{Fd: int32(c.fd), Events: events})
	}
	return poll
}

// receive drives every connection that poll says has news; poll is what list appended.
func (s *tcpConns) receive(poll []unix.PollFd, a *Arrival, take func(*Arrival)) {
	kept := s.active[:0]
	for i, c := range s.active {
		if i >= len(poll) || poll[i].Revents == 0 {
			kept = append(kept, c)
			continue
		}
		done, code := s.drive(c)
		if !done {
			kept = append(kept, c)
			continue
		}
		*a = Arrival{Kind: TCP, Cookie: c.cookie, From: c.to, Code: code, RTT: c.rtt}
		if code == CodeNone {
			a.Data = c.response.body()
		}
		take(a)
		s.release(c)
	}
	s.active = kept
}

func (s *tcpConns) release(c *tcpConn) {
	unix.Close(c.fd)
	s.free = append(s.free, c)
}

// sent reports whether the whole request was written.
func (c *tcpConn) sent() bool { return c.written == len(requestHead(c.length))+c.length }

// drive moves one connection on; done says that its outcome is known: an answer, or the class of its error.
func (s *tcpConns) drive(c *tcpConn) (done bool, code Code) {
	if !c.sent() {
		if errno := s.write(c); errno == unix.EAGAIN {
			return false, CodeNone
		} else if errno != 0 {
			return true, c.classify(errno)
		}
		return false, CodeNone
	}
	if s.in == nil {
		s.in = make([]byte, 1<<15)
	}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&s.in[0])), uintptr(len(s.in)))
		switch {
		case errno == unix.EAGAIN:
			return false, CodeNone
		case errno != 0:
			return true, c.classify(errno)
		case n == 0: // closed before the answer was whole
			return true, CodeReset
		}
		if complete, broken := c.response.take(s.in[:n]); broken {
			return true, CodeBadAnswer
		} else if complete {
			return true, CodeNone
		}
	}
}

// write sends what is left of the request. The first call that gets through shows that the
// connection stands; its handshake is the kernel's own measure of the round trip.
func (s *tcpConns) write(c *tcpConn) unix.Errno {
	head := requestHead(c.length)
	s.out = append(s.out[:0], head...)
	s.out = append(s.out, c.packet[:]...)
	for len(s.out) < len(head)+c.length {
		s.out = append(s.out, 0)
	}
	rest := s.out[c.written:]
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return errno
	}
	if !c.connected {
		c.connected, c.rtt = true, handshake(c.fd)
	}
	c.written += int(n)
	return 0
}

// classify tells a connection that was refused from one that was reset after it stood.
func (c *tcpConn) classify(errno unix.Errno) Code {
	if c.connected && (errno == unix.ECONNREFUSED || errno == unix.EPIPE) {
		return CodeReset
	}
	return CodeOf(errno)
}

// handshake returns the smoothed round trip of a connection that has just been made: of one sample.
func handshake(fd int) time.Duration {
	var info [72]byte // struct tcp_info up to and with tcpi_rtt, in µs
	length := uint32(len(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 || length < uint32(len(info)) {
		return 0
	}
	return time.Duration(binary.NativeEndian.Uint32(info[68:])) * time.Microsecond
}

// abandon closes the connection of a probe that timed out: hung when it stood, else nobody answered at all.
func (s *tcpConns) abandon(cookie uint64) Code {
	for i, c := range s.active {
		if c.cookie != cookie {
			continue
		}
		s.active[i] = s.active[len(s.active)-1]
		s.active = s.active[:len(s.active)-1]
		s.release(c)
		if c.connected {
			return CodeHung
		}
		break
	}
	return CodeTimeout
}

func (s *tcpConns) close() {
	for _, c := range s.active {
		unix.Close(c.fd)
	}
	s.active = nil
}

// requestHead returns what precedes a body of length bytes.
func requestHead(length int) string {
	switch length {
	case PacketSize:
		return smallHead
	case bigBody:
		return bigHead
	}
	return fmt.Sprintf(headFormat, length)
}

const headFormat = "POST /probe HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n"

var (
	smallHead = fmt.Sprintf(headFormat, PacketSize)
	bigHead   = fmt.Sprintf(headFormat, bigBody)
)
