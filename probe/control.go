package probe

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// Numbers of the kernel's interface that the control messages carry; they are the same on every architecture.
const (
	solSocket, solIP, solIPv6  = 1, 0, 41
	scmTimestampNs, soRxqOvfl  = 35, 40
	ipPktInfo, ipv6PktInfo     = 8, 50
	ipRecvErr, ipv6RecvErr     = 11, 25
	originLocal                = 1
	extendedErrSize, wordBytes = 16, 4 << (^uintptr(0) >> 63) // struct sock_extended_err; size of a long
)

// Control is what the kernel says beside a packet.
type Control struct {
	Stamp   int64      // receive time, ns since 1970; 0: none
	Drops   uint32     // packets dropped on this socket so far; 0: none said
	Local   netip.Addr // the address of ours that the packet was sent to; zero: not said
	Link    uint32     // index of the interface it came in by; 0: not said
	Code    Code       // class of an error from the error queue
	NextHop uint16     // MTU that came with EMSGSIZE
	Own     bool       // the error is our own kernel's, made while sending
}

// ParseControl reads control messages as recvmsg returns them. It takes anything without a panic:
// what is cut short or not known is skipped.
func ParseControl(b []byte) (c Control) {
	const header = wordBytes + 8 // cmsg_len, cmsg_level, cmsg_type
	for len(b) >= header {
		length := nativeWord(b)
		if length < header || length > uint64(len(b)) {
			return c
		}
		level := binary.NativeEndian.Uint32(b[wordBytes:])
		kind := binary.NativeEndian.Uint32(b[wordBytes+4:])
		c.take(level, kind, b[header:length])
		next := (length + wordBytes - 1) &^ (wordBytes - 1)
		if next >= uint64(len(b)) {
			return c
		}
		b = b[next:]
	}
	return c
}

func (c *Control) take(level, kind uint32, data []byte) {
	switch {
	case level == solSocket && kind == scmTimestampNs && len(data) >= 2*wordBytes:
		c.Stamp = int64(nativeWord(data))*1e9 + int64(nativeWord(data[wordBytes:]))
	case level == solSocket && kind == soRxqOvfl && len(data) >= 4:
		c.Drops = binary.NativeEndian.Uint32(data)
	case level == solIP && kind == ipPktInfo && len(data) >= 12: // struct in_pktinfo
		c.Link = binary.NativeEndian.Uint32(data)
		c.Local = netip.AddrFrom4([4]byte(data[4:8]))
	case level == solIPv6 && kind == ipv6PktInfo && len(data) >= 20: // struct in6_pktinfo
		c.Link = binary.NativeEndian.Uint32(data[16:])
		c.Local = netip.AddrFrom16([16]byte(data[:16]))
	case (level == solIP && kind == ipRecvErr || level == solIPv6 && kind == ipv6RecvErr) && len(data) >= extendedErrSize:
		c.takeError(data)
	}
}

// takeError reads a struct sock_extended_err.
func (c *Control) takeError(data []byte) {
	errno := syscall.Errno(binary.NativeEndian.Uint32(data))
	info := binary.NativeEndian.Uint32(data[8:])
	c.Own = data[4] == originLocal
	switch {
	case errno == 0:
		return
	case errno == syscall.EACCES && !c.Own:
		// ICMPv6 "administratively prohibited" comes as EACCES; over IPv4 the same refusal is
		// EHOSTUNREACH. Only our own kernel's refusal may be called not permitted.
		c.Code = CodeHostUnreachable
	default:
		c.Code = CodeOf(errno)
	}
	if errno == syscall.EMSGSIZE && info < 1<<16 {
		c.NextHop = uint16(info)
	}
}

// nativeWord reads a C long, or the size_t of cmsg_len.
func nativeWord(b []byte) uint64 {
	if wordBytes == 8 {
		return binary.NativeEndian.Uint64(b)
	}
	return uint64(binary.NativeEndian.Uint32(b))
}
