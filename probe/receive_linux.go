package probe

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	answerData = 256 // an answer has 80 bytes; longer ones are not ours and may be cut
	errorData  = 576 // what an ICMP error returns of a probe at most
	cookieAt   = 32  // offset of the cookie in a packet
)

// Receive implements Transport: one poll over everything, then only the sockets that have something.
func (s *sockets) Receive(take func(*Arrival)) {
	for i := range s.queued {
		take(&s.queued[i])
	}
	s.queued = s.queued[:0]
	s.poll = s.poll[:0]
	for _, f := range s.families {
		if f != nil {
			s.closeOld(f)
			s.listFamily(f)
		}
	}
	first := len(s.poll)
	s.poll = s.tcp.list(s.poll)
	if n, err := unix.Poll(s.poll, 0); n <= 0 || err != nil {
		return
	}
	i := 0
	for _, f := range s.families {
		if f != nil {
			i = s.receiveFamily(f, i, take)
		}
	}
	s.tcp.receive(s.poll[first:], &s.arrival, take)
}

func (s *sockets) listFamily(f *family) {
	for i := range f.udp {
		s.poll = append(s.poll, unix.PollFd{Fd: int32(f.udp[i].fd), Events: unix.POLLIN})
	}
	for i := range f.old {
		s.poll = append(s.poll, unix.PollFd{Fd: int32(f.old[i].fd), Events: unix.POLLIN})
	}
	s.poll = append(s.poll, unix.PollFd{Fd: int32(f.icmp.fd), Events: unix.POLLIN}) // -1 is ignored
}

// receiveFamily reads the sockets whose results begin at s.poll[i] and returns where they end.
func (s *sockets) receiveFamily(f *family, i int, take func(*Arrival)) int {
	for _, ports := range [2][]udpSocket{f.udp[:], f.old} {
		for j := range ports {
			if events := s.poll[i].Revents; events != 0 {
				s.receiveUDP(f, &ports[j], events, take)
			}
			i++
		}
	}
	if events := s.poll[i].Revents; events != 0 {
		if events&unix.POLLERR != 0 {
			s.errors(f.icmp.fd, ICMP, 0, take)
		}
		s.receiveICMP(f, take)
	}
	return i + 1
}

func (s *sockets) receiveUDP(f *family, u *udpSocket, events int16, take func(*Arrival)) {
	if events&unix.POLLERR != 0 {
		s.errors(u.fd, UDP, u.flow, take)
	}
	a := &s.arrival
	for full := true; full; {
		n := s.batch.Receive(u.fd)
		full = n == BatchLen
		for i := range n {
			c := s.batch.Control(i)
			if c.Drops > u.drops {
				s.drops += uint64(c.Drops - u.drops)
				u.drops = c.Drops
			}
			*a = Arrival{Kind: UDP, Flow: u.flow, From: s.batch.From(i), Data: s.batch.Data(i), Stamp: c.Stamp}
			take(a)
		}
	}
}

// errors reads the error queue of a socket and returns how many errors of earlier probes it held, and
// whether one of our own kernel's. name holds where the probe was going, the data what came
// back of it, which may be nothing.
func (s *sockets) errors(fd int, k Kind, flow uint8, take func(*Arrival)) (earlier int, own bool) {
	for range 64 {
		var name rawAddr
		var controls [batchControl]byte
		iov := unix.Iovec{Base: &s.errorData[0]}
		iov.SetLen(len(s.errorData))
		h := unix.Msghdr{Name: &name.raw[0], Namelen: uint32(len(name.raw)), Iov: &iov, Control: &controls[0]}
		h.SetIovlen(1)
		h.SetControllen(len(controls))
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errno != 0 {
			break
		}
		c := ParseControl(controls[:h.Controllen])
		if c.Code == CodeNone {
			continue
		}
		if c.Own {
			own = true
		} else {
			earlier++
		}
		a := &s.arrival
		*a = Arrival{Kind: k, Flow: flow, Code: c.Code, NextHop: c.NextHop, Cookie: errorCookie(k, s.errorData[:n])}
		if h.Namelen > 0 {
			a.From = name.get()
		}
		take(a)
	}
	return earlier, own
}

// errorCookie finds the cookie in what an error returned of a probe.
func errorCookie(k Kind, data []byte) uint64 {
	at := cookieAt
	if k == ICMP {
		at = icmpHeader
	}
	if len(data) < at+8 {
		return 0
	}
	return binary.BigEndian.Uint64(data[at:])
}

func (s *sockets) closeOld(f *family) {
	if len(f.old) == 0 {
		return
	}
	now := s.clock()
	kept := f.old[:0]
	for _, u := range f.old {
		if now.After(u.until) {
			unix.Close(u.fd)
			continue
		}
		kept = append(kept, u)
	}
	f.old = kept
}
