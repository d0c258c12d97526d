package evidence

import "encoding/binary"

// match takes a match of iptables, which iptables-nft wraps as it is. The structures are those of
// linux/netfilter/xt_*.h, in the machine's byte order.
func (r *nftRule) match(name []byte, revision uint32, info []byte) {
	switch string(name) {
	case "comment":
		return
	case "tcp", "udp":
		if r.matchPorts(string(name), info) {
			return
		}
	case "icmp", "icmp6":
		if len(info) >= 4 && info[3] == 0 {
			if info[0] != 0xff { // any
				r.drop.ICMPType = int16(info[0])
			}
			r.drop.Partly = r.drop.Partly || info[1] != 0 || info[2] != 0xff // some codes of it
			return
		}
	case "conntrack", "state":
		if r.matchState(string(name), revision, info) {
			return
		}
	}
	r.drop.Partly = true
}

// matchPorts reads struct xt_tcp and struct xt_udp: source ports, destination ports, and of tcp
// options and flags; then which of it is inverted.
func (r *nftRule) matchPorts(name string, info []byte) bool {
	if len(info) < 10 || name == "tcp" && len(info) < 12 {
		return false
	}
	port := func(at int) uint16 { return binary.NativeEndian.Uint16(info[at:]) }
	inverted := info[8]
	if name == "tcp" {
		inverted = info[11]
	}
	if inverted != 0 || port(0) != 0 || port(2) != 0xffff {
		return false
	}
	if low, high := port(4), port(6); low != 0 || high != 0xffff {
		r.drop.PortLow, r.drop.PortHigh = low, high
	}
	if name == "udp" {
		return true
	}
	option, mask, compare := info[8], info[9], info[10]
	if mask != 0 {
		if compare != tcpSYN || mask&(tcpSYN|tcpACK) != tcpSYN|tcpACK {
			return false
		}
		r.drop.SYN = true
	}
	return option == 0
}

// matchState reads the state mask of struct xt_conntrack_mtinfo and struct xt_state_info.
func (r *nftRule) matchState(name string, revision uint32, info []byte) bool {
	if name == "state" {
		if len(info) < 4 {
			return false
		}
		r.drop.State = stateNames(binary.NativeEndian.Uint32(info))
		return true
	}
	// Eight addresses, two times, a protocol and four ports come before the flags.
	const flagsAt, onlyState = 146, 1
	if len(info) < flagsAt+8 || binary.NativeEndian.Uint16(info[flagsAt:]) != onlyState {
		return false
	}
	mask := uint32(binary.NativeEndian.Uint16(info[flagsAt+4:]))
	if revision < 2 {
		mask = uint32(info[flagsAt+4])
	}
	inverted := binary.NativeEndian.Uint16(info[flagsAt+2:])
	if mask&^0x0f != 0 || inverted&^onlyState != 0 {
		return false // states of address translation
	}
	if inverted != 0 {
		mask = ^mask & 0x0f
	}
	r.drop.State = stateNames(mask)
	return true
}

// target takes a target of iptables.
func (r *nftRule) target(name []byte) {
	switch string(name) {
	case "REJECT":
		r.drop.Verdict = "reject"
	case "DROP":
		r.drop.Verdict = "drop"
	case "MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP":
		r.nat = true
	}
}
