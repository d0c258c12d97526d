package api

import (
	"strconv"

	"netchecker/mesh"
	"netchecker/probe"
)

// What an overview says of one path kind of a pair, in three bits at 3 × the kind's number. Of two
// families the worse one counts.
const (
	markOK = iota
	markUnknown
	markDegraded
	markFailing
	// markNone means that there is no such path: an agent has none to itself, nor to one that is not there.
	markNone
)

// marks are the marks of states.
var marks = [probe.States]uint16{probe.OK: markOK, probe.Unknown: markUnknown, probe.Degraded: markDegraded, probe.Failing: markFailing}

// drawing draws the rows of one view. Rows of healthy nodes, nearly all, cost next to nothing.
type drawing struct {
	v     *mesh.View
	names []string
	// agents are each node's, -1 for none; node is each agent's.
	agents [][mesh.Networks]int
	node   []int
	// blanks are the rows of sources that see nothing wrong, by what the source is.
	blanks map[blankKey]*blank
	cells  []uint16
}

// blankKey is what of a source decides how its row looks when it has no complaint: for each network
// whether it reports and in which families it has an address.
type blankKey [mesh.Networks]struct {
	families  uint8
	reporting bool
}

type blank struct {
	cells []uint16
	clear bool // all is ok
}

func newDrawing(v *mesh.View) *drawing {
	d := &drawing{v: v, node: make([]int, v.Len()), blanks: map[blankKey]*blank{}}
	for i := range v.Len() {
		a := v.Agent(i)
		if n := len(d.names); n == 0 || d.names[n-1] != a.Node {
			d.names = append(d.names, a.Node)
			d.agents = append(d.agents, [mesh.Networks]int{-1, -1})
		}
		n := len(d.names) - 1
		d.agents[n][a.Network], d.node[i] = i, n
	}
	d.cells = make([]uint16, len(d.names))
	return d
}

func families(a *mesh.Member) (set uint8) {
	if a.IPv4.IsValid() {
		set |= 1 << mesh.IPv4
	}
	if a.IPv6.IsValid() {
		set |= 1 << mesh.IPv6
	}
	return set
}

// rowsJSON returns the runs of what is not ok of every node, "" for a row that is ok.
func (d *drawing) rowsJSON() [][]byte {
	rows := make([][]byte, len(d.names))
	for n := range rows {
		rows[n] = d.row(n)
	}
	return rows
}

func (d *drawing) row(n int) []byte {
	var key blankKey
	quiet := true
	for network, i := range d.agents[n] {
		if i < 0 {
			continue
		}
		state, _ := d.v.Reported(i)
		key[network].families, key[network].reporting = families(d.v.Agent(i)), state == mesh.Reporting
		bad, _, _ := d.v.BadOf(i)
		quiet = quiet && key[network].reporting && len(bad) == 0 && len(d.v.LacksOf(i)) == 0
	}
	b := d.blank(key)
	own := b.cells[n] | 7<<(3*mesh.PodToPod) | 7<<(3*mesh.HostToHost)
	own ^= 3<<(3*mesh.PodToPod) | 3<<(3*mesh.HostToHost) // both become markNone
	if quiet && b.clear {
		return appendRun(nil, n, 1, own)
	}
	copy(d.cells, b.cells)
	d.cells[n] = own
	for network, i := range d.agents[n] {
		if i >= 0 && key[network].reporting {
			d.complain(i)
		}
	}
	return appendRuns(d.cells)
}

// blank returns the row of a source without complaints.
func (d *drawing) blank(key blankKey) *blank {
	if b := d.blanks[key]; b != nil {
		return b
	}
	b := &blank{cells: make([]uint16, len(d.names)), clear: true}
	for n := range b.cells {
		for k := range mesh.PathKind(mesh.PathKinds) {
			from, to := k.Ends()
			mark := uint16(markNone)
			if i := d.agents[n][to]; i >= 0 && families(d.v.Agent(i))&key[from].families != 0 {
				mark = markOK
				if state, _ := d.v.Reported(i); !key[from].reporting || state == mesh.ReportLeft {
					mark = markUnknown
				}
			}
			b.cells[n] |= mark << (3 * k)
		}
		b.clear = b.clear && b.cells[n] == 0
	}
	d.blanks[key] = b
	return b
}

// complain enters what the row of agent i says is not ok.
func (d *drawing) complain(i int) {
	bad, _, place := d.v.BadOf(i)
	row, _ := d.v.RowOf(i)
	for _, b := range bad {
		if p := place[b>>2]; p != mesh.NoPlace {
			mark := marks[b&3]
			if row.Doubt != 0 {
				mark = markUnknown
			}
			d.enter(i, p, mark)
		}
	}
	for _, p := range d.v.LacksOf(i) {
		d.enter(i, p, markUnknown)
	}
}

// enter makes the path from agent i to a place at least as bad as mark. Where no path is, none becomes.
func (d *drawing) enter(i int, place uint32, mark uint16) {
	to := int(place >> 1)
	if to == i || families(d.v.Agent(i))>>(place&1)&1 == 0 {
		return
	}
	if state, _ := d.v.Reported(to); state == mesh.ReportLeft {
		return // unknown, whatever is said of it
	}
	shift := 3 * mesh.KindOf(d.v.Agent(i).Network, d.v.Agent(to).Network)
	cell := &d.cells[d.node[to]]
	if old := *cell >> shift & 7; old < mark {
		*cell = *cell&^(7<<shift) | mark<<shift
	}
}

// appendRuns writes the runs of equal cells that are not 0: start, length, cell, and so on.
func appendRuns(cells []uint16) (b []byte) {
	for at := 0; at < len(cells); {
		end := at + 1
		for end < len(cells) && cells[end] == cells[at] {
			end++
		}
		if cells[at] != 0 {
			b = appendRun(b, at, end-at, cells[at])
		}
		at = end
	}
	return b
}

func appendRun(b []byte, at, n int, cell uint16) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(strconv.AppendInt(b, int64(at), 10), ',')
	b = append(strconv.AppendInt(b, int64(n), 10), ',')
	return strconv.AppendUint(b, uint64(cell), 10)
}

// nodesJSON lists the nodes in the order of the rows and columns.
func (d *drawing) nodesJSON() []byte {
	j := &jsonBuf{}
	j.raw("[")
	for n, name := range d.names {
		if n > 0 {
			j.raw(",")
		}
		zone := ""
		for _, i := range d.agents[n] {
			if i >= 0 && zone == "" {
				zone = d.v.Agent(i).Zone
			}
		}
		j.raw(`{"name":`)
		j.text(name)
		j.raw(`,"zone":`)
		j.text(zone)
		for network, i := range d.agents[n] {
			if i < 0 {
				continue
			}
			state, _ := d.v.Reported(i)
			j.raw(`,"` + mesh.Network(network).String() + `":{"state":"` + state.String() + `"`)
			if row, via := d.v.RowOf(i); row != nil {
				if via != "" {
					j.raw(`,"via":`)
					j.text(via)
				}
				if row.Doubt != 0 {
					j.raw(`,"doubt":`)
					j.text(row.Doubt.String())
				}
			}
			j.raw("}")
		}
		j.raw("}")
	}
	j.raw("]")
	return j.b
}
