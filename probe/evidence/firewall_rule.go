package evidence

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// nftRule is what became of a rule's expressions.
type nftRule struct {
	drop              probe.DropRule // Verdict is "" unless the rule drops
	accept, jump, nat bool
	family            byte
	loaded            map[uint32]operand // by register
	proto             byte
	// icmpType is the first byte of the transport header, which is that if the protocol is ICMP.
	icmpType int16
}

// operand is what an expression loaded into a register.
type operand struct {
	what         string // "iif", "oif", "l4proto", "network", "transport", "ctstate", "nfproto", "" for the rest
	offset, size uint32
	mask         []byte
}

// parseRuleMessage reads a rule. Loaded is cleared and used: a map for each of thousands of rules
// would be most of the work.
func parseRuleMessage(b []byte, loaded map[uint32]operand) (chainKey, nftRule) {
	clear(loaded)
	key := chainKey{family: b[0]}
	r := nftRule{family: b[0], loaded: loaded, icmpType: -1}
	r.drop.ICMPType = -1
	for kind, value := range attributes(b[nfGenSize:]) {
		switch kind {
		case unix.NFTA_RULE_TABLE:
			key.table = text(value)
		case unix.NFTA_RULE_CHAIN:
			key.name = text(value)
		case unix.NFTA_RULE_EXPRESSIONS:
			for _, element := range attributes(value) {
				r.expression(bareText(field(element, unix.NFTA_EXPR_NAME)), field(element, unix.NFTA_EXPR_DATA))
			}
		}
	}
	if r.proto == unix.IPPROTO_ICMP || r.proto == unix.IPPROTO_ICMPV6 {
		r.drop.ICMPType = max(r.drop.ICMPType, r.icmpType)
	} else if r.icmpType >= 0 {
		r.drop.Partly = true
	}
	return key, r
}

// bareText is text without making a string of it: a rule has many names, and no one keeps them.
func bareText(b []byte) []byte {
	if before, _, ok := bytes.Cut(b, []byte{0}); ok {
		return before
	}
	return b
}

// field returns the first attribute of a kind.
func field(b []byte, want uint16) []byte {
	for kind, value := range attributes(b) {
		if kind == want {
			return value
		}
	}
	return nil
}

func (r *nftRule) expression(name, data []byte) {
	register := func(kind uint16) uint32 { return big32(field(data, kind)) }
	switch string(name) {
	case "meta":
		r.loaded[register(unix.NFTA_META_DREG)] = metaOperand(register(unix.NFTA_META_KEY))
	case "ct":
		o := operand{}
		if register(unix.NFTA_CT_KEY) == unix.NFT_CT_STATE {
			o.what = "ctstate"
		}
		r.loaded[register(unix.NFTA_CT_DREG)] = o
	case "payload":
		o := operand{offset: register(unix.NFTA_PAYLOAD_OFFSET), size: register(unix.NFTA_PAYLOAD_LEN)}
		switch register(unix.NFTA_PAYLOAD_BASE) {
		case unix.NFT_PAYLOAD_NETWORK_HEADER:
			o.what = "network"
		case unix.NFT_PAYLOAD_TRANSPORT_HEADER:
			o.what = "transport"
		}
		r.loaded[register(unix.NFTA_PAYLOAD_DREG)] = o
	case "bitwise":
		o := r.loaded[register(unix.NFTA_BITWISE_SREG)]
		o.mask = slices.Clone(field(field(data, unix.NFTA_BITWISE_MASK), unix.NFTA_DATA_VALUE))
		r.loaded[register(unix.NFTA_BITWISE_DREG)] = o
	case "cmp":
		value := field(field(data, unix.NFTA_CMP_DATA), unix.NFTA_DATA_VALUE)
		r.compare(r.loaded[register(unix.NFTA_CMP_SREG)], register(unix.NFTA_CMP_OP), value)
	case "range":
		r.between(r.loaded[register(unix.NFTA_RANGE_SREG)], register(unix.NFTA_RANGE_OP),
			field(field(data, unix.NFTA_RANGE_FROM_DATA), unix.NFTA_DATA_VALUE), field(field(data, unix.NFTA_RANGE_TO_DATA), unix.NFTA_DATA_VALUE))
	case "immediate":
		if verdict := field(field(data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT); verdict != nil {
			r.verdict(int32(big32(field(verdict, unix.NFTA_VERDICT_CODE))))
		}
	case "reject":
		r.drop.Verdict = "reject"
	case "counter":
		if n := field(data, unix.NFTA_COUNTER_PACKETS); len(n) == 8 {
			r.drop.Packets = binary.BigEndian.Uint64(n)
		}
	case "match":
		r.match(bareText(field(data, unix.NFTA_MATCH_NAME)), big32(field(data, unix.NFTA_MATCH_REV)), field(data, unix.NFTA_MATCH_INFO))
	case "target":
		r.target(bareText(field(data, unix.NFTA_TARGET_NAME)))
	case "nat", "masq", "redir":
		r.nat = true
	case "log", "notrack":
	default: // sets, limits, sockets: conditions that are not shown
		r.drop.Partly = true
	}
}

func metaOperand(key uint32) operand {
	switch key {
	case unix.NFT_META_IIFNAME:
		return operand{what: "iif"}
	case unix.NFT_META_OIFNAME:
		return operand{what: "oif"}
	case unix.NFT_META_L4PROTO:
		return operand{what: "l4proto"}
	case unix.NFT_META_NFPROTO, unix.NFT_META_PROTOCOL:
		return operand{what: "nfproto"}
	}
	return operand{}
}

func (r *nftRule) verdict(code int32) {
	switch code {
	case 0:
		r.drop.Verdict = "drop"
	case 1:
		r.accept = true
	case unix.NFT_JUMP, unix.NFT_GOTO:
		r.jump = true
	}
}
