package echo

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// gather is how long a listener waits between being woken and reading. Answers are that much later,
// which their hold time takes out of the round trip, and at 1,000 requests a second twenty are answered
// per wake-up instead of one: wake-ups are what answering costs. The sender looks every 50 ms anyway.
const gather = 20 * time.Millisecond

// listener answers on one UDP socket. The socket is not in the runtime's poller, which would wake a
// thread for each packet also while the listener gathers, but in an epoll of its own that reports
// once until it is armed again; the runtime polls that epoll. Nor does the listener block in a system
// call: then the runtime's monitor thread polls every 20 µs, a third of all the CPU in a measurement.
type listener struct {
	r     *Responder
	fd    int
	epoll int
	ready *os.File // the epoll
	v6    bool
	port  uint16
	batch *probe.Batch
	drops uint32
	reply [probe.PacketSize]byte
	out   [8]uint64 // control message: the address to answer from; words for the alignment
}

func listen(r *Responder, v6 bool, local netip.Addr, port uint16) (*listener, error) {
	l := &listener{r: r, v6: v6, fd: -1, batch: probe.NewBatch(probe.PacketSize)}
	if err := l.open(local, port); err != nil {
		l.close()
		family := 4
		if v6 {
			family = 6
		}
		return nil, fmt.Errorf("listen on udp port %d over IPv%d: %w", port, family, err)
	}
	return l, nil
}

func (l *listener) open(local netip.Addr, port uint16) (err error) {
	domain, level, info := unix.AF_INET, unix.IPPROTO_IP, unix.IP_PKTINFO
	if l.v6 {
		domain, level, info = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	if l.fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	options := [][3]int{
		{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1}, {unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, 4 << 20}, {level, info, 1},
	}
	if l.v6 {
		options = append(options, [3]int{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1})
	} else { // don't fragment 80 bytes: it spares the kernel the choice of an IP identification
		options = append(options, [3]int{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(l.fd, o[0], o[1], o[2]); err != nil {
			return fmt.Errorf("option %d: %w", o[1], err)
		}
	}
	if err := unix.Bind(l.fd, bindTo(l.v6, local, port)); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	name, err := unix.Getsockname(l.fd)
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	switch sa := name.(type) {
	case *unix.SockaddrInet4:
		l.port = uint16(sa.Port)
	case *unix.SockaddrInet6:
		l.port = uint16(sa.Port)
	}
	return l.watch()
}

// watch puts the socket into an epoll, and that into the runtime's poller.
func (l *listener) watch() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil {
		unix.Close(epoll)
		return fmt.Errorf("epoll: %w", err)
	}
	l.epoll, l.ready = epoll, os.NewFile(uintptr(epoll), "epoll")
	event := unix.EpollEvent{Fd: int32(l.fd)} // reports nothing before it is armed
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, l.fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// wait returns when the socket has something to read, or with an error when the listener is to end.
func (l *listener) wait(conn syscall.RawConn) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(l.fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, l.fd, &event); err != nil {
		return err
	}
	var events [1]unix.EpollEvent
	return conn.Read(func(uintptr) bool {
		n, err := unix.EpollWait(l.epoll, events[:], 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

func bindTo(v6 bool, local netip.Addr, port uint16) unix.Sockaddr {
	if v6 {
		sa := &unix.SockaddrInet6{Port: int(port)}
		if local.Is6() {
			sa.Addr = local.As16()
		}
		return sa
	}
	sa := &unix.SockaddrInet4{Port: int(port)}
	if local = local.Unmap(); local.Is4() {
		sa.Addr = local.As4()
	}
	return sa
}

// run answers until ctx ends.
func (l *listener) run(ctx context.Context) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = l.ready.SetReadDeadline(time.Unix(1, 0)) // frees wait
	})
	defer func() {
		if !stop() {
			<-ended // before the file is closed
		}
	}()
	conn, err := l.ready.SyscallConn()
	steady := false // requests come so often that it is cheaper not to ask to be woken
	for err == nil && ctx.Err() == nil {
		if !steady {
			asked := time.Now()
			if err = l.wait(conn); err != nil {
				break
			}
			steady = time.Since(asked) < gather
		}
		time.Sleep(gather)
		n := l.serve()
		steady = steady && n > 0
		for n == probe.BatchLen {
			n = l.serve()
		}
	}
	if ctx.Err() == nil {
		l.r.cfg.Log.Error("wait for probes", "error", err)
	}
}

// serve answers one batch and returns how many datagrams it had.
func (l *listener) serve() int {
	n := l.batch.Receive(l.fd)
	for i := range n {
		c := l.batch.Control(i)
		if c.Drops > l.drops {
			l.r.countDrops(uint64(c.Drops - l.drops))
			l.drops = c.Drops
		}
		if !l.r.Answer(l.reply[:], l.batch.Data(i), l.batch.From(i), l.r.cfg.Clock()) {
			continue
		}
		hold := time.Duration(0)
		if c.Stamp != 0 {
			hold = time.Duration(l.r.cfg.Clock().Wall - c.Stamp)
		}
		l.r.Seal(l.reply[:], hold)
		l.send(l.batch.Name(i), c)
	}
	return n
}

// send sends the reply from the address that was asked: a host has several, and the sender accepts no other.
func (l *listener) send(to []byte, c probe.Control) {
	iov := unix.Iovec{Base: &l.reply[0]}
	iov.SetLen(len(l.reply))
	h := unix.Msghdr{Name: &to[0], Namelen: uint32(len(to)), Iov: &iov}
	h.SetIovlen(1)
	if n := l.source(c); n > 0 {
		h.Control = (*byte)(unsafe.Pointer(&l.out))
		h.SetControllen(n)
	}
	// A reply that cannot be sent is a lost reply; the sender will tell.
	_, _, _ = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(l.fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
}

// source writes the control message that chooses the source address, and returns its length.
func (l *listener) source(c probe.Control) int {
	if !c.Local.IsValid() {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&l.out))
	data := unsafe.Slice((*byte)(unsafe.Pointer(&l.out)), unsafe.Sizeof(l.out))[unix.CmsgLen(0):]
	if l.v6 { // struct in6_pktinfo: address, interface
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(20))
		addr := c.Local.As16()
		copy(data, addr[:])
		link := uint32(0)
		if c.Local.IsLinkLocalUnicast() { // means nothing without its interface
			link = c.Link
		}
		binary.NativeEndian.PutUint32(data[16:], link)
		return unix.CmsgSpace(20)
	}
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO // struct in_pktinfo: interface, source, destination
	h.SetLen(unix.CmsgLen(12))
	addr := c.Local.As4()
	binary.NativeEndian.PutUint32(data, 0)
	copy(data[4:], addr[:])
	return unix.CmsgSpace(12)
}

func (l *listener) close() {
	if l.ready != nil {
		l.ready.Close()
	}
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
	l.ready, l.fd = nil, -1
}
