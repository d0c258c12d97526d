package mesh

import (
	"math"
	"time"

	"netchecker/probe"
)

// Cell is what a row says about one path in five bytes. Everything else about a path that is not
// ok stands in its Detail: healthy paths, which are nearly all, need none.
type Cell struct {
	// States holds two bits for each probe kind, in wire order from the lowest.
	States uint8
	// RTT holds the round trips of udp, tcp and icmp on the scale of packRTT; 0 when none came back.
	RTT [rttPlanes]uint8
	// Loss is the share of udp echoes that did not come back.
	Loss probe.Loss
}

// rttPlanes are the probes whose round trip is kept for every path. The mtu probe's tells nothing
// that udp's does not.
const rttPlanes = 3

var rttKinds = [rttPlanes]probe.Kind{probe.UDP, probe.TCP, probe.ICMP}

// PackCell folds the statuses of a path's probes into its cell.
func PackCell(status *[probe.Kinds]probe.Status) Cell {
	c := Cell{Loss: status[probe.UDP].Loss}
	for k := range status {
		c.States |= uint8(status[k].State&3) << (2 * k)
	}
	for i, k := range rttKinds {
		c.RTT[i] = packRTT(status[k].RTT)
	}
	return c
}

// ProbeState returns the state of one probe.
func (c Cell) ProbeState(k probe.Kind) probe.State { return probe.State(c.States >> (2 * k) & 3) }

// State returns the path's own state (probe.PathState).
func (c Cell) State() probe.State { return pathStates[c.States] }

// pathStates maps Cell.States to the path's state: one look-up a cell when a row comes in.
var pathStates = func() (table [256]probe.State) {
	for s := range table {
		var states [probe.Kinds]probe.State
		for k := range states {
			states[k] = probe.State(s >> (2 * k) & 3)
		}
		table[s] = probe.PathState(states)
	}
	return table
}()

// rttSteps is how many steps of the round-trip scale double the value: 254 steps reach from 1 µs to
// 19 s, 6.8 % apart, which is finer than two medians of the same path agree.
const rttSteps = 10.5

func packRTT(d time.Duration) uint8 {
	if d <= 0 {
		return 0
	}
	us := max(float64(d)/float64(time.Microsecond), 1)
	return uint8(min(1+math.Round(math.Log2(us)*rttSteps), 255))
}

func unpackRTT(v uint8) time.Duration { return rttScale[v] }

var rttScale = func() (table [256]time.Duration) {
	for v := 1; v < len(table); v++ {
		table[v] = time.Duration(math.Exp2(float64(v-1)/rttSteps) * float64(time.Microsecond))
	}
	return table
}()

// Detail is what a row says of a path of which some probe is not ok, beyond its cell.
type Detail struct {
	// Dest is the destination's index in the row's table.
	Dest   uint32
	Probes [probe.Kinds]ProbeDetail
}

// ProbeDetail is one probe's part of a Detail; see probe.Status for the fields.
type ProbeDetail struct {
	Code                  probe.Code
	Loss, Forward, Return probe.Loss
	MaxBytes, BadFlows    uint16
	// AgeMillis is how long the state had lasted when the row was made. An age, not a time: the
	// agent's clock is not ours.
	AgeMillis uint32
}

// PackDetail returns the detail of a path and whether it needs one: some probe is degraded or
// failing, or unknown for a reason other than being switched off.
func PackDetail(dest uint32, status *[probe.Kinds]probe.Status) (Detail, bool) {
	d, needed := Detail{Dest: dest}, false
	for k := range status {
		s := &status[k]
		d.Probes[k] = ProbeDetail{Code: s.Code, Loss: s.Loss, Forward: s.Forward, Return: s.Return,
			MaxBytes: s.MaxBytes, BadFlows: s.BadFlows, AgeMillis: uint32(min(max(s.Age, 0).Milliseconds(), math.MaxUint32))}
		needed = needed || s.State >= probe.Degraded ||
			s.State == probe.Unknown && s.Code != probe.CodeNone && s.Code != probe.CodeOff
	}
	return d, needed
}

// Heard is what a row says in one byte of the sender at an index of its table: two bits for each
// of the probes a responder sees (udp, mtu, tcp), each a probe.HeardState.
type Heard uint8

// PackHeard folds what the responder knows of one sender.
func PackHeard(h *probe.Heard) Heard {
	var out Heard
	for k := probe.UDP; k <= probe.TCP; k++ {
		out |= Heard(h.State[k]&3) << (2 * k)
	}
	return out
}

// State returns what is said of one probe; icmp is answered by the kernel and always HeardNever.
func (h Heard) State(k probe.Kind) probe.HeardState {
	if k > probe.TCP {
		return probe.HeardNever
	}
	return probe.HeardState(h >> (2 * k) & 3)
}

// HeardDetail is what a row says of a sender whose probes do not all arrive.
type HeardDetail struct {
	// Sender is the sender's index in the row's table.
	Sender   uint32
	Boot     uint64
	Highest  uint32
	Counts   [probe.Kinds]uint64
	Loss     probe.Loss
	BadFlows uint16
	// AgeMillis is how long ago the sender was last heard when the row was made.
	AgeMillis uint32
}
