package probe

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// family is the sockets of IPv4 or of IPv6.
type family struct {
	v6    bool
	local netip.Addr
	udp   [Flows]udpSocket
	old   []udpSocket // replaced ports, open for late answers
	icmp  icmpSocket
}

type udpSocket struct {
	fd    int
	flow  uint8
	drops uint32    // the kernel's count at the last packet
	until time.Time // when to close a replaced one
}

// oldPort is how long a replaced source port is still read.
const oldPort = 2 * time.Second

// open opens the udp sockets, which must succeed, and the icmp socket, which may not.
func (f *family) open(off [Kinds]bool) error {
	for i := range f.udp {
		f.udp[i].fd = -1
	}
	f.icmp.fd = -1
	for i := range f.udp {
		fd, err := openUDP(f.v6, f.local)
		if err != nil {
			return err
		}
		f.udp[i] = udpSocket{fd: fd, flow: uint8(i)}
	}
	if !off[ICMP] {
		f.icmp.open(f.v6, f.local)
	}
	return nil
}

func (f *family) close() {
	for _, u := range append(f.udp[:], f.old...) {
		if u.fd >= 0 {
			unix.Close(u.fd)
		}
	}
	if f.icmp.fd >= 0 {
		unix.Close(f.icmp.fd)
	}
}

// openUDP opens one source port. Don't-fragment is set in the way that ignores what the kernel
// believes of the path's MTU: a cached value would turn every later mtu probe into a local error.
func openUDP(v6 bool, local netip.Addr) (fd int, err error) {
	domain, name := unix.AF_INET, "IPv4"
	options := [][3]int{
		{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1}, {unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, 1 << 20}, {unix.SOL_SOCKET, unix.SO_SNDBUF, 1 << 20},
		{unix.IPPROTO_IP, unix.IP_RECVERR, 1}, {unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
	}
	if v6 {
		domain, name = unix.AF_INET6, "IPv6"
		options = append(options[:4],
			[3]int{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}, [3]int{unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1},
			[3]int{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE})
	}
	fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, fmt.Errorf("open %s udp socket: %w", name, err)
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("set option %d of %s udp socket: %w", o[1], name, err)
		}
	}
	if err := unix.Bind(fd, sockaddr(v6, local, 0)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind %s udp socket to %q: %w", name, local, err)
	}
	return fd, nil
}

// sockaddr returns local and port for bind; the unspecified address when local is not of that family.
func sockaddr(v6 bool, local netip.Addr, port int) unix.Sockaddr {
	local = local.Unmap()
	if v6 {
		sa := &unix.SockaddrInet6{Port: port}
		if local.Is6() {
			sa.Addr, sa.ZoneId = local.As16(), zoneIndex(local)
		}
		return sa
	}
	sa := &unix.SockaddrInet4{Port: port}
	if local.Is4() {
		sa.Addr = local.As4()
	}
	return sa
}
