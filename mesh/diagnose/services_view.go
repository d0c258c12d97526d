package diagnose

import (
	"net/netip"
	"slices"
	"time"

	"netchecker/probe"
)

// serviceView is one way to a service.
type serviceView struct {
	target  string
	address string
	virtual bool // by a Service address, which every node translates itself
	tcp     bool
	// agents are who asks, in the order of the view; bad are those for whom it fails, slow those whom it
	// answers late, or that are connected and have no answer yet. For those that wait it is late, and
	// slow or dead: it is not known which.
	agents, bad, slow, waiting []int
	codes                      [probe.Codes]int // of bad
	details                    map[string]int   // of bad
}

func newServiceView(s *probe.Service) *serviceView {
	return &serviceView{target: s.Name, address: s.Address, tcp: s.Kind == probe.ServiceDNSTCP, details: map[string]int{},
		virtual: isVirtual(s)}
}

func (v *serviceView) add(r *round, i int, s *probe.Service, cut *cutNodes, at ends) {
	answers := s.State == probe.OK || s.State == probe.Degraded && (s.Code == probe.CodeSlow || s.Code == probe.CodeLoss)
	_, told := r.View.Reported(i)
	if began := told.Add(-s.Age); s.State == probe.Unknown || !answers && cut.explains(r.View.Agent(i).Node, at, began) {
		return
	}
	v.agents = append(v.agents, i)
	switch {
	case s.State == probe.Failing:
		v.bad = append(v.bad, i)
		v.codes[min(s.Code, probe.Codes-1)]++
		v.details[s.Detail]++
	case s.State != probe.Degraded || s.Code == probe.CodeLoss:
	case s.Code == probe.CodeSlow || s.Code == probe.CodeHung && isDNS(s): // of DNS both are the server's
		v.slow = append(v.slow, i)
	default:
		v.waiting = append(v.waiting, i)
	}
}

// heard reports whether the service, or the kernel in its place, has answered as it does now.
func heard(s *probe.Service) bool {
	switch s.Code {
	case probe.CodeNone, probe.CodeRefused, probe.CodeReset, probe.CodeBadAnswer:
		return s.State != probe.Unknown
	}
	return false
}

// troubled are all for whom a service fails or is late.
func (v *serviceView) troubled() []int { return slices.Concat(v.bad, v.slow, v.waiting) }

// hold is how long what agents find of this way must last before it is said.
func (v *serviceView) hold() time.Duration {
	late := v.codes[probe.CodeTimeout] + v.codes[probe.CodeHung]
	told := v.codes[probe.CodeRefused] + v.codes[probe.CodeReset] + v.codes[probe.CodeBadAnswer]
	switch {
	case len(v.bad) > late+told:
		return serviceHold
	case len(v.slow)+told > 0:
		return serviceHoldTold
	}
	return serviceHoldLate
}

// most is the failure that most agents see.
func (v *serviceView) most(codes ...probe.Code) bool {
	hit := 0
	for _, c := range codes {
		hit += v.codes[c]
	}
	return hit > 0 && 2*hit > len(v.bad)
}

// all reports whether nearly everybody fails, late whether nearly everybody fails or has no answer in
// time, none whether hardly anybody does.
func (v *serviceView) all() bool  { return len(v.bad) > 0 && 10*len(v.bad) >= 8*len(v.agents) }
func (v *serviceView) late() bool { n := len(v.troubled()); return n > 0 && 10*n >= 8*len(v.agents) }
func (v *serviceView) none() bool { return len(v.agents) > 0 && 5*len(v.troubled()) <= len(v.agents) }

// homeOf is the one node on which the endpoints of some ways live; "" when they live on several, or not
// every one is shown to live on exactly one by the nodes' own routes.
func (r *round) homeOf(direct []*serviceView) (home string) {
	for _, v := range direct {
		node := ""
		if addr, ok := addrOf(v.address); ok {
			node = r.holderOf(addr)
		}
		if node == "" || home != "" && node != home {
			return ""
		}
		home = node
	}
	return home
}

// holderOf is the only node that sends packets for an address to one of its own links rather than to
// another node; "" when there is none, or more than one.
func (r *round) holderOf(addr netip.Addr) (node string) {
	if len(r.pictures) == 0 {
		return ""
	}
	p := r.pictures[0]
	b := &bench{p: p, given: r.Evidence}
	for n := range p.nodes {
		s := b.host(n)
		if s == nil {
			continue
		}
		way := s.RouteTo(addr, probe.MainTable)
		if way == nil || way.Via.IsValid() || way.Dev == "" {
			continue
		}
		if node != "" {
			return ""
		}
		node = p.nodes[n].name
	}
	return node
}

// ofProtocol are the ways by TCP, or those by UDP.
func ofProtocol(list []*serviceView, tcp bool) (out []*serviceView) {
	for _, v := range list {
		if v.tcp == tcp {
			out = append(out, v)
		}
	}
	return out
}
