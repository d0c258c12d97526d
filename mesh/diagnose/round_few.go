package diagnose

import (
	"netchecker/mesh"
)

// fewSpeak reports whether most of the agents that should report do not: what the few others see of
// them has too few witnesses to tell a place by what is left over.
func (p *picture) fewSpeak() bool {
	expected := 0
	for i := range p.counts {
		if state, _ := p.view.Reported(i); p.counts[i] && state != mesh.ReportLeft {
			expected++
		}
	}
	return 5*p.sources < 2*expected
}

// onlySpeaker is the node whose agents alone report, -1 where there is none such. The server lives
// there, or its agents have the only way to it.
func (p *picture) onlySpeaker() int {
	only := -1
	for i, speaks := range p.speaks {
		n := int(p.nodeOf[i])
		if !speaks || n == only {
			continue
		}
		if only >= 0 {
			return -1
		}
		only = n
	}
	return only
}

// desert reads a node that alone reports by what it does not reach: nobody tells of the way back.
// That the others are not heard says that it is broken as well.
func (d *reading) desert() {
	d.alone, d.cause, d.eliminated = true, CauseUnknown, false
	switch {
	case d.cells.at(hh, out) == broken:
		d.kind, d.shape, d.severity, d.network = NodeUnreachable, shapeCut, Critical, "host"
	case d.kind == PodEgressBlocked:
		d.kind, d.shape = ForwardingBroken, shapeForward
	}
}
