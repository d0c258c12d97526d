package probe

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// rawAddr is a socket address as the kernel reads and writes it, kept to be used again: the
// unix.Sockaddr types allocate for every call.
type rawAddr struct {
	raw    [unix.SizeofSockaddrInet6]byte
	length uint32
}

// set makes a the address of to.
func (a *rawAddr) set(to netip.AddrPort) {
	addr := to.Addr()
	binary.BigEndian.PutUint16(a.raw[2:], to.Port())
	if addr.Is4() {
		binary.NativeEndian.PutUint16(a.raw[:], unix.AF_INET)
		bytes := addr.As4()
		copy(a.raw[4:], bytes[:])
		a.length = unix.SizeofSockaddrInet4
		return
	}
	binary.NativeEndian.PutUint16(a.raw[:], unix.AF_INET6)
	bytes := addr.As16()
	clear(a.raw[4:8]) // flow label
	copy(a.raw[8:], bytes[:])
	binary.NativeEndian.PutUint32(a.raw[24:], zoneIndex(addr))
	a.length = unix.SizeofSockaddrInet6
}

// get returns the address that the kernel wrote; the zero AddrPort for any family but IP.
func (a *rawAddr) get() netip.AddrPort {
	port := binary.BigEndian.Uint16(a.raw[2:])
	switch binary.NativeEndian.Uint16(a.raw[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.raw[4:8])), port)
	case unix.AF_INET6:
		addr := netip.AddrFrom16([16]byte(a.raw[8:24]))
		if zone := binary.NativeEndian.Uint32(a.raw[24:]); zone != 0 && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(strconv.Itoa(int(zone)))
		}
		return netip.AddrPortFrom(addr, port)
	}
	return netip.AddrPort{}
}

// zoneIndex returns the interface index of a link-local address's zone, which may be a name or a number; 0 when there is none.
func zoneIndex(addr netip.Addr) uint32 {
	zone := addr.Zone()
	if zone == "" {
		return 0
	}
	if i, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(i)
	}
	if link, err := net.InterfaceByName(zone); err == nil {
		return uint32(link.Index)
	}
	return 0
}
