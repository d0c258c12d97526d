package probe

import (
	"net/netip"
	"strings"
	"time"
)

// Snapshot is what one agent read of its own network namespace: facts, no verdicts. It holds
// addresses, link names and numbers, and never a key, a process name or a command line. What it
// does not hold was absent, unless Missing names its part or LeftOut counts it.
type Snapshot struct {
	// At is when the reading ended, by the node's own clock (UTC). Only differences of the same
	// node's times mean something.
	At time.Time
	// Interval is the time that every growth in this snapshot covers; 0 in the first reading,
	// which has no growth at all.
	Interval time.Duration
	// Took is how long the reading took.
	Took time.Duration

	Links     []Link     // by index
	Routes    []Route    // of all tables, most specific first within a table
	Rules     []Rule     // of both families, by priority
	Lookups   []Lookup   // what the kernel answers when asked for the way to a peer
	Neighbors []Neighbor // those that concern peers, next hops and tunnel ends
	FDB       []FDB      // entries of tunnel devices and of bridges, for the same
	Listeners []Listener // ports of the overlay and of the agent itself

	// Counters are those of the namespace (of the machine where Counter says so).
	Counters [Counters]Count
	// Sysctls are settings and levels by name as sysctl(8) writes them, for instance
	// "net.ipv4.ip_forward" or "net.ipv4.conf.eth0.rp_filter"; a dot in an interface's name is a
	// slash there. What this namespace does not have is not there.
	Sysctls map[string]int64
	// NeighborTable counts all neighbours of the namespace by state and family, kept or not.
	NeighborTable NeighborTable

	// Firewall is nil unless the agent may read it (NET_ADMIN).
	Firewall *Firewall
	// Missing says which parts could not be read, or only in part, and why.
	Missing []Missing
	// LeftOut counts what was there but concerns no peer, or was too much.
	LeftOut LeftOut
}

// Missing is a part of a snapshot that could not be read.
type Missing struct {
	Part string // "links", "addresses", "routes", "rules", "lookups", "neighbors", "fdb", "counters", "sysctls", "listeners", "firewall", "offload"
	Why  string // an error's text
}

// LeftOut counts the entries that a reading saw and did not keep.
type LeftOut struct {
	Links, Addrs, Routes, Rules, Lookups, Neighbors, FDB, FirewallRules int
}

// MAC is a 48-bit link address; the zero MAC where a link has none.
type MAC [6]byte

const hexDigits = "0123456789abcdef"

// String returns the address as "02:00:00:00:00:03".
func (m MAC) String() string {
	out := make([]byte, 0, 17)
	for i, b := range m {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, hexDigits[b>>4], hexDigits[b&15])
	}
	return string(out)
}

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// IsZero reports whether there is no address.
func (m MAC) IsZero() bool { return m == MAC{} }

// Link is a network interface.
type Link struct {
	Name string
	// Kind is the kernel's name of a virtual link ("bridge", "vxlan", "veth", "wireguard",
	// "geneve", "ipip", "tun", "dummy", …); "" for a physical one, "loopback" for lo.
	Kind  string
	Index int
	// Master is the bridge or bond that it is a port of, Lower the link below it in the same
	// namespace (a vlan's, a vxlan's when bound to one); "" for none.
	Master, Lower string
	// Up is the administrator's will; LowerUp is the carrier: somebody is at the other end.
	Up, LowerUp bool
	Oper        OperState
	MTU         int // bytes
	MAC         MAC
	Addrs       []netip.Prefix // with host bits, in the kernel's order
	Qdisc       string         // root queueing discipline; "" or "noqueue" for none
	VXLAN       *VXLAN         // nil unless Kind is "vxlan"
	Offload     Offload
	RX, TX      Traffic
}

// VXLAN are the attributes of a vxlan device.
type VXLAN struct {
	ID       uint32 // VNI
	Port     uint16 // UDP destination port
	Local    netip.Addr
	Learning bool
}

// Traffic counts frames of a link in one direction since the last reading; see Snapshot.Interval.
// Dropped grows on healthy nodes too: compare nodes.
type Traffic struct {
	Packets, Errors, Dropped uint64
}

// OperState is the operational state of a link (RFC 2863), numbered as by the kernel.
type OperState uint8

// The states of a link.
const (
	OperUnknown OperState = iota // the driver does not say; normal for vxlan and lo
	OperNotPresent
	OperDown
	OperLowerDown // the link below it is down
	OperTesting
	OperDormant
	OperUp
)

var operNames = [...]string{"unknown", "not_present", "down", "lower_layer_down", "testing", "dormant", "up"}

// String returns the state in lower case, such as "lower_layer_down".
func (s OperState) String() string {
	if int(s) < len(operNames) {
		return operNames[s]
	}
	return "unknown"
}

// Offload is a set of tasks that the kernel leaves to a link. Known tells "none" from "not read".
type Offload uint8

// The offloads.
const (
	OffloadKnown Offload = 1 << iota
	OffloadTXChecksum
	OffloadRXChecksum
	OffloadTSO
	OffloadGSO
	OffloadGRO
)

var offloadNames = [...]string{"known", "tx_checksum", "rx_checksum", "tso", "gso", "gro"}

// String returns the names of the set, separated by commas; "unknown" if it was not read.
func (o Offload) String() string {
	if o&OffloadKnown == 0 {
		return "unknown"
	}
	var names []string
	for i, name := range offloadNames {
		if i > 0 && o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Link returns the link of that name, or nil.
func (s *Snapshot) Link(name string) *Link {
	for i := range s.Links {
		if s.Links[i].Name == name {
			return &s.Links[i]
		}
	}
	return nil
}

// Holder returns the link that holds an address itself, or nil.
func (s *Snapshot) Holder(addr netip.Addr) *Link {
	for i := range s.Links {
		for _, p := range s.Links[i].Addrs {
			if p.Addr() == addr {
				return &s.Links[i]
			}
		}
	}
	return nil
}

// Sysctl returns a setting, and whether it could be read.
func (s *Snapshot) Sysctl(name string) (int64, bool) {
	v, ok := s.Sysctls[name]
	return v, ok
}
