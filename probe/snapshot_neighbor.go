package probe

import (
	"fmt"
	"net/netip"
)

// Neighbor says which link address an IP address has, or that nobody answers. Kept are those of
// peers, of the next hops of kept routes and of tunnel ends. Neighbors are comparable with ==.
type Neighbor struct {
	IP    netip.Addr
	MAC   MAC
	Dev   string
	State NeighborState
}

// NeighborState is the state of a neighbour entry, numbered as by the kernel.
type NeighborState uint16

// The states of a neighbour. Good are all but Incomplete, Failed and None.
const (
	NeighborNone       NeighborState = 0
	NeighborIncomplete NeighborState = 0x01 // asked, no answer yet
	NeighborReachable  NeighborState = 0x02
	NeighborStale      NeighborState = 0x04
	NeighborDelay      NeighborState = 0x08
	NeighborProbe      NeighborState = 0x10
	NeighborFailed     NeighborState = 0x20 // nobody answered; late evidence, some 24 s after a power-off
	NeighborNoARP      NeighborState = 0x40
	NeighborPermanent  NeighborState = 0x80 // written by somebody, as flanneld does
)

var neighborStates = map[NeighborState]string{
	NeighborNone: "none", NeighborIncomplete: "incomplete", NeighborReachable: "reachable", NeighborStale: "stale", NeighborDelay: "delay",
	NeighborProbe: "probe", NeighborFailed: "failed", NeighborNoARP: "noarp", NeighborPermanent: "permanent",
}

// String returns the state in lower case.
func (s NeighborState) String() string {
	if name, ok := neighborStates[s]; ok {
		return name
	}
	return fmt.Sprintf("state(%#x)", uint16(s))
}

// Good reports whether a packet can be sent to a neighbour in this state.
func (s NeighborState) Good() bool {
	return s != NeighborNone && s&(NeighborIncomplete|NeighborFailed) == 0
}

// NeighborTable counts the neighbours of a namespace that garbage collection may count: without
// permanent ones and those that need no resolving.
type NeighborTable struct {
	IPv4, IPv6 int
	// Bad are the entries of both families that are incomplete or failed.
	Bad int
}

// FDB is an entry of a bridge's or tunnel's forwarding table: behind which port, or at which
// remote tunnel end, a link address is. FDB entries are comparable with ==.
type FDB struct {
	MAC MAC
	// Dst is the remote tunnel end; the zero Addr on a bridge.
	Dst       netip.Addr
	Dev       string // the tunnel device, or the port of the bridge
	Master    string // the bridge, for a port
	Permanent bool   // written by somebody, not learned
}

// Listener is a socket that waits at a port of interest: the overlay's or the agent's own.
// Listeners are comparable with ==.
type Listener struct {
	Proto   string // "udp" or "tcp"
	Addr    netip.Addr
	Port    uint16
	Queued  uint32 // bytes that wait to be read (udp), connections that wait to be taken (tcp)
	Dropped uint64 // datagrams dropped since the socket was opened (udp)
}

// Neighbor returns the entry of an address on a link ("" for any link), or nil.
func (s *Snapshot) Neighbor(ip netip.Addr, dev string) *Neighbor {
	for i := range s.Neighbors {
		if n := &s.Neighbors[i]; n.IP == ip && (dev == "" || n.Dev == dev) {
			return n
		}
	}
	return nil
}

// Behind returns the entries of the forwarding table of a device for a link address.
func (s *Snapshot) Behind(mac MAC, dev string) []FDB {
	var out []FDB
	for _, e := range s.FDB {
		if e.MAC == mac && e.Dev == dev {
			out = append(out, e)
		}
	}
	return out
}

// Listens reports whether somebody listens at a port, on any address.
func (s *Snapshot) Listens(proto string, port uint16) bool {
	for _, l := range s.Listeners {
		if l.Proto == proto && l.Port == port {
			return true
		}
	}
	return false
}
