package diagnose

import (
	"slices"

	"netchecker/mesh"
	"netchecker/probe"
)

// reading is what a suspect means: the finding before words and evidence.
type reading struct {
	*suspect
	kind     Kind
	cause    Cause
	severity Severity
	network  string
	// culprit is the node to look at, -1 when none stands out; a pair's source and destination follow
	// the direction in which packets are lost, both ways when both is true.
	culprit    int
	from, to   int
	both       bool
	shape      shape
	dir        direction
	confidence float64
	unsure     bool // what tells this kind or cause from another has not been told yet
	eliminated bool // the cause is what remains, nothing shows it
	shown      bool // the cause is shown by evidence, or by who answers
	alone      bool // nobody but the node itself reports
	facts      []Fact
	other      []string
	peer       int // the other owner of an address, -1 for none
	detail     detail
	families   int
	own        hearing // of the suspect node's own agents
}

// detail holds what the summary of a cause needs to name.
type detail struct {
	dev, route, addr, other string
	want, got               string
}

// read says what a suspect of the picture means, by its signature alone.
func (p *picture) read(s *suspect) reading {
	r := reading{suspect: s, culprit: s.node, from: s.a, to: s.b, both: true, peer: -1, severity: Critical, families: 1}
	r.dir = s.facts.direction()
	r.network = "pod"
	if r.touches(hh) || s.class == quiet && r.touches(ph) {
		r.network = "host"
	}
	if s.scope == ScopeNode {
		r.own = r.hear(p)
		r.shape = shapeOf(&s.cells)
	}
	r.confidence = confidence(s)
	switch s.class {
	case dead:
		r.readDead()
		if s.scope == ScopeCluster && r.kind == PodIngressBlocked {
			r.unsure = s.cells.known[hp][out] == 0 && p.hosts() // none of them is heard yet
		}
	case big:
		r.readBig()
	case conn:
		r.readConn()
	case weak:
		r.readWeak()
	case quiet:
		r.kind, r.severity = ProtocolBlocked, Info
	}
	if s.scope == ScopePair {
		r.orient()
	}
	return r
}

// hosts reports whether there are agents of the host network.
func (p *picture) hosts() bool {
	return slices.ContainsFunc(p.nodes, func(n node) bool { return n.agent[mesh.Host] >= 0 })
}

// confidence grows with witnesses: with fewer than three it is low.
func confidence(s *suspect) float64 {
	c := 0.9
	switch {
	case s.witnesses < 2:
		c = 0.5
	case s.witnesses < 3:
		c = 0.6
	}
	if s.scope == ScopePair {
		c = 0.8 // all others bear witness that it is only these two
	}
	if s.partial {
		c -= 0.3
	}
	return max(c, 0.1)
}

// touches reports whether paths of a kind are among those the suspect explains.
func (r *reading) touches(k mesh.PathKind) bool {
	return r.cells.at(k, out) >= mixed || r.cells.at(k, in) >= mixed
}

func (r *reading) readDead() {
	f := &r.suspect.facts
	if f.any(in, probe.CodeWrongPeer) || f.any(out, probe.CodeWrongPeer) {
		r.kind, r.cause, r.shown = AddressConflict, DuplicatePodIP, true
		if r.network == "host" && !r.touches(pp) {
			r.cause = DuplicateNodeIP
		}
		return
	}
	switch r.scope {
	case ScopeNode:
		r.readNode()
	case ScopePair:
		r.kind = PairBroken
		if r.network == "host" {
			r.cause, r.eliminated = UnderlayFiltered, true
			if r.dir == outOnly || r.dir == inOnly {
				r.kind, r.cause, r.eliminated = OneWay, CauseUnknown, false
			}
		}
	case ScopeGroups:
		r.kind = Partition
		if r.dir == outOnly || r.dir == inOnly {
			r.kind = OneWay
		}
	case ScopeCluster:
		r.readCluster()
	}
	if r.scope != ScopeCluster && r.kind != AgentDown && r.onlyUDP() {
		r.kind, r.cause, r.eliminated, r.severity = ProtocolBlocked, UDPFiltered, true, Warning
		if r.shape == shapeHostIn || r.shape == shapePodIn {
			r.kind, r.cause = PortBlocked, AgentPortBlocked
		}
	}
}

// onlyUDP reports whether connections go on where small udp probes have been dead for long enough.
func (r *reading) onlyUDP() bool {
	f := &r.suspect.facts
	for w := range way(ways) {
		if f.paths[w] > 0 && !f.still(w, probe.TCP, probe.OK) {
			return false
		}
	}
	return f.paths[out]+f.paths[in] > 0
}

func (r *reading) readCluster() {
	podNet, hosts := r.touches(pp) || r.touches(hp), r.touches(hh)
	switch {
	case r.inside:
		r.kind = NodeRoutingBroken
	case r.partial:
		r.kind, r.severity = Unexplained, Warning
	case r.onlyUDP():
		r.kind, r.cause, r.eliminated = ProtocolBlocked, UDPFiltered, true
	case hosts && r.suspect.facts.still(out, probe.ICMP, probe.OK):
		r.kind, r.cause, r.eliminated = PortBlocked, AgentPortBlocked, true
	case hosts:
		r.kind = NodeUnreachable
	case podNet && r.touches(ph):
		r.kind = ForwardingBroken
	case podNet && r.touches(hp):
		r.kind, r.cause, r.eliminated = OverlayBroken, VXLANBlocked, true
	case podNet:
		r.kind, r.cause, r.eliminated = PodIngressBlocked, PolicyOrFilter, true
	default:
		r.kind = PodEgressBlocked
	}
}

