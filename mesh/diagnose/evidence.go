package diagnose

import (
	"fmt"
	"net/netip"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// bench is where evidence is compared: what nodes read about themselves, by node number of one
// picture, and what is usual among them.
type bench struct {
	p     *picture
	d     *reading
	began time.Time
	given map[mesh.Key]*probe.Snapshot
	// sample are the nodes whose evidence stands for the healthy ones: a few, so that a round over
	// thousands of nodes stays short. The suspects are not among them.
	sample []int
}

// maxBench is how many healthy nodes a suspect is compared with.
const maxBench = 24

// explain asks the evidence for the cause of what a reading says.
func (r *round) explain(p *picture, d *reading) {
	b := &bench{p: p, d: d, given: r.Evidence}
	b.began, _ = d.suspect.facts.began()
	var rest []int
	for n := range p.nodes {
		if n != d.node && n != d.a && n != d.b && b.host(n) != nil {
			rest = append(rest, n)
		}
	}
	b.sample = spread(b.familiar(rest), maxBench)
	for _, ask := range b.questions() {
		if ask() {
			break
		}
	}
	if d.cause == HostFirewallDrop && d.eliminated {
		// Only the node knows whether it rejects, and a reading of which the trouble is a small part shows
		// no rate.
		s, at := b.snapshot(d.node, mesh.Host)
		d.unsure = d.unsure || s != nil && at.Sub(b.began) <= max(time.Second, s.Interval/4)
	}
}

// familiar are those of a list that the suspects have looked at: a node in a big mesh tells of its
// ways to some of its peers only, and only those can be compared.
func (b *bench) familiar(list []int) (known []int) {
	seen := map[netip.Addr]bool{}
	for _, n := range b.suspects() {
		if s := b.host(n); s != nil {
			for i := range s.Lookups {
				seen[s.Lookups[i].Dst] = true
			}
		}
	}
	if len(seen) == 0 {
		return list
	}
	for _, n := range list {
		if seen[b.addr(n, mesh.Pod)] || seen[b.addr(n, mesh.Host)] {
			known = append(known, n)
		}
	}
	if len(known) == 0 {
		return list
	}
	return known
}

// questions are what to ask of the evidence, the first answer counts.
func (b *bench) questions() []func() bool {
	n := b.d.node
	switch b.d.class {
	case dead:
		return b.deadQuestions(n)
	case big:
		return []func() bool{b.mtu}
	case quiet:
		return []func() bool{b.echoIgnored, b.filterRule}
	case conn:
		return []func() bool{b.conntrack, b.filterRule, b.rejecting}
	case weak:
		return []func() bool{b.conntrack, b.quality}
	}
	return nil
}

func (b *bench) deadQuestions(n int) []func() bool {
	switch {
	case b.d.scope == ScopeCluster:
		return []func() bool{b.overlayEverywhere}
	case b.d.scope == ScopePair:
		return []func() bool{b.samePodIP, b.sameCIDR, b.pair}
	case b.d.scope != ScopeNode:
		return nil
	}
	switch b.d.shape {
	case shapeCut:
		return []func() bool{b.nic, b.conntrack, b.strayWay, b.sameNodeIP, b.neighborTable, b.filterRule}
	case shapeOverlay:
		return []func() bool{b.samePodIP, b.conntrack, b.tunnel, b.sameCIDR, b.tunnelPeers, b.lanRoute, b.toldOfTunnel, b.reversePath, b.wall, b.tunnelFiltered}
	case shapeForward:
		return []func() bool{b.conntrack, b.samePodIP, b.forwarding, b.lanRoute, b.reversePath, b.wall, b.forwardFiltered}
	case shapeAttach:
		return []func() bool{b.conntrack, b.samePodIP, b.bridge, b.forwarding, b.wall}
	case shapePodIn, shapePodOut:
		return []func() bool{b.samePodIP, b.sameCIDR, b.lanRoute, b.reversePath, b.filterRule}
	case shapeHostIn, shapeHostOut, shapeWall:
		return []func() bool{b.conntrack, b.sameNodeIP, b.filterRule, b.rejecting} // one way works: so does the interface
	case shapeRouting:
		return []func() bool{b.policyRule, b.reversePath, b.filterRule}
	}
	return []func() bool{b.conntrack, b.policyRule}
}

// snapshot is what an agent of a node last told, nil when nothing.
func (b *bench) snapshot(n int, network mesh.Network) (*probe.Snapshot, time.Time) {
	if n < 0 {
		return nil, time.Time{}
	}
	at := b.p.nodes[n].agent[network]
	if at < 0 {
		return nil, time.Time{}
	}
	s, when := b.p.view.EvidenceOf(int(at))
	if given := b.given[b.p.view.Agent(int(at)).Key]; given != nil {
		s = given
	}
	return s, when
}

// host is what the host agent of a node read.
func (b *bench) host(n int) *probe.Snapshot {
	s, _ := b.snapshot(n, mesh.Host)
	return s
}

// fresh reports whether what the host agent of a node read is of the time of the trouble: only
// then does it mean anything that nothing is to be seen.
func (b *bench) fresh(n int) bool {
	s, at := b.snapshot(n, mesh.Host)
	return s != nil && !b.began.IsZero() && at.After(b.began)
}

// addr is the address of a node's agent in the picture's family, the zero Addr when there is none.
func (b *bench) addr(n int, network mesh.Network) netip.Addr {
	at := b.p.nodes[n].agent[network]
	if at < 0 {
		return netip.Addr{}
	}
	return b.p.view.Agent(int(at)).Addr(b.p.family)
}

func (b *bench) name(n int) string { return b.p.nodes[n].name }

// settle makes a cause of what the evidence shows.
func (b *bench) settle(kind Kind, cause Cause, culprit int, facts ...Fact) bool {
	b.d.kind, b.d.cause, b.d.eliminated, b.d.shown = kind, cause, false, true
	if culprit >= 0 {
		b.d.culprit = culprit
	}
	b.d.facts = append(b.d.facts, facts...)
	b.d.confidence = min(b.d.confidence+0.05, 0.97)
	return true
}

// remain makes a cause of what is left after everything that could be read is well.
func (b *bench) remain(kind Kind, cause Cause, facts ...Fact) bool {
	b.d.kind, b.d.cause, b.d.eliminated = kind, cause, true
	b.d.facts = append(b.d.facts, facts...)
	return true
}

func (b *bench) fact(n int, what, value, expected string) Fact {
	return Fact{Node: b.name(n), Fact: what, Value: value, Expected: expected}
}

// usual is the value that most of the sampled nodes have, and how many have it of how many asked.
func usual[T comparable](b *bench, of func(n int, s *probe.Snapshot) (T, bool)) (value T, have, asked int) {
	counts := map[T]int{}
	for _, n := range b.sample {
		if v, ok := of(n, b.host(n)); ok {
			counts[v]++
			asked++
		}
	}
	for _, n := range b.sample { // in the order of nodes, so that ties fall the same way each time
		if v, ok := of(n, b.host(n)); ok && counts[v] > have {
			value, have = v, counts[v]
		}
	}
	return value, have, asked
}

// rates compares the growth of a counter per second at a node with the highest among healthy nodes.
func (b *bench) rates(n int, of func(s *probe.Snapshot) float64) (here, elsewhere float64) {
	s := b.host(n)
	if s == nil {
		return 0, 0
	}
	for _, m := range b.sample {
		elsewhere = max(elsewhere, of(b.host(m)))
	}
	return of(s), elsewhere
}

// stands reports whether a node's counter grows while those of healthy nodes hardly do.
func (b *bench) stands(n int, least float64, of func(s *probe.Snapshot) float64) bool {
	here, elsewhere := b.rates(n, of)
	return here >= least && here >= 4*elsewhere
}

func growth(c probe.Counter) func(s *probe.Snapshot) float64 {
	return func(s *probe.Snapshot) float64 { return s.Rate(c) }
}

func vanished(s *probe.Snapshot) float64 {
	if s.Interval <= 0 {
		return 0
	}
	return float64(s.Vanished()) / s.Interval.Seconds()
}

func perSecond(v float64) string { return fmt.Sprintf("%.1f/s", v) }

// way is where a namespace sends what goes to an address.
type wayOut struct {
	dev  string
	via  netip.Addr
	kind probe.RouteType
	err  probe.Code
	// dst is the route that decides, as far as it is known.
	dst netip.Prefix
}

// wayTo is false when the snapshot says nothing of the address: where it has asked the kernel for some
// ways, those that it has not asked for are not known.
func wayTo(s *probe.Snapshot, to netip.Addr) (wayOut, bool) {
	route := s.RouteTo(to, probe.MainTable)
	if l := s.Lookup(to, netip.Addr{}); l != nil {
		w := wayOut{dev: l.Dev, via: l.Via, kind: l.Type, err: l.Err}
		if route != nil && route.Dev == l.Dev {
			w.dst = route.Dst
		}
		return w, true
	}
	if len(s.Lookups) > 0 {
		return wayOut{}, false
	}
	if route == nil {
		return wayOut{err: probe.CodeNetUnreachable}, len(s.Routes) > 0
	}
	return wayOut{dev: route.Dev, via: route.Via, kind: route.Type, dst: route.Dst}, true
}

func (w wayOut) String() string {
	if w.err != probe.CodeNone {
		return "no route (" + w.err.String() + ")"
	}
	text := "dev " + w.dev
	if w.via.IsValid() {
		text = "via " + w.via.String() + " " + text
	}
	if w.dst.IsValid() {
		text = w.dst.String() + " " + text
	}
	return text
}
