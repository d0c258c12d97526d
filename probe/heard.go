package probe

import (
	"fmt"
	"time"
)

// Heard is what a responder says about one sender: the other end of that sender's outgoing path.
// It is how the server learns which direction lost a probe when nothing comes back.
type Heard struct {
	Sender, Boot uint64            // who asked, and which of its lives
	IPv6         bool              // the family it asked over: one sender has a row for each
	Highest      uint32            // highest udp sequence that arrived
	Counts       [Kinds]uint64     // valid requests of each kind since Boot was first heard; icmp never reaches us
	State        [Kinds]HeardState // how each kind arrives
	Loss         Loss              // udp sequences missing of the last 64 at most
	BadFlows     uint16            // bit i: nothing arrives from source port i while others do
	Age          time.Duration     // since anything of this sender arrived
}

// HeardState says how a sender's probes of one kind arrive. The numbers travel on the wire: append only.
type HeardState uint8

const (
	// HeardNever means that no probe of this kind has arrived.
	HeardNever HeardState = iota
	// HeardOK means that they arrive as often as the sender says it sends.
	HeardOK
	// HeardLossy means that some arrive: 2 or more of the last 20 sequences are missing.
	HeardLossy
	// HeardSilent means that none arrived for two of the sender's intervals.
	HeardSilent
	// HeardStates is the number of states.
	HeardStates = 4
)

var heardNames = [HeardStates]string{"never", "ok", "lossy", "silent"}

// String returns the state's name as it stands in JSON.
func (h HeardState) String() string {
	if int(h) < len(heardNames) {
		return heardNames[h]
	}
	return fmt.Sprintf("heard(%d)", uint8(h))
}
