package mesh

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"
)

// Network is the network an agent lives in. The numbers travel on the wire: append only.
type Network uint8

const (
	// Pod is the virtual network.
	Pod Network = iota
	// Host is the physical network.
	Host
	// Networks is the number of networks.
	Networks = 2
)

var networkNames = [Networks]string{"pod", "host"}

// String returns "pod" or "host".
func (n Network) String() string {
	if int(n) < len(networkNames) {
		return networkNames[n]
	}
	return fmt.Sprintf("network(%d)", uint8(n))
}

// ParseNetwork is the inverse of String; its error names the allowed values.
func ParseNetwork(text string) (Network, error) {
	for i, name := range networkNames {
		if name == text {
			return Network(i), nil
		}
	}
	return 0, fmt.Errorf("network %q: want pod or host", text)
}

// Family is an address family. The numbers travel on the wire: append only.
type Family uint8

const (
	// IPv4 is the family of 32-bit addresses.
	IPv4 Family = iota
	// IPv6 is the family of 128-bit addresses.
	IPv6
	// Families is the number of address families.
	Families = 2
)

var familyNames = [Families]string{"ipv4", "ipv6"}

// String returns "ipv4" or "ipv6".
func (f Family) String() string {
	if int(f) < len(familyNames) {
		return familyNames[f]
	}
	return fmt.Sprintf("family(%d)", uint8(f))
}

// ParseFamily is the inverse of String; its error names the allowed values.
func ParseFamily(text string) (Family, error) {
	for i, name := range familyNames {
		if name == text {
			return Family(i), nil
		}
	}
	return 0, fmt.Errorf("family %q: want ipv4 or ipv6", text)
}

// PathKind says which networks a path leads from and to.
type PathKind uint8

const (
	// PodToPod leads from a pod agent to a pod agent.
	PodToPod PathKind = iota
	// HostToPod leads from a host agent to a pod agent.
	HostToPod
	// PodToHost leads from a pod agent to a host agent.
	PodToHost
	// HostToHost leads from a host agent to a host agent.
	HostToHost
	// PathKinds is the number of path kinds.
	PathKinds = 4
)

var pathKindNames = [PathKinds]string{"pod-to-pod", "host-to-pod", "pod-to-host", "host-to-host"}

// KindOf returns the kind of the paths from one network to another.
func KindOf(from, to Network) PathKind { return PathKind(from&1) | PathKind(to&1)<<1 }

// Ends returns the networks that paths of this kind lead from and to.
func (k PathKind) Ends() (from, to Network) { return Network(k & 1), Network(k >> 1 & 1) }

// String returns the kind as it stands in JSON and metrics, for instance "host-to-pod".
func (k PathKind) String() string {
	if int(k) < len(pathKindNames) {
		return pathKindNames[k]
	}
	return fmt.Sprintf("path(%d)", uint8(k))
}

// ParsePathKind is the inverse of String; its error names the allowed values.
func ParsePathKind(text string) (PathKind, error) {
	for i, name := range pathKindNames {
		if name == text {
			return PathKind(i), nil
		}
	}
	return 0, fmt.Errorf("path %q: want one of %s", text, strings.Join(pathKindNames[:], ", "))
}

// Key names an agent for good: a restarted pod has another name and address but the same key.
type Key struct {
	Node    string
	Network Network
}

// String returns the key as "node3/pod".
func (k Key) String() string { return k.Node + "/" + k.Network.String() }

// ID is the identity that a probe's sender and responder state: FNV-1a over the key. It needs no
// agreement beforehand; a collision among 10,000 agents has a chance of 3 in 10^12.
func (k Key) ID() uint64 {
	h := fnv.New64a()
	h.Write([]byte(k.Node))
	h.Write([]byte{0, byte(k.Network)})
	return h.Sum64()
}

// Compare orders keys by node, then pod before host.
func (k Key) Compare(other Key) int {
	if c := strings.Compare(k.Node, other.Node); c != 0 {
		return c
	}
	return int(k.Network) - int(other.Network)
}

// Role tells agents from servers among the members of the gossip. Append only.
type Role uint8

const (
	// RoleAgent probes and answers.
	RoleAgent Role = iota
	// RoleServer takes rows; it is no target.
	RoleServer
)

// Agent is one process as it advertises itself: an agent on one network of a node, or a server.
// Agents are comparable with ==.
type Agent struct {
	// Name is the pod's name, unique among all that ever lived, and the gossip member's name.
	Name string
	Key
	Role Role
	// Zone is the failure domain of the node, or "".
	Zone string
	// IPv4 and IPv6 are the advertised addresses; the zero Addr where a family is not advertised.
	IPv4, IPv6 netip.Addr
	// ProbePort serves echo and identity (UDP and TCP); for a server it is the API's TCP port.
	ProbePort uint16
	// GossipPort is the member's gossip port (UDP and TCP).
	GossipPort uint16
	// MTU is that of the interface holding the advertised address, in bytes; 0 when not known.
	MTU uint16
	// Boot is the process's start in Unix nanoseconds: it tells one run from the next.
	Boot uint64
}

// Addr returns the advertised address of a family, the zero Addr when there is none.
func (a Agent) Addr(f Family) netip.Addr {
	if f == IPv6 {
		return a.IPv6
	}
	return a.IPv4
}

// Primary returns the IPv4 address, else the IPv6 one: where gossip and relays reach the agent.
func (a Agent) Primary() netip.Addr {
	if a.IPv4.IsValid() {
		return a.IPv4
	}
	return a.IPv6
}
