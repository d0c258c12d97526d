package mesh

import "netchecker/probe"

// Counts says how many paths of one kind there are, in all and by state.
type Counts struct {
	Total   int
	ByState [probe.States]int
}

// Counts counts the paths of every kind. N nodes with both agents have 4N²−2N in each family.
func (v *View) Counts() (out [PathKinds]Counts) {
	for i := range v.members {
		from := v.members[i].Network
		counts := v.CountsFrom(i)
		for to := range Network(Networks) {
			k := KindOf(from, to)
			for state, n := range counts[to] {
				out[k].ByState[state] += n
				out[k].Total += n
			}
		}
	}
	return out
}

// CountsFrom counts the paths of agent i, of Agents, by the network of their destination and by state.
func (v *View) CountsFrom(i int) (out [Networks][probe.States]int) {
	if v.reports[i] != Reporting {
		for f := range Family(Families) {
			if v.columnOf[i][f] < 0 {
				continue
			}
			for n := range out {
				out[n][probe.Unknown] += v.columns[f][n]
			}
			out[v.members[i].Network][probe.Unknown]--
		}
		return out
	}
	row := v.entries[i].row
	tr := v.translation(row.Table)
	if v.odd(i) {
		set := newBits(v.table.Len())
		v.allowed(i, nil, set)
		v.scan(i, set, allStates, func(col int, s probe.State) bool {
			out[v.table.dests[col].Network][s]++
			return true
		})
		return out
	}
	for n := range out {
		for s, c := range row.counts[n] {
			out[n][s] = int(c)
		}
	}
	for _, at := range tr.gone { // the row's own column is not in its counts
		if d := &row.Table.dests[at]; d.Key != row.Source.Key {
			out[d.Network][pathStates[row.planes[at]]]--
		}
	}
	for _, place := range tr.lacks {
		if to := int(place >> 1); to != i {
			out[v.members[to].Network][probe.Unknown]++
		}
	}
	for n := range out {
		if row.Doubt != 0 {
			out[n][probe.Unknown] += out[n][probe.Degraded] + out[n][probe.Failing]
			out[n][probe.Degraded], out[n][probe.Failing] = 0, 0
		}
		for f := range v.columns {
			if v.columnOf[i][f] < 0 { // no path leads to a family the source does not have
				out[n][probe.Unknown] -= v.columns[f][n]
			}
		}
	}
	for _, col := range v.leftCols {
		if v.agentOf[col] == i || v.columnOf[i][v.table.dests[col].Family] < 0 {
			continue
		}
		n := v.table.dests[col].Network
		at := tr.column(col)
		if at < 0 {
			continue
		}
		s := pathStates[row.planes[at]]
		if row.Doubt != 0 && s >= probe.Degraded {
			s = probe.Unknown
		}
		out[n][s]--
		out[n][probe.Unknown]++
	}
	return out
}

// odd reports whether the row of agent i speaks of a family in which the roster knows no address of the
// agent: what it counts there are no paths.
func (v *View) odd(i int) bool {
	for f := range Family(Families) {
		if v.columnOf[i][f] < 0 && v.entries[i].row.Source.Addr(f).IsValid() {
			return true
		}
	}
	return false
}

// State is the state of the whole: the worst path. Paths from or to agents that left on purpose
// do not count; with no path at all it is unknown.
func (v *View) State() probe.State {
	worst, any := probe.OK, false
	for i := range v.members {
		if v.reports[i] == ReportLeft {
			continue
		}
		counts := v.CountsFrom(i)
		left := 0
		for _, col := range v.leftCols {
			if v.columnOf[i][v.table.dests[col].Family] >= 0 && v.agentOf[col] != i {
				left++
			}
		}
		unknown := -left
		for n := range counts {
			unknown += counts[n][probe.Unknown]
			for s := probe.OK; s <= probe.Failing; s++ {
				if counts[n][s] > 0 {
					worst, any = probe.Worst(worst, s), true
				}
			}
		}
		if unknown > 0 {
			worst, any = probe.Worst(worst, probe.Unknown), true
		}
	}
	if !any {
		return probe.Unknown
	}
	return worst
}
