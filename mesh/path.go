package mesh

import (
	"time"

	"netchecker/probe"
)

// Path is an ordered pair of agents in one family and what is known of it.
type Path struct {
	Source, Destination Key
	Family              Family
	State               probe.State
	// Since is when State began by the server's clock; the zero time when nobody can say.
	Since  time.Time
	Probes [probe.Kinds]probe.Status
}

// Kind is the path's kind.
func (p *Path) Kind() PathKind { return KindOf(p.Source.Network, p.Destination.Network) }

// Path tells everything about a path that Refs of this same view named.
func (v *View) Path(ref Ref) Path {
	i, col, state := int(ref.source), int(ref.column), ref.State
	dest := v.table.dests[col]
	p := Path{Source: v.members[i].Key, Destination: dest.Key, Family: dest.Family, State: state}
	for k := range p.Probes {
		s := &p.Probes[k]
		s.Loss, s.Forward, s.Return = probe.LossUnknown, probe.LossUnknown, probe.LossUnknown
	}
	if v.reports[i] != Reporting {
		p.Since = v.unknownSince(i)
		return p
	}
	if to := v.agentOf[col]; v.reports[to] == ReportLeft {
		p.Since = v.unknownSince(to)
		return p
	}
	e := v.entries[i]
	at := v.translation(e.row.Table).column(col)
	if at < 0 {
		return p
	}
	p.Probes = e.row.Status(at)
	if d := e.row.detailIndex(at); d >= 0 {
		p.Since = e.since[d]
	}
	if state == probe.Unknown { // the source doubts itself: what it says of a bad path is no verdict
		for k := range p.Probes {
			if p.Probes[k].State >= probe.Degraded {
				p.Probes[k].State = probe.Unknown
			}
		}
		return p
	}
	if state != probe.OK && !v.past {
		v.joinHeard(&p, i, col)
	}
	return p
}

// joinHeard fills in the direction of loss from what the destination reports that it heard. While
// nothing comes back the source cannot know where its probes are lost, but the destination can.
func (v *View) joinHeard(p *Path, src, col int) {
	to := v.agentOf[col]
	if v.reports[to] != Reporting || v.entries[to].row.Doubt != 0 {
		return
	}
	row := v.entries[to].row
	at := v.translation(row.Table).column(v.columnOf[src][p.Family])
	if at < 0 {
		return
	}
	heard := row.Heard(at)
	for k := probe.UDP; k <= probe.TCP; k++ {
		s := &p.Probes[k]
		if s.State < probe.Degraded || s.Forward != probe.LossUnknown {
			continue
		}
		switch heard.State(k) {
		case probe.HeardSilent, probe.HeardNever:
			// A tcp request follows a handshake, which needs both directions: that it never came says
			// nothing about which of them is broken.
			if s.State == probe.Failing && k != probe.TCP {
				s.Forward = probe.LossOf(1, 1)
			}
		case probe.HeardOK:
			// A responder calls a sender silent after two of its intervals; until then "heard" is old news.
			if s.Age > v.settled(k) {
				s.Forward, s.Return = 0, s.Loss
			}
		case probe.HeardLossy:
			if d := row.HeardDetail(at); d != nil && k == probe.UDP {
				s.Forward = d.Loss
			}
		}
	}
}

// settled is how old a failure must be before the destination's "I hear it" says anything about it:
// two intervals of the probe and the time for the row, by the budget that agents have by default.
func (v *View) settled(k probe.Kind) time.Duration {
	const udpRate, otherRate = probe.DefaultRate * 6 / 10, probe.DefaultRate * 4 / 30
	rate := otherRate
	if k == probe.UDP {
		rate = udpRate
	}
	interval := max(time.Second, time.Duration(v.table.Len())*time.Second/time.Duration(rate))
	return 2*interval + time.Second
}