func (r *reading) readNode() {
	f := &r.suspect.facts
	silentPod, silentHost := r.own.silent[mesh.Pod], r.own.silent[mesh.Host]
	latePod, lateHost := r.own.late[mesh.Pod], r.own.late[mesh.Host]
	refused := f.mostly(in, probe.UDP, probe.CodeRefused) || f.mostly(in, probe.TCP, probe.CodeRefused)
	ping, sure := f.answersPing(in)
	hung := ping && sure && f.any(in, probe.CodeTimeout, probe.CodeHung)
	agent := func(silent, late bool) bool {
		r.unsure = late && (!silent || !refused && ping && !sure)
		if !refused && !ping { // it will not turn out to be a dead process
			r.own.news = 0
		}
		if silent && (refused || hung) {
			r.kind, r.severity, r.cause = AgentDown, Warning, ProcessDown
			if !refused {
				r.cause = ProcessHung
			}
		}
		return r.kind == AgentDown
	}
	rejected := f.any(in, probe.CodeHostUnreachable)
	switch r.shape {
	case shapeCut:
		if agent(silentPod && silentHost, latePod && lateHost) {
			return
		}
		r.kind = NodeUnreachable
		if silentPod && silentHost {
			r.kind = NodeDown
		}
	case shapeOverlay:
		r.kind = OverlayBroken
	case shapeForward:
		if !agent(silentPod, latePod) {
			r.kind = ForwardingBroken
		}
	case shapeAttach:
		if !agent(silentPod, latePod) {
			r.kind = PodAttachmentBroken
		}
	case shapePodIn:
		if !agent(silentPod, latePod) {
			r.kind, r.cause, r.eliminated = PodIngressBlocked, PolicyOrFilter, true
		}
	case shapePodOut:
		r.kind, r.cause, r.eliminated = PodEgressBlocked, PolicyOrFilter, true
	case shapeHostIn, shapeWall:
		if r.shape == shapeHostIn && agent(silentHost, lateHost) {
			return
		}
		r.kind, r.cause, r.eliminated = PortBlocked, HostFirewallDrop, true
		if rejected {
			r.cause = HostFirewallReject
		}
	case shapeHostOut:
		r.kind, r.cause, r.eliminated = PortBlocked, HostFirewallDrop, true
	case shapeRouting:
		r.kind = NodeRoutingBroken
	default:
		r.kind = Unexplained
	}
}

func (r *reading) readBig() {
	f := &r.suspect.facts
	r.kind, r.severity = MTUBlackhole, Warning
	tooBig := f.bigFrom[mesh.Pod][probe.CodeTooBig]
	silence := f.bigFrom[mesh.Pod][probe.CodeTimeout]
	if tooBig+silence == 0 {
		tooBig, silence = f.bigFrom[mesh.Host][probe.CodeTooBig], f.bigFrom[mesh.Host][probe.CodeTimeout]
	}
	if tooBig > 0 && 2*tooBig >= silence {
		r.kind = MTUMismatch
	} else if r.network == "host" {
		r.cause, r.eliminated = UnderlayMTULow, true
	}
}

func (r *reading) readConn() {
	f := &r.suspect.facts
	if r.scope == ScopeNode && r.onlyOld() {
		r.readNode()
		return
	}
	r.severity = Warning
	hosts, pods := r.touches(hh) || r.touches(ph) && r.scope == ScopeNode && r.cells.at(ph, in) >= mixed, r.touches(pp) || r.touches(hp)
	switch {
	case f.any(in, probe.CodeWrongPeer) || f.any(out, probe.CodeWrongPeer):
		r.kind, r.cause = AddressConflict, DuplicatePodIP
	case f.mostly(in, probe.TCP, probe.CodeHung, probe.CodeReset, probe.CodeRefused) && r.scope == ScopeNode:
		r.kind, r.cause = AgentUnhealthy, ProcessHung
	case r.scope == ScopeNode && pods && !hosts && r.cells.broken(out) == 0:
		// Flows from before a policy live on in the connection tracker: for minutes only what opens
		// connections shows it.
		r.kind, r.cause, r.eliminated, r.severity = PodIngressBlocked, PolicyOrFilter, true, Critical
		r.other = append(r.other, "only the TCP port of the agent is blocked")
	case r.scope == ScopeNode && hosts != pods:
		r.kind, r.cause, r.eliminated = PortBlocked, AgentPortBlocked, true
	default:
		r.kind, r.cause, r.eliminated = ProtocolBlocked, TCPFiltered, true
	}
}

// onlyOld reports whether small probes fail as well where connections do, as far as their flows are
// new: a stateful filter, which is no matter of one protocol.
func (r *reading) onlyOld() bool {
	f := &r.suspect.facts
	lossy, all := 0, 0
	for w := range way(ways) {
		for state, n := range f.states[w][probe.UDP] {
			all += n
			if probe.State(state) >= probe.Degraded {
				lossy += n
			}
		}
	}
	return 3*lossy > all
}

func (r *reading) readWeak() {
	f := &r.suspect.facts
	r.severity = Warning
	switch {
	case f.mostly(out, probe.UDP, probe.CodeSlow) || f.mostly(in, probe.UDP, probe.CodeSlow):
		r.kind = HighLatency
	case 2*f.flows > f.paths[out]+f.paths[in]:
		r.kind = FlowBlackhole
	default:
		r.kind = PartialLoss
		if r.partial && r.scope == ScopeCluster {
			r.kind = Unexplained
		}
	}
}

// orient gives a pair the direction in which packets are lost, or in which connections fail.
func (r *reading) orient() {
	forth, back := r.cells.broken(out), r.cells.broken(in)
	switch {
	case r.dir == outOnly || r.dir == unclear && forth != 0 && back == 0:
		r.both = false
	case r.dir == inOnly || r.dir == unclear && back != 0 && forth == 0:
		r.both, r.from, r.to = false, r.b, r.a
	}
}
