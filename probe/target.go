package probe

import (
	"log/slog"
	"net/netip"
	"time"
)

// Target is one destination: where to probe, and who must answer there.
type Target struct {
	ID    uint64         // identity that must answer
	Addr  netip.AddrPort // probe port, UDP and TCP; icmp uses the address alone
	Bytes uint16         // size of the mtu probe as an IP packet in bytes; 0: no mtu probe
}

// PathStatus is the state of one target's probes, indexed by Kind.
type PathStatus struct {
	Target Target
	Probes [Kinds]Status
}

// Config says how an Engine works. The zero value of every field but Self and Boot is usable.
type Config struct {
	Self uint64 // identity of this agent
	Boot uint64 // its start, larger than that of its earlier lives; ns since 1970 serves
	Keys *Keys  // nil: the public key

	// Rate is the whole budget in probes per second, of all kinds, never exceeded; 0 means 400.
	Rate int
	// IPv4 and IPv6 choose the families to open sockets for; both when neither is set.
	IPv4, IPv6 bool
	// Local4 and Local6 are the source addresses to send from; the zero Addr leaves it to the kernel.
	Local4, Local6 netip.Addr
	// Off switches kinds off.
	Off [Kinds]bool
	Log *slog.Logger // nil: silent

	// OnRTT, when set, gets every measured round trip on the engine's goroutine: it must neither block nor call the engine.
	OnRTT func(kind Kind, target uint64, rtt time.Duration)
	// LossHook, when set, is asked for every probe before it leaves (answer false) and for every answer
	// (answer true); true drops it. It lets a demonstration lose packets without root.
	LossHook func(kind Kind, to netip.AddrPort, flow int, answer bool) bool
	// Transport and Clock replace the kernel's sockets and clock; nil means the real thing.
	Transport Transport
	Clock     Clock
}

// DefaultRate is the probe budget of an agent, probes per second.
const DefaultRate = 400

// Doubt is an engine's doubt about itself: with any bit set its verdicts may be its own fault.
type Doubt uint8

const (
	// DoubtLoopback means that packets to ourselves do not come back.
	DoubtLoopback Doubt = 1 << iota
	// DoubtLag means that the engine was woken more than 500 ms late within the last 10 s.
	DoubtLag
	// DoubtDrops means that the kernel dropped answers within the last 10 s because we read too late.
	DoubtDrops
)

// String returns the doubts joined by "+", empty when there is none.
func (d Doubt) String() string {
	text := ""
	for i, name := range [...]string{"loopback", "lag", "drops"} {
		if d&(1<<i) == 0 {
			continue
		}
		if text != "" {
			text += "+"
		}
		text += name
	}
	return text
}

// Stats counts what an engine did since it was made, per kind where that says something.
type Stats struct {
	Sent     [Kinds]uint64 // probes that left, or that the kernel refused with a verdict
	Received [Kinds]uint64 // answers in time from the right peer
	Lost     [Kinds]uint64 // probes that failed, by error or by time-out
	Late     uint64        // answers after the time-out, and duplicates
	Bad      uint64        // packets that were not ours: garbage, wrong tag, unknown cookie
	Dropped  uint64        // packets lost in our own full receive buffers
	Unsent   uint64        // probes not sent for lack of local resources, or void because we slept through their time
	BytesOut uint64        // IP bytes of udp, mtu and icmp probes, without link headers
	BytesIn  uint64        // the same of what came back
	MaxLag   time.Duration // the latest that a tick ever was
}
