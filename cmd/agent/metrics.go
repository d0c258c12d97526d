package agent

import (
	"time"

	"netchecker/api/metrics"
	"netchecker/mesh"
	"netchecker/probe"
)

// maxOwnSeries is up to how many targets the agent exports a series for every path; a bigger mesh
// is the server's to look at.
const maxOwnSeries = 200

// snapshot is what the agent's metrics say at a scrape.
func (a *Agent) snapshot() metrics.AgentSnapshot {
	p, g := a.plan.Load(), a.gossip.Stats()
	s := metrics.AgentSnapshot{Self: a.gossip.Self().Key, Doubt: a.engine.Doubt(), Probes: a.engine.Stats(), Services: a.watch.Snapshot(),
		Gossip: metrics.GossipStats{Members: g.Members, Unread: g.Unread, Health: g.Health, Joins: g.Joins, JoinsFailed: g.JoinsFailed,
			LookupsFailed: g.LookupsFailed, Conflicts: g.Conflicts, KeyErrors: g.KeyErrors, PacketsSent: g.PacketsSent,
			PacketsReceived: g.PacketsReceived, BytesSent: g.BytesSent, BytesReceived: g.BytesReceived}}
	c, r := a.client.Stats(), a.relay.Stats()
	s.Direct, s.Relayed, s.Undelivered = c.Direct, c.Relayed, c.Failed
	s.RelayDone, s.RelayRefused = r.Done, r.Refused
	if len(p.targets) > maxOwnSeries {
		return s
	}
	for _, status := range a.engine.Snapshot(nil) {
		if i := p.column(status.Target.ID, status.Target.Addr.Addr()); i >= 0 {
			d := p.table.Dest(i)
			s.Paths = append(s.Paths, metrics.AgentPath{Destination: d.Key, Family: d.Family, Probes: status.Probes})
		}
	}
	return s
}

// observe files a round trip under its path's kind.
func (a *Agent) observe(kind probe.Kind, target uint64, rtt time.Duration) {
	p := a.plan.Load()
	if p == nil {
		return
	}
	for f := range mesh.Family(mesh.Families) {
		if i, ok := p.columns[columnKey{target, f}]; ok {
			a.metrics.ObserveRTT(mesh.KindOf(a.cfg.Network, p.table.Dest(i).Network), kind, rtt)
			return
		}
	}
}
