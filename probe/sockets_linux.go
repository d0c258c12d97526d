package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockets is the Transport on kernel sockets. They are raw non-blocking descriptors and not net.Conns:
// the runtime's poller would wake a thread for every packet, and wake-ups are what probing costs.
type sockets struct {
	families [2]*family // IPv4, IPv6; nil when not available
	why      [2]string  // why not
	tcp      tcpConns
	loop     loopback
	poll     []unix.PollFd
	batch    *Batch
	arrival  Arrival
	queued   []Arrival // errors found while sending
	name     rawAddr
	echo     [icmpHeader + icmpData]byte
	drops    uint64
	clock    func() time.Time

	errorData [errorData]byte
}

func newSockets(cfg *Config) (Transport, error) {
	s := &sockets{batch: NewBatch(answerData), clock: time.Now}
	var problems []error
	for i, wanted := range [...]bool{cfg.IPv4, cfg.IPv6} {
		if !wanted {
			continue
		}
		f := &family{v6: i == 1, local: [...]netip.Addr{cfg.Local4, cfg.Local6}[i]}
		if err := f.open(cfg.Off); err != nil {
			f.close()
			s.why[i] = err.Error()
			problems = append(problems, err)
			continue
		}
		s.families[i] = f
	}
	if s.families[0] == nil && s.families[1] == nil {
		return nil, errors.Join(problems...)
	}
	s.loop.open()
	return s, nil
}

// Available implements Transport.
func (s *sockets) Available(k Kind, addr netip.Addr) (ok bool, why string) {
	i := 0
	if addr.Is6() && !addr.Is4In6() {
		i = 1
	}
	f := s.families[i]
	switch {
	case f == nil:
		return false, fmt.Sprintf("IPv%d is off: %s", 4+2*i, s.why[i])
	case k == ICMP && f.icmp.fd < 0:
		return false, fmt.Sprintf("icmp probes over IPv%d are off: %s", 4+2*i, f.icmp.why)
	}
	return true, ""
}

// Send implements Transport.
func (s *sockets) Send(out *Outgoing) error {
	f := s.families[0]
	if out.To.Addr().Is6() {
		f = s.families[1]
	}
	if f == nil {
		return ErrOff
	}
	switch out.Kind {
	case TCP:
		return s.tcp.start(f, out)
	case ICMP:
		if f.icmp.fd < 0 {
			return ErrOff
		}
		s.name.set(netip.AddrPortFrom(out.To.Addr(), 0))
		return s.sendTo(f.icmp.fd, f.icmp.request(s.echo[:], out.Packet), out)
	}
	s.name.set(out.To)
	return s.sendTo(f.udp[out.Flow].fd, out.Packet, out)
}

// sendTo sends one datagram to s.name. An error that came in for an earlier probe of the same socket
// is handed to whoever sends next, be it EMSGSIZE to a small packet: such errors are taken off the
// queue, for the next Receive to hand over, and the packet is sent again. Only an error without such
// an explanation is this packet's own.
func (s *sockets) sendTo(fd int, packet []byte, out *Outgoing) error {
	for range 8 {
		errno := sendOnce(fd, packet, &s.name)
		switch errno {
		case 0:
			return nil
		case unix.EAGAIN:
			return ErrNotSent
		}
		if earlier, own := s.explain(fd, out); earlier == 0 || own {
			return errno
		}
	}
	return ErrNotSent
}

// explain empties the error queue after an error. Our own kernel's "too large" carries the MTU of
// the link but not the cookie of the probe, which is the one at hand.
func (s *sockets) explain(fd int, out *Outgoing) (earlier int, own bool) {
	return s.errors(fd, out.Kind, out.Flow, func(a *Arrival) {
		if a.Code == CodeTooBig && a.Cookie == 0 {
			a.Cookie = out.Cookie
		}
		if len(s.queued) < 1024 {
			s.queued = append(s.queued, *a)
		}
	})
}

// sendOnce is a raw system call: it does not block, so the scheduler need not know of it.
func sendOnce(fd int, packet []byte, to *rawAddr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(packet))),
		uintptr(len(packet)), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&to.raw)), uintptr(to.length))
	return errno
}

// Rotate implements Transport.
func (s *sockets) Rotate(flow int) error {
	for _, f := range s.families {
		if f == nil {
			continue
		}
		fd, err := openUDP(f.v6, f.local)
		if err != nil {
			return err
		}
		old := f.udp[flow]
		old.until = s.clock().Add(oldPort)
		f.old = append(f.old, old)
		f.udp[flow] = udpSocket{fd: fd, flow: uint8(flow)}
	}
	return nil
}

// Health implements Transport.
func (s *sockets) Health() Health {
	return Health{Dropped: s.drops, Loopback: s.loop.check()}
}

// Abandon implements Transport.
func (s *sockets) Abandon(k Kind, cookie uint64) Code {
	if k == TCP {
		return s.tcp.abandon(cookie)
	}
	return CodeTimeout
}

// Close implements Transport.
func (s *sockets) Close() error {
	for _, f := range s.families {
		if f != nil {
			f.close()
		}
	}
	s.tcp.close()
	s.loop.close()
	return nil
}
