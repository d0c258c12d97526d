package sim

import (
	"net/netip"

	"netchecker/mesh"
	"netchecker/probe"
)

// plan is what an agent draws from a roster, as a real agent does: the table of its rows and the
// targets of its engine.
type plan struct {
	table   *mesh.Table
	targets []probe.Target
	columns map[columnKey]int
	nodes   int
}

type columnKey struct {
	id     uint64
	family mesh.Family
}

func newPlan(roster *mesh.Roster, self mesh.Agent) (*plan, error) {
	table, err := mesh.TableOf(roster)
	if err != nil {
		return nil, err
	}
	p := &plan{table: table, columns: make(map[columnKey]int, table.Len())}
	for i := range table.Len() {
		d := table.Dest(i)
		p.columns[columnKey{d.Key.ID(), d.Family}] = i
	}
	typical := typicalMTU(roster)
	last := ""
	for i := range roster.Agents {
		m := &roster.Agents[i]
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
			}
		}
	}
	return p, nil
}

// typicalMTU is, of each network, the MTU that most of its agents advertise.
func typicalMTU(roster *mesh.Roster) (out [mesh.Networks]uint16) {
	votes := map[mesh.Network]map[uint16]int{mesh.Pod: {}, mesh.Host: {}}
	for i := range roster.Agents {
		m := &roster.Agents[i]
		v := votes[m.Network]
		v[m.MTU]++
		if best := out[m.Network]; v[m.MTU] > v[best] || v[m.MTU] == v[best] && m.MTU > best {
			out[m.Network] = m.MTU
		}
	}
	return out
}
