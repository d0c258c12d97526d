package probe

import "fmt"

// Kind is one way of probing a path. The numbers travel on the wire: append only.
type Kind uint8

const (
	// UDP is a small echo; its verdict alone can make a path failing.
	UDP Kind = iota
	// MTU is an echo request of the full expected path MTU, sent with don't-fragment.
	MTU
	// TCP is a fresh connection on which the responder proves its identity.
	TCP
	// ICMP is an echo request answered by the destination's kernel.
	ICMP
	// Kinds is the number of probe kinds.
	Kinds = 4
)

var kindNames = [Kinds]string{"udp", "mtu", "tcp", "icmp"}

// AllKinds lists every kind in wire order.
func AllKinds() [Kinds]Kind { return [Kinds]Kind{UDP, MTU, TCP, ICMP} }

// String returns the kind's name as it stands in JSON and metrics.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("probe(%d)", uint8(k))
}
