package probe

import (
	"errors"
	"net/netip"
	"time"
)

// Flows is how many source ports an agent sends from in each family.
const Flows = 16

// Outgoing is one probe on its way to a Transport. Everything in it is valid only during Send.
type Outgoing struct {
	Kind   Kind
	Flow   uint8 // source port index; tcp and icmp ignore it
	Cookie uint64
	To     netip.AddrPort // icmp ignores the port
	Packet []byte         // the udp payload, the body of the tcp request, or the icmp echo's data
}

// Arrival is an answer, or an error that stands for one. Everything in it is valid only during the call that hands it over.
type Arrival struct {
	Kind Kind
	Flow uint8
	// Cookie names the probe where Data does not (tcp, and errors); 0 when not known.
	Cookie uint64
	// From is who answered; for an error it is where the probe was going.
	From netip.AddrPort
	// Data is the answer's packet (udp, mtu, tcp) or data (icmp); empty for an error.
	Data []byte
	// Stamp is when the kernel received it, ns since 1970; 0 when not known.
	Stamp int64
	// RTT is the round trip where the transport measures it itself (tcp); negative or 0 when it does not.
	RTT time.Duration
	// Code is CodeNone for an answer, otherwise the class of the error.
	Code Code
	// NextHop is the MTU that an EMSGSIZE error names; 0 when none.
	NextHop uint16
}

// Health is what a Transport knows about its own trouble.
type Health struct {
	Dropped  uint64 // packets the kernel dropped because our receive buffers were full, since the start
	Loopback bool   // a packet that this process sent to itself through the kernel came back lately
}

// ErrNotSent is returned by Transport.Send when the probe could not leave for a reason that says
// nothing about its path (a full send buffer, no free file descriptor): it is not counted.
var ErrNotSent = errors.New("probe not sent: local resources exhausted")

// ErrOff is returned by Transport.Send for a kind or family that cannot be sent here.
var ErrOff = errors.New("probe not sent: kind or family not available")

// Transport puts probes on a network and takes answers off it. The engine calls it from one
// goroutine, and no method may block. NewEngine makes one on kernel sockets unless Config carries another.
type Transport interface {
	// Available tells whether a kind can be sent to addr's family, and if not, why, in a sentence for a log.
	Available(kind Kind, addr netip.Addr) (ok bool, why string)
	// Send sends one probe. An error other than ErrNotSent is the probe's outcome and is classified by CodeOf.
	Send(out *Outgoing) error
	// Receive hands over everything that has arrived since the last call.
	Receive(take func(*Arrival))
	// Abandon forgets a probe that timed out and says how far it had come: CodeTimeout, or CodeHung for a tcp probe that had connected.
	Abandon(kind Kind, cookie uint64) Code
	// Rotate replaces source port flow by a fresh one. Answers to the old one are still received for two seconds.
	Rotate(flow int) error
	// Health reports the transport's own trouble.
	Health() Health
	// Close frees everything.
	Close() error
}
