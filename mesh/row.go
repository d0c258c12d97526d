package mesh

import (
	"slices"
	"time"

	"netchecker/probe"
)

// Doubt says why an agent does not trust its own measurements. The bits travel on the wire.
type Doubt = probe.Doubt

// Row is what one agent says: the state of all its outgoing paths and what it heard from each
// sender, column by column in the order of its table. The column of the agent itself is empty.
// A row is built by its agent and immutable from then on.
type Row struct {
	Source Agent
	// Sequence grows with every row of one Boot of the source.
	Sequence uint64
	// Interval is the longest time until the agent's next row.
	Interval time.Duration
	Doubt    Doubt
	// Leaving says that this is the agent's last row: it goes on purpose.
	Leaving bool
	Table   *Table
	// Details and HeardDetails are sorted by table index.
	Details      []Detail
	HeardDetails []HeardDetail
	Services     []probe.Service
	// Evidence is what the node last read about itself; nil in rows that say nothing new of it. The
	// matrix keeps the last one that the same run of the agent sent.
	Evidence *probe.Snapshot
	// planes holds the cells as the wire carries them, one byte of every column after the other:
	// states, the round trips, loss, heard. Nothing is unpacked until somebody asks.
	planes []byte
	// bad lists the columns whose path is not ok, the source's own left out, as column<<2 | state
	// in order: what is wrong is found without touching the planes of what is not.
	bad    []uint32
	counts [Networks][probe.States]int32
}

// rowPlanes is the number of bytes a column takes in planes.
const rowPlanes = 1 + rttPlanes + 2

// MaxDetails bounds the details of one row: a node cut off from thousands would otherwise cost
// the server gigabytes to repeat one fact. Cells beyond it still say state and loss.
const MaxDetails = 1024

// NewRow returns an empty row with every path unknown; the caller fills it with Set and SetHeard
// and then calls Seal.
func NewRow(source Agent, table *Table) *Row {
	return &Row{Source: source, Table: table, planes: make([]byte, rowPlanes*table.Len())}
}

// Set states the probes of the path to the destination at index i.
func (r *Row) Set(i int, status *[probe.Kinds]probe.Status) {
	n, c := r.Table.Len(), PackCell(status)
	r.planes[i] = c.States
	for p, v := range c.RTT {
		r.planes[(1+p)*n+i] = v
	}
	r.planes[(1+rttPlanes)*n+i] = uint8(c.Loss)
	if d, needed := PackDetail(uint32(i), status); needed && len(r.Details) < MaxDetails {
		r.Details = append(r.Details, d)
	}
}

// SetHeard states what was heard of the sender at index i.
func (r *Row) SetHeard(i int, h *probe.Heard) {
	packed := PackHeard(h)
	r.planes[(2+rttPlanes)*r.Table.Len()+i] = uint8(packed)
	if packed.healthy() || len(r.HeardDetails) >= MaxDetails {
		return
	}
	r.HeardDetails = append(r.HeardDetails, HeardDetail{Sender: uint32(i), Boot: h.Boot, Highest: h.Highest,
		Counts: h.Counts, Loss: h.Loss, BadFlows: h.BadFlows, AgeMillis: uint32(min(max(h.Age, 0).Milliseconds(), 1<<32-1))})
}

func (h Heard) healthy() bool {
	for k := probe.UDP; k <= probe.TCP; k++ {
		if s := h.State(k); s == probe.HeardLossy || s == probe.HeardSilent {
			return false
		}
	}
	return true
}

