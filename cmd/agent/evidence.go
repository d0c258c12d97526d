package agent

import (
	"context"
	"net/netip"
	"slices"

	"netchecker/mesh"
	"netchecker/probe"
	"netchecker/probe/evidence"
)

// readEvidence reads what the node says about itself, from time to time and soon after a path of
// this node turned bad. The next row takes it to the servers.
func (a *Agent) readEvidence(ctx context.Context) error {
	a.reader.Run(ctx, a.interest, func(s *probe.Snapshot, err error) {
		if err != nil {
			a.log.Debug("evidence not read", "error", err)
		}
		if s != nil {
			a.evidence.Store(s)
			wake(a.evidenceNews)
		}
	})
	return nil
}

// interest is what the evidence must be about: the agents of the mesh, those that do not answer first.
func (a *Agent) interest() evidence.Interest {
	p := a.plan.Load()
	out := evidence.Interest{Ports: []uint16{a.cfg.ProbePort, a.cfg.GossipPort}}
	for _, m := range p.roster.Agents {
		if m.Node != a.cfg.Node {
			continue
		}
		for f := range mesh.Family(mesh.Families) {
			if addr := m.Addr(f); addr.IsValid() {
				out.Self = append(out.Self, addr)
			}
		}
	}
	var good []netip.Addr
	for _, s := range a.engine.Snapshot(nil) {
		addr := s.Target.Addr.Addr()
		switch {
		case slices.Contains(out.Self, addr):
		case badPath(&s.Probes):
			out.Peers = append(out.Peers, addr)
		default:
			good = append(good, addr)
		}
	}
	out.Peers = append(out.Peers, good...)
	return out
}

func badPath(probes *[probe.Kinds]probe.Status) bool {
	for k := range probes {
		if probes[k].State >= probe.Degraded {
			return true
		}
	}
	return false
}

// wake signals a channel of length 1 that something is new.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
