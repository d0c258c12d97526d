package agent

import (
	"net/netip"

	"netchecker/mesh"
	"netchecker/probe"
)

// plan is what follows from one roster: the table of the rows and the targets of the engine.
type plan struct {
	roster  *mesh.Roster
	table   *mesh.Table
	targets []probe.Target
	// columns finds the column of an answerer or sender by its identity.
	columns map[columnKey]int
	// silent are the names, by column, of those whom gossip does not hear.
	silent map[int]string
	nodes  int
}

type columnKey struct {
	id     uint64
	family mesh.Family
}

// newPlan says whom self probes: every agent of the roster that has not left on purpose, dead ones
// too, in each family that both advertise.
func newPlan(roster *mesh.Roster, self mesh.Agent) (*plan, error) {
	table, err := mesh.TableOf(roster)
	if err != nil {
		return nil, err
	}
	p := &plan{roster: roster, table: table, columns: make(map[columnKey]int, table.Len()), silent: map[int]string{}}
	for i := range table.Len() {
		d := table.Dest(i)
		p.columns[columnKey{d.Key.ID(), d.Family}] = i
	}
	typical := typicalMTU(roster)
	last := ""
	for _, m := range roster.Agents {
		if m.Node != last {
			p.nodes++
			last = m.Node
		}
		if m.Key == self.Key || m.Life == mesh.Left {
			continue
		}
		for f := range mesh.Family(mesh.Families) {
			if addr := m.Addr(f); addr.IsValid() && self.Addr(f).IsValid() {
				p.targets = append(p.targets, probe.Target{ID: m.Key.ID(), Addr: netip.AddrPortFrom(addr, m.ProbePort),
					Bytes: min(typical[self.Network], typical[m.Network])})
				if m.Life == mesh.Dead {
					p.silent[p.column(m.Key.ID(), addr)] = m.Name
				}
			}
		}
	}
	return p, nil
}

// column returns the table column of a target, -1 when the roster has moved on meanwhile.
func (p *plan) column(id uint64, addr netip.Addr) int {
	f := mesh.IPv4
	if addr.Is6() && !addr.Is4In6() {
		f = mesh.IPv6
	}
	if i, ok := p.columns[columnKey{id, f}]; ok {
		return i
	}
	return -1
}

// answering are the names of those whom gossip does not hear, but who answer our probes.
func (p *plan) answering(statuses []probe.PathStatus) (names []string) {
	if len(p.silent) == 0 {
		return nil
	}
	for i := range statuses {
		s := &statuses[i]
		if name := p.silent[p.column(s.Target.ID, s.Target.Addr.Addr())]; name != "" && s.Probes[probe.UDP].State == probe.OK {
			names = append(names, name)
		}
	}
	return names
}

// typicalMTU returns for each network the MTU that most agents advertise, the larger one when two
// tie. A path is expected to carry the smaller of its ends' typical MTUs: measured by its own
// interface a node with a too small MTU would look fine to itself.
func typicalMTU(roster *mesh.Roster) (out [mesh.Networks]uint16) {
	var votes [mesh.Networks]map[uint16]int
	for n := range votes {
		votes[n] = map[uint16]int{}
	}
	for _, m := range roster.Agents {
		if m.MTU == 0 || m.Life == mesh.Left {
			continue
		}
		v := votes[m.Network]
		v[m.MTU]++
		if best := out[m.Network]; v[m.MTU] > v[best] || v[m.MTU] == v[best] && m.MTU > best {
			out[m.Network] = m.MTU
		}
	}
	return out
}
