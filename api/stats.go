package api

import "sync/atomic"

// Refusal is why a row or report was not taken. Append only: it is a label of metrics.
type Refusal uint8

// The reasons.
const (
	// Malformed: unreadable, of another version, or with figures that cannot be.
	Malformed Refusal = iota
	// TooLarge: beyond the limit on its size.
	TooLarge
	// TooSlow: the body did not arrive in time.
	TooSlow
	// Unsigned: no signature where one is needed.
	Unsigned
	// WrongSignature: made with a key that we do not hold, or over something else.
	WrongSignature
	// Replayed: taken before, or of a run that a later one replaced.
	Replayed
	// AddressConflict: from a second address under one name.
	AddressConflict
	// UnknownTable: the row must come again with its table; no fault of the agent.
	UnknownTable
	// Overloaded: the server had no room for it.
	Overloaded
	// Unstored: the store did not take it.
	Unstored
	// Refusals is the number of reasons.
	Refusals = 10
)

// String returns the reason as it stands in metrics.
func (r Refusal) String() string {
	return [...]string{"malformed", "too_large", "too_slow", "unsigned", "wrong_signature", "replayed",
		"address_conflict", "unknown_table", "overloaded", "unstored", "other"}[min(r, Refusals)]
}

// Intake counts what agents posted, by what was posted.
type Intake struct {
	// Accepted is how many were taken, Relayed how many of them through a peer, Bytes their size.
	Accepted, Relayed, Bytes uint64
	Refused                  [Refusals]uint64
}

// intake is an Intake that many goroutines count in.
type intake struct {
	accepted, relayed, bytes atomic.Uint64
	refused                  [Refusals]atomic.Uint64
}

func (i *intake) took(m *message, size int) {
	i.accepted.Add(1)
	i.bytes.Add(uint64(size))
	if m.via != "" {
		i.relayed.Add(1)
	}
}

func (i *intake) snapshot() (out Intake) {
	out.Accepted, out.Relayed, out.Bytes = i.accepted.Load(), i.relayed.Load(), i.bytes.Load()
	for r := range out.Refused {
		out.Refused[r] = i.refused[r].Load()
	}
	return out
}
