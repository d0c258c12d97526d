package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// MaxMeta is the most bytes that gossip carries about a member (memberlist's own limit).
const MaxMeta = 512

// MaxZone is the longest name of a zone: it is the value of a node's label. With node names of
// MaxName characters the largest meta has 358 bytes.
const MaxZone = 63

// metaVersion is the first byte of every meta. A reader takes what it knows of a newer minor
// layout: fields are only ever appended, and a layout that cannot be read so gets a new version.
const metaVersion = 1

// metaFlags is the index of the flags; unknown flags are ignored.
const (
	metaFlags   = 3
	metaLeaving = 1
)

// ErrMetaVersion says that a meta is of a version this program does not know.
var ErrMetaVersion = errors.New("unknown version of member data")

// AppendMeta appends the agent's meta to dst: everything but its name, which gossip carries itself.
//
//	version(1) role(1) network(1) flags(1) probe-port(2) gossip-port(2) mtu(2) boot(8)
//	node zone ipv4 ipv6, each as length(1) and bytes; integers are big-endian
func (a Agent) AppendMeta(dst []byte) []byte {
	dst = append(dst, metaVersion, byte(a.Role), byte(a.Network), 0)
	dst = binary.BigEndian.AppendUint16(dst, a.ProbePort)
	dst = binary.BigEndian.AppendUint16(dst, a.GossipPort)
	dst = binary.BigEndian.AppendUint16(dst, a.MTU)
	dst = binary.BigEndian.AppendUint64(dst, a.Boot)
	dst = appendString(dst, a.Node)
	dst = appendString(dst, a.Zone)
	dst = appendString(dst, string(a.IPv4.AsSlice()))
	return appendString(dst, string(a.IPv6.AsSlice()))
}

// MarkLeaving sets, in a meta that AppendMeta made, the flag of a member that goes on purpose.
// It travels in the meta because gossip's own news of a departure does not say why.
func MarkLeaving(meta []byte) { meta[metaFlags] |= metaLeaving }

// MetaLeaving reports whether the meta carries the flag of MarkLeaving. It never panics.
func MetaLeaving(meta []byte) bool {
	return len(meta) > metaFlags && meta[0] == metaVersion && meta[metaFlags]&metaLeaving != 0
}

func appendString(dst []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(dst, byte(len(s))), s...)
}

// ParseMeta reads what AppendMeta wrote about the member called name. Bytes after the known fields
// are a newer program's and are left alone. It never panics, whatever meta holds.
func ParseMeta(name string, meta []byte) (Agent, error) {
	if len(meta) == 0 || meta[0] != metaVersion {
		return Agent{}, ErrMetaVersion
	}
	if len(meta) < 18 {
		return Agent{}, fmt.Errorf("member data: %d bytes, want at least 18", len(meta))
	}
	a := Agent{Name: name, Role: Role(meta[1]), Key: Key{Network: Network(meta[2])},
		ProbePort:  binary.BigEndian.Uint16(meta[4:]),
		GossipPort: binary.BigEndian.Uint16(meta[6:]),
		MTU:        binary.BigEndian.Uint16(meta[8:]),
		Boot:       binary.BigEndian.Uint64(meta[10:]),
	}
	rest := meta[18:]
	var fields [4]string
	for i := range fields {
		if len(rest) == 0 {
			return Agent{}, errors.New("member data: cut short")
		}
		end := 1 + int(rest[0]) // an int: 1+255 is 0 in a byte
		if len(rest) < end {
			return Agent{}, errors.New("member data: cut short")
		}
		fields[i], rest = string(rest[1:end]), rest[end:]
	}
	a.Node, a.Zone = fields[0], fields[1]
	var err error
	if a.IPv4, err = metaAddr(fields[2], 4); err != nil {
		return Agent{}, err
	}
	if a.IPv6, err = metaAddr(fields[3], 16); err != nil {
		return Agent{}, err
	}
	return a, a.Check()
}

func metaAddr(b string, size int) (netip.Addr, error) {
	if b == "" {
		return netip.Addr{}, nil
	}
	if len(b) != size {
		return netip.Addr{}, fmt.Errorf("member data: address of %d bytes, want %d", len(b), size)
	}
	addr, _ := netip.AddrFromSlice([]byte(b))
	return addr, nil
}

// Check returns an error naming the first field of an advertised agent that cannot be right.
func (a Agent) Check() error {
	if err := CheckName("agent name", a.Name); err != nil {
		return err
	}
	if a.Role > RoleServer {
		return fmt.Errorf("agent %q: role %d: want 0 (agent) or 1 (server)", a.Name, a.Role)
	}
	if err := CheckName("node name", a.Node); err != nil {
		return fmt.Errorf("agent %q: %w", a.Name, err)
	}
	if a.Zone != "" {
		if err := CheckName("zone", a.Zone); err != nil {
			return fmt.Errorf("agent %q: %w", a.Name, err)
		}
		if len(a.Zone) > MaxZone {
			return fmt.Errorf("agent %q: zone %q has %d characters: at most %d are allowed",
				a.Name, a.Zone, len(a.Zone), MaxZone)
		}
	}
	if a.Network >= Networks {
		return fmt.Errorf("agent %q: network %d: want 0 (pod) or 1 (host)", a.Name, a.Network)
	}
	if !a.IPv4.IsValid() && !a.IPv6.IsValid() {
		return fmt.Errorf("agent %q: no address", a.Name)
	}
	if (a.IPv4.IsValid() && !a.IPv4.Is4()) || (a.IPv6.IsValid() && (!a.IPv6.Is6() || a.IPv6.Is4In6())) {
		return fmt.Errorf("agent %q: address of the wrong family: %v, %v", a.Name, a.IPv4, a.IPv6)
	}
	for _, addr := range []netip.Addr{a.IPv4, a.IPv6} {
		if addr.IsValid() && (addr.IsUnspecified() || addr.IsMulticast()) {
			return fmt.Errorf("agent %q: address %v: want the address of one host", a.Name, addr)
		}
	}
	return nil
}
