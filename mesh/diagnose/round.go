package diagnose

import (
	"slices"
	"strings"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// Input is what one round of diagnosis looks at. What agents read about their nodes is in the view.
type Input struct {
	View *mesh.View
	// Evidence is used in place of what the view holds for the agents that it names.
	Evidence map[mesh.Key]*probe.Snapshot
	// Nodes is what Kubernetes says of the nodes it knows; nil without Kubernetes.
	Nodes map[string]NodeFacts
	// Leaving are the names of agents whose pods were told to go: that they fall silent is no fault.
	Leaving map[string]bool
	Now     time.Time
}

// NodeFacts is what Kubernetes says of one node.
type NodeFacts struct {
	// Gone nodes were deleted: their agents, if any still run, are nobody's concern.
	Gone bool
	// Cordoned nodes take no new pods; NotReady ones have not been heard of by the control plane.
	Cordoned, NotReady bool
}

// candidate is a finding as one round sees it, before the tracker has made up its mind.
type candidate struct {
	Finding
	// slot says what it is about: a candidate with the same slot in the next round is the same finding.
	slot  string
	class class
	// hold is how long it must last before it is said.
	hold time.Duration
	// wait is how much longer what is needed to tell two kinds apart may take to come.
	wait time.Duration
	// proof ranks what the cause rests on: 0 for nothing, 1 for elimination, 2 for evidence.
	proof int
	nodes []string
	// weight is how many paths, or ways to a service, it accounts for.
	weight int
	// variant tells readings apart that kind, cause and place do not.
	variant string
}

// round is one round's working memory.
type round struct {
	Input
	tracker  *Tracker
	pictures []*picture
	dual     bool
	found    []candidate
	// explained holds the slots of consequences, each with the slot of what explains it.
	explained map[string]string
	asked     []*service // what agents say of services
}

func (r *round) run() []candidate {
	for f := range mesh.Family(mesh.Families) {
		p := newPicture(r.View, f, r.tracker)
		if slices.ContainsFunc(p.nodes, func(n node) bool { return n.agent != [mesh.Networks]int32{-1, -1} }) {
			r.pictures = append(r.pictures, p)
		}
	}
	r.dual = len(r.pictures) > 1
	if r.allSilent() {
		return r.found
	}
	for _, p := range r.pictures {
		for _, reading := range r.readings(p) {
			r.add(p, reading)
		}
	}
	r.agents()
	if !slices.ContainsFunc(r.pictures, (*picture).fewSpeak) {
		r.services()
	}
	return r.found
}

// readings finds the suspects of one family and what they mean.
func (r *round) readings(p *picture) (all []reading) {
	x := newExcuse(len(p.nodes))
	few, only := p.fewSpeak(), -1
	if few {
		only = p.onlySpeaker()
	}
	for c := range class(classes) {
		for _, s := range p.locate(c, x) {
			p.look(&s)
			reading := p.read(&s)
			if s.scope == ScopeNode && s.node == only && c == dead {
				reading.desert()
			}
			r.explain(p, &reading)
			all = append(all, reading)
		}
	}
	kept, explained := fold(all)
	for d, by := range explained {
		r.explained[p.slotOf(&all[d])] = p.slotOf(&all[by])
	}
	if all = kept; few {
		all = slices.DeleteFunc(all, func(d reading) bool {
			return !d.shown && !d.alone && d.kind != NodeDown && (d.scope == ScopeNode || d.scope == ScopePair)
		})
	}
	return all
}

// add makes a candidate of a reading, or joins it to that of the other family.
func (r *round) add(p *picture, d reading) {
	c := r.candidate(p, &d)
	at := slices.IndexFunc(r.found, func(other candidate) bool { return other.slot == c.slot })
	if at < 0 {
		r.found = append(r.found, c)
		return
	}
	if same := &r.found[at]; same.Kind == c.Kind { // both families suffer: the first one's words do for both
		same.Explains += c.Explains
		same.weight += c.weight
		if before, ok := strings.CutSuffix(same.Summary, only(mesh.IPv4)); ok {
			same.Summary = before
		}
		for i := range same.Paths {
			same.Paths[i].Family = ""
		}
		if c.proof > same.proof {
			same.Cause, same.proof, same.Evidence, same.Summary, same.Check = c.Cause, c.proof, c.Evidence, strings.TrimSuffix(c.Summary, only(p.family)), c.Check
		}
	}
}

func only(f mesh.Family) string {
	if f == mesh.IPv6 {
		return " (IPv6 only)"
	}
	return " (IPv4 only)"
}

func (r *round) candidate(p *picture, d *reading) candidate {
	c := candidate{class: d.class}
	c.Kind, c.Severity, c.Cause, c.Confidence = d.kind, d.severity, d.cause, d.confidence
	c.Explains, c.weight = d.weight, d.weight
	c.Location = p.location(d)
	c.nodes = c.Location.Nodes
	c.slot = p.slotOf(d)
	c.Since, _ = d.suspect.facts.began()
	c.Paths = p.selectors(d, r.dual)
	c.Evidence = d.facts
	c.Alternatives = d.other
	c.Summary, c.Check = p.words(d)
	if r.dual {
		c.Summary += only(p.family)
	}
	switch {
	case d.cause == CauseUnknown:
	case d.eliminated:
		c.proof = 1
	default:
		c.proof = 2
	}
	c.hold = holdOf(d)
	switch {
	case d.unsure && d.shape != shapeCut:
		c.wait = max(longPatience, d.own.news)
	case d.unsure, d.kind == NodeUnreachable && !r.aliveSince(p, d):
		c.wait = longPatience
	}
	if c.proof < 2 {
		c.Confidence = max(c.Confidence-0.1, 0.1)
	}
	return c
}

// slotOf names what a candidate is about in a way that better knowledge does not change.
func (p *picture) slotOf(d *reading) string {
	at := p.location(d)
	parts := []string{string(d.scope), classNames[d.class]}
	switch d.scope {
	case ScopePair:
		parts = append(parts, at.Nodes...)
	case ScopeNode:
		parts = append(parts, p.name(d.node))
	case ScopeCluster:
		parts = append(parts, at.Network)
		if d.inside {
			parts = append(parts, "inside")
		}
	}
	return strings.Join(parts, "\x00")
}

var classNames = [classes + 1]string{"dead", "big", "conn", "weak", "quiet", ""}

// holdOf is how long a suspicion must last before it is said: rows come within a second of each
// other, and what looks like a bad pair in one round is a dead node in the next.
func holdOf(d *reading) time.Duration {
	switch {
	case d.kind == AgentDown && d.cause == ProcessHung:
		return 8 * time.Second
	case d.kind == AgentDown:
		return 2 * time.Second
	case d.class == dead && d.scope == ScopePair:
		return 1500 * time.Millisecond
	case d.class == dead:
		return time.Second
	case d.class == big && (d.inside || d.scope == ScopeNode && d.cells.weight() == 0):
		return 10 * time.Second // where the mesh comes to expect another size, a node's own paths are the last to fit
	case d.class == big:
		return 2 * time.Second
	case d.class == conn:
		return 3 * time.Second
	case d.class == weak && d.kind != PartialLoss:
		return 3 * time.Second
	case d.class == weak && d.weight < 3:
		return 12 * time.Second
	case d.class == weak:
		return 5 * time.Second
	case d.scope == ScopeNode && d.witnesses > 1: // ping alone is no alarm, but several see it
		return 4 * time.Second
	}
	return 10 * time.Second
}

// aliveSince reports whether a node that others do not reach has reported after they lost it.
func (r *round) aliveSince(p *picture, d *reading) bool {
	if d.scope != ScopeNode {
		return true
	}
	began, _ := d.suspect.facts.began()
	for _, at := range p.nodes[d.node].agent {
		if at < 0 {
			continue
		}
		if state, last := r.View.Reported(int(at)); state == mesh.Reporting && last.After(began.Add(time.Second)) {
			return true
		}
	}
	return false
}