// Seal sorts the details and counts the states; the row must not be changed after it.
func (r *Row) Seal() {
	slices.SortFunc(r.Details, func(a, b Detail) int { return int(a.Dest) - int(b.Dest) })
	slices.SortFunc(r.HeardDetails, func(a, b HeardDetail) int { return int(a.Sender) - int(b.Sender) })
	n := r.Table.Len()
	r.counts = [Networks][probe.States]int32{}
	states, networks := r.planes[:n], r.Table.networks[:n]
	for f := range Family(Families) {
		if r.Table.families[f] > 0 && !r.Source.Addr(f).IsValid() {
			r.forget(f)
		}
	}
	// One pass over two bytes a column: this is what a row costs the server besides decompression.
	for i, s := range states {
		r.counts[networks[i]&1][pathStates[s]&3]++
	}
	for f := range Family(Families) {
		if i, ok := r.Table.Find(Dest{r.Source.Key, f}); ok {
			r.counts[r.Source.Network&1][pathStates[states[i]]&3]--
		}
	}
	r.indexBad(states)
}

// indexBad makes the list of what is not ok, in one allocation of the right size.
func (r *Row) indexBad(states []byte) {
	var bad int32
	for n := range r.counts {
		bad += r.counts[n][probe.Unknown] + r.counts[n][probe.Degraded] + r.counts[n][probe.Failing]
	}
	if r.bad = nil; bad <= 0 {
		return
	}
	r.bad = make([]uint32, 0, bad)
	for i, s := range states {
		if state := pathStates[s]; state != probe.OK && r.Table.dests[i].Key != r.Source.Key {
			r.bad = append(r.bad, uint32(i)<<2|uint32(state))
		}
	}
}

// forget makes unknown what the row says of paths in a family that its source does not have: there
// are none, and the counts rely on it.
func (r *Row) forget(f Family) {
	for i := range r.Table.dests {
		if r.Table.dests[i].Family == f {
			r.planes[i] = 0
		}
	}
}

// Cell returns what the row says about the path to the destination at index i.
func (r *Row) Cell(i int) Cell {
	n := r.Table.Len()
	c := Cell{States: r.planes[i], Loss: probe.Loss(r.planes[(1+rttPlanes)*n+i])}
	for p := range c.RTT {
		c.RTT[p] = r.planes[(1+p)*n+i]
	}
	return c
}

// Heard returns what the row says about the sender at index i.
func (r *Row) Heard(i int) Heard { return Heard(r.planes[(2+rttPlanes)*r.Table.Len()+i]) }

// Detail returns the detail of the path to the destination at index i, or nil.
func (r *Row) Detail(i int) *Detail {
	if at := r.detailIndex(i); at >= 0 {
		return &r.Details[at]
	}
	return nil
}

func (r *Row) detailIndex(i int) int {
	at, ok := slices.BinarySearchFunc(r.Details, uint32(i), func(d Detail, i uint32) int { return int(d.Dest) - int(i) })
	if !ok {
		return -1
	}
	return at
}

// HeardDetail returns the detail of the sender at index i, or nil.
func (r *Row) HeardDetail(i int) *HeardDetail {
	at, ok := slices.BinarySearchFunc(r.HeardDetails, uint32(i), func(d HeardDetail, i uint32) int { return int(d.Sender) - int(i) })
	if !ok {
		return nil
	}
	return &r.HeardDetails[at]
}

// Status unpacks the probes of the path to the destination at index i.
func (r *Row) Status(i int) (out [probe.Kinds]probe.Status) {
	c, d := r.Cell(i), r.Detail(i)
	for k := range out {
		s := &out[k]
		s.State = c.ProbeState(probe.Kind(k))
		s.Loss, s.Forward, s.Return = probe.LossUnknown, probe.LossUnknown, probe.LossUnknown
		if d != nil {
			p := &d.Probes[k]
			s.Code, s.Loss, s.Forward, s.Return = p.Code, p.Loss, p.Forward, p.Return
			s.MaxBytes, s.BadFlows, s.Age = p.MaxBytes, p.BadFlows, time.Duration(p.AgeMillis)*time.Millisecond
		}
	}
	out[probe.UDP].Loss = c.Loss
	for p, k := range rttKinds {
		out[k].RTT = unpackRTT(c.RTT[p])
	}
	return out
}
