package evidence

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// compare takes one comparison into the rule, or says that it cannot be shown.
func (r *nftRule) compare(o operand, op uint32, value []byte) {
	equal, other := op == unix.NFT_CMP_EQ, op == unix.NFT_CMP_NEQ
	switch {
	case len(value) == 0:
	case o.what == "nfproto" && equal:
		return
	case o.what == "iif" && equal:
		r.drop.IIF = linkPattern(value)
		return
	case o.what == "oif" && equal:
		r.drop.OIF = linkPattern(value)
		return
	case o.what == "l4proto" && equal:
		r.setProto(value[0])
		return
	case o.what == "ctstate" && other && zero(value) && len(o.mask) >= 4: // state and mask is not 0
		r.drop.State = stateNames(binary.NativeEndian.Uint32(o.mask))
		return
	case o.what == "network" && (equal || other):
		if r.compareNetwork(o, value, other) {
			return
		}
	case o.what == "transport" && equal:
		if r.compareTransport(o, value) {
			return
		}
	}
	r.drop.Partly = true
}

func (r *nftRule) compareNetwork(o operand, value []byte, not bool) bool {
	src, dst, proto, size := uint32(12), uint32(16), uint32(9), 4
	if r.family == unix.AF_INET6 || r.family == 1 && o.size > 4 {
		src, dst, proto, size = 8, 24, 6, 16
	}
	if o.offset == proto && o.size == 1 && !not {
		r.setProto(value[0])
		return true
	}
	prefix, ok := prefixOf(value, o.mask, size)
	switch {
	case !ok:
		return false
	case o.offset == src:
		r.drop.Src, r.drop.SrcNot = prefix, not
	case o.offset == dst:
		r.drop.Dst, r.drop.DstNot = prefix, not
	default:
		return false
	}
	return true
}

// prefixOf makes a prefix of the first bytes of an address and an optional mask.
func prefixOf(value, mask []byte, size int) (netip.Prefix, bool) {
	if len(value) == 0 || len(value) > size || mask != nil && len(mask) != len(value) {
		return netip.Prefix{}, false
	}
	raw := make([]byte, size)
	copy(raw, value)
	length := 8 * len(value)
	if mask != nil {
		length = 0
		for _, m := range mask {
			length += bits.LeadingZeros8(^m)
			if m != 0xff {
				break
			}
		}
	}
	p, err := address(raw).Prefix(length)
	return p, err == nil
}

func (r *nftRule) compareTransport(o operand, value []byte) bool {
	switch {
	case o.offset == 2 && o.size == 2 && len(value) == 2 && o.mask == nil:
		port := binary.BigEndian.Uint16(value)
		r.drop.PortLow, r.drop.PortHigh = port, port
	case o.offset == 0 && o.size == 1 && o.mask == nil:
		r.icmpType = int16(value[0])
	case o.offset == 13 && o.size == 1 && len(o.mask) == 1 && value[0] == tcpSYN && o.mask[0]&(tcpSYN|tcpACK) == tcpSYN|tcpACK:
		r.drop.SYN = true
	default:
		return false
	}
	return true
}

// The flags of TCP that open and carry a connection.
const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

func (r *nftRule) between(o operand, op uint32, from, to []byte) {
	if o.what == "transport" && o.offset == 2 && op == unix.NFT_CMP_EQ && len(from) == 2 && len(to) == 2 {
		r.drop.PortLow, r.drop.PortHigh = binary.BigEndian.Uint16(from), binary.BigEndian.Uint16(to)
		return
	}
	r.drop.Partly = true
}

func (r *nftRule) setProto(p byte) {
	r.proto = p
	switch p {
	case unix.IPPROTO_TCP:
		r.drop.Proto = "tcp"
	case unix.IPPROTO_UDP:
		r.drop.Proto = "udp"
	case unix.IPPROTO_ICMP:
		r.drop.Proto = "icmp"
	case unix.IPPROTO_ICMPV6:
		r.drop.Proto = "icmpv6"
	case unix.IPPROTO_SCTP:
		r.drop.Proto = "sctp"
	default:
		r.drop.Proto = fmt.Sprint(p)
	}
}

// linkPattern is a link's name; one that is cut before its final zero stands for all that begin so.
func linkPattern(value []byte) string {
	if name := text(value); len(name) < len(value) {
		return name
	}
	return string(value) + "*"
}

// stateNames are the states of connection tracking that a mask selects.
func stateNames(mask uint32) string {
	var names []string
	for _, s := range []struct {
		bit  uint32
		name string
	}{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}} {
		if mask&s.bit != 0 {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ",")
}

func zero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
