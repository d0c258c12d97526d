package probe

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// PacketSize is the length of a probe packet in bytes. An mtu request is padded with zeros beyond
// it, and so is every eighth tcp request; an answer over UDP is never longer than this.
const PacketSize = 80

// Version is the packet layout that this program speaks.
const Version = 1

// PacketType says what a packet is. The numbers travel on the wire: append only.
type PacketType uint8

const (
	// TypeRequest asks for an answer.
	TypeRequest PacketType = 1
	// TypeReply answers a request under the key that the request was tagged with.
	TypeReply PacketType = 2
	// TypeNotice answers a well-formed request whose key the responder does not hold. It cannot be
	// verified by the sender; it is believed for the cookie it echoes, and can only make a path unknown.
	TypeNotice PacketType = 3
)

// Packet is one probe packet in its decoded form. The tag is not part of it: Keys adds and checks it.
type Packet struct {
	Type   PacketType
	Kind   Kind
	Flow   uint8  // index of the source port, 0 to 15
	KeyID  uint32 // which key made the tag
	Sender uint64 // identity of the agent that asks
	Boot   uint64 // its start; a new one makes sequences begin anew
	Seq    uint32 // per destination and kind, from 1
	Period uint16 // the sender's regular interval for this destination and kind, in units of 10 ms
	Size   uint16 // length of the request as an IP packet, in bytes
	Cookie uint64 // echoed as it came

	Responder     uint64 // in a request the identity that is expected to answer, in a reply the one that does
	ResponderBoot uint64
	Received      uint64 // bit i: the udp sequence Highest-i of this sender arrived
	Highest       uint32 // highest udp sequence that arrived from this sender
	Hold          uint32 // ns between the kernel's receive stamp and the reply's departure, one clock
}

var (
	errShort   = errors.New("probe packet: shorter than 80 bytes")
	errVersion = errors.New("probe packet: unknown version")
	errType    = errors.New("probe packet: unknown type")
	errKind    = errors.New("probe packet: unknown kind")
	errFlow    = errors.New("probe packet: flow above 15")
)

// Encode writes the packet without its tag into the first 72 bytes of b, which must be PacketSize long at least.
func (p *Packet) Encode(b []byte) {
	_ = b[PacketSize-1]
	b[0], b[1], b[2], b[3] = Version, byte(p.Type), byte(p.Kind), p.Flow
	binary.BigEndian.PutUint32(b[4:], p.KeyID)
	binary.BigEndian.PutUint64(b[8:], p.Sender)
	binary.BigEndian.PutUint64(b[16:], p.Boot)
	binary.BigEndian.PutUint32(b[24:], p.Seq)
	binary.BigEndian.PutUint16(b[28:], p.Period)
	binary.BigEndian.PutUint16(b[30:], p.Size)
	binary.BigEndian.PutUint64(b[32:], p.Cookie)
	binary.BigEndian.PutUint64(b[40:], p.Responder)
	binary.BigEndian.PutUint64(b[48:], p.ResponderBoot)
	binary.BigEndian.PutUint64(b[56:], p.Received)
	binary.BigEndian.PutUint32(b[64:], p.Highest)
	binary.BigEndian.PutUint32(b[68:], p.Hold)
}

// Decode reads a packet from b and says what is wrong with its form; the tag is not looked at.
func (p *Packet) Decode(b []byte) error {
	switch {
	case len(b) < PacketSize:
		return errShort
	case b[0] != Version:
		return errVersion
	case b[1] < byte(TypeRequest) || b[1] > byte(TypeNotice):
		return errType
	case b[2] >= Kinds:
		return errKind
	case b[3] >= Flows:
		return errFlow
	}
	*p = Packet{
		Type: PacketType(b[1]), Kind: Kind(b[2]), Flow: b[3],
		KeyID:         binary.BigEndian.Uint32(b[4:]),
		Sender:        binary.BigEndian.Uint64(b[8:]),
		Boot:          binary.BigEndian.Uint64(b[16:]),
		Seq:           binary.BigEndian.Uint32(b[24:]),
		Period:        binary.BigEndian.Uint16(b[28:]),
		Size:          binary.BigEndian.Uint16(b[30:]),
		Cookie:        binary.BigEndian.Uint64(b[32:]),
		Responder:     binary.BigEndian.Uint64(b[40:]),
		ResponderBoot: binary.BigEndian.Uint64(b[48:]),
		Received:      binary.BigEndian.Uint64(b[56:]),
		Highest:       binary.BigEndian.Uint32(b[64:]),
		Hold:          binary.BigEndian.Uint32(b[68:]),
	}
	return nil
}

// Headers returns the bytes that IP and UDP add to a payload sent to addr.
func Headers(addr netip.Addr) int {
	if addr.Unmap().Is4() {
		return 20 + 8
	}
	return 40 + 8
}
