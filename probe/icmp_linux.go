package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	icmpHeader                  = 8
	icmpEcho, icmpEchoReply     = 8, 0
	icmpv6Echo, icmpv6EchoReply = 128, 129
	solRaw, icmpFilter          = 255, 1
	acceptOnlyEchoReply         = -1 - 1<<icmpEchoReply // bits of the types that the filter keeps out
)

// icmpSocket sends echo requests: an unprivileged ping socket where net.ipv4.ping_group_range lets
// us, else a raw one where we hold CAP_NET_RAW, else none.
type icmpSocket struct {
	fd  int // -1: none
	raw bool
	v6  bool
	id  uint16 // of a raw socket; the kernel chooses a ping socket's
	seq uint16
	why string // why there is none
}

func (c *icmpSocket) open(v6 bool, local netip.Addr) {
	c.v6 = v6
	domain, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if v6 {
		domain, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		var rawErr error
		fd, rawErr = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
		if rawErr != nil {
			c.fd = -1
			c.why = fmt.Sprintf("ping socket: %v (group not in net.ipv4.ping_group_range), raw socket: %v (no CAP_NET_RAW)", err, rawErr)
			return
		}
		c.raw, c.id = true, uint16(unix.Getpid())
	}
	if err := c.configure(fd, local); err != nil {
		unix.Close(fd)
		c.fd, c.why = -1, err.Error()
		return
	}
	c.fd = fd
}

func (c *icmpSocket) configure(fd int, local netip.Addr) error {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if c.v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	for _, o := range [][3]int{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1}, {unix.SOL_SOCKET, unix.SO_RCVBUF, 1 << 20}, {level, option, 1}} {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return fmt.Errorf("set option %d of icmp socket: %w", o[1], err)
		}
	}
	if c.raw && c.v6 {
		filter := unix.ICMPv6Filter{}
		for i := range filter.Data {
			filter.Data[i] = 1<<32 - 1
		}
		filter.Data[icmpv6EchoReply/32] &^= 1 << (icmpv6EchoReply % 32)
		if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
			return fmt.Errorf("filter icmp socket: %w", err)
		}
	} else if c.raw {
		if err := unix.SetsockoptInt(fd, solRaw, icmpFilter, acceptOnlyEchoReply); err != nil {
			return fmt.Errorf("filter icmp socket: %w", err)
		}
	}
	if local.IsValid() {
		if err := unix.Bind(fd, sockaddr(c.v6, local, 0)); err != nil {
			return fmt.Errorf("bind icmp socket to %q: %w", local, err)
		}
	}
	return nil
}

// request builds an echo request around data in b.
func (c *icmpSocket) request(b, data []byte) []byte {
	b = b[:icmpHeader+copy(b[icmpHeader:], data)]
	c.seq++
	b[0], b[1], b[2], b[3] = icmpEcho, 0, 0, 0
	if c.v6 {
		b[0] = icmpv6Echo
	}
	binary.BigEndian.PutUint16(b[4:], c.id)
	binary.BigEndian.PutUint16(b[6:], c.seq)
	if c.raw && !c.v6 { // in the other cases the kernel does it
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// reply returns the data of an echo reply to this socket; nil for anything else.
func (c *icmpSocket) reply(b []byte) []byte {
	if c.raw && !c.v6 { // raw IPv4 sockets get the IP header too
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return nil
		}
		b = b[int(b[0]&15)*4:]
	}
	want := byte(icmpEchoReply)
	if c.v6 {
		want = icmpv6EchoReply
	}
	if len(b) < icmpHeader || b[0] != want || c.raw && binary.BigEndian.Uint16(b[4:]) != c.id {
		return nil
	}
	return b[icmpHeader:]
}

// checksum is the Internet checksum, RFC 1071.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (s *sockets) receiveICMP(f *family, take func(*Arrival)) {
	a := &s.arrival
	for full := true; full; {
		n := s.batch.Receive(f.icmp.fd)
		full = n == BatchLen
		for i := range n {
			if data := f.icmp.reply(s.batch.Data(i)); data != nil {
				from := netip.AddrPortFrom(s.batch.From(i).Addr(), 0)
				*a = Arrival{Kind: ICMP, From: from, Data: data, Stamp: s.batch.Control(i).Stamp}
				take(a)
			}
		}
	}
}
