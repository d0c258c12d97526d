package probe

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// loopback is a socket that sends to itself: when even that fails, the fault is here.
type loopback struct {
	fd   int
	name rawAddr
	sent byte // number of the last packet; 0: none yet
}

func (l *loopback) open() {
	l.fd = -1
	for _, local := range [...]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
		fd, err := openUDP(local.Is6(), local)
		if err != nil {
			continue
		}
		own, err := unix.Getsockname(fd)
		if err != nil {
			unix.Close(fd)
			continue
		}
		port := 0
		switch sa := own.(type) {
		case *unix.SockaddrInet4:
			port = sa.Port
		case *unix.SockaddrInet6:
			port = sa.Port
		}
		l.fd = fd
		l.name.set(netip.AddrPortFrom(local, uint16(port)))
		return
	}
}

// check reports whether the packet of the last call came back, and sends the next.
func (l *loopback) check() bool {
	if l.fd < 0 {
		return false
	}
	back := l.sent == 0
	var b [8]byte
	for {
		n, _, err := unix.Recvfrom(l.fd, b[:], unix.MSG_DONTWAIT)
		if err != nil {
			break
		}
		back = back || n == 1 && b[0] == l.sent
	}
	l.sent = max(l.sent+1, 1)
	b[0] = l.sent
	_ = sendOnce(l.fd, b[:1], &l.name) // a failure shows as an answer that does not come
	return back
}

func (l *loopback) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
}
