package agent

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/api"
	"netchecker/api/client"
	"netchecker/mesh"
	"netchecker/probe"
	"netchecker/probe/service"
)

// serverState is what the agent remembers of one server between rows.
type serverState struct {
	// roster is the version that the server's last answer told.
	roster uint64
	// knows is the table that the server has seen.
	knows mesh.TableHash
	// evidence is the last that the server took.
	evidence *probe.Snapshot
	// services are those that the server last named, maybe none; nil while it has said nothing of them.
	services *[]api.ServiceTarget
}

// servers are the addresses to post to: every server that gossip hears; where it hears none, or none
// of them took the last row, the one of -serverendpoint and those it once heard too: an address that
// a server advertises may not be one that this agent reaches.
func (a *Agent) servers() []string {
	return serversOf(a.gossip.Roster(), a.cfg.ServerEndpoint, a.unheard.Load())
}

// serversOf lists them in the order in which they are worth the time of one delivery, which those that are
// no more can use up: where gossip has no way, each pod that the server ever had is dead and not left.
func serversOf(roster *mesh.Roster, endpoint string, unheard bool) []string {
	var out []string
	var dead []mesh.Member
	for _, m := range roster.Servers {
		switch m.Life {
		case mesh.Alive:
			out = append(out, serverAt(m))
		case mesh.Dead:
			dead = append(dead, m)
		}
	}
	if len(out) == 0 || unheard {
		out = append(out, endpoint)
		slices.SortStableFunc(dead, func(a, b mesh.Member) int { return cmp.Compare(b.Boot, a.Boot) })
		for _, m := range dead {
			out = append(out, serverAt(m))
		}
	}
	return distinct(out)
}

func serverAt(m mesh.Member) string { return netip.AddrPortFrom(m.Primary(), m.ProbePort).String() }

// distinct leaves out what a list has already: a server's address may be that of -serverendpoint, or
// of one before it, and no row goes to one server twice.
func distinct(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// relayable are the servers this agent relays to: all that it would post to itself.
func (a *Agent) relayable() []string { return append(a.servers(), a.cfg.ServerEndpoint) }

// peers are the agents to relay through, best first, those that answer our probes before the others. A
// pod's own node comes first: it is the one agent that is still reached when the node forwards
// nothing, and until the probes have found that out every other one looks as good (a row that tried
// three of them came 5 s late). Next are those who share a node with a server: their way to it
// crosses no network that may be broken, and they are the only ones who reach it when the overlay is
// broken everywhere. Then come those on the host network. The order among equals is by chance, so
// that not all ask the same one.
func (a *Agent) peers(p *plan) (out []string) {
	var byRank [ranks][]string
	homes := serverNodes(a.gossip.Roster())
	for _, s := range a.engine.Snapshot(nil) {
		col := p.column(s.Target.ID, s.Target.Addr.Addr())
		if col < 0 {
			continue
		}
		rank := relayRank(a.cfg.Node, homes, p.table.Dest(col).Key, &s.Probes)
		byRank[rank] = append(byRank[rank], s.Target.Addr.String())
	}
	for _, list := range byRank {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		out = append(out, list...)
	}
	return out
}

// serverNodes are the nodes on which the servers run that gossip hears, or once heard.
func serverNodes(r *mesh.Roster) (out []string) {
	for _, m := range r.Servers {
		if m.Life != mesh.Left && m.Node != "" {
			out = append(out, m.Node)
		}
	}
	return out
}

// ranks is the number of places that relayRank gives.
const ranks = 6

// relayRank is the place of a peer among those that may relay for an agent on node while servers run
// on homes: 0 is asked first.
func relayRank(node string, homes []string, peer mesh.Key, probes *[probe.Kinds]probe.Status) int {
	answers := probes[probe.TCP].State == probe.OK && probes[probe.UDP].State == probe.OK
	switch {
	case answers && peer.Network == mesh.Host && peer.Node == node:
		return 0
	case answers && peer.Node != node && slices.Contains(homes, peer.Node):
		return 1
	case answers && peer.Network == mesh.Host:
		return 2
	case answers && peer.Node != node:
		return 3
	case peer.Network == mesh.Host:
		return 4
	}
	return 5
}

// deliverRow posts the row to every server at once and takes in what they answer. What could not
// be delivered is forgotten: the next row says everything anew. Once one has taken it the others have not
// much time: for minutes gossip hears a server whose machine has died, and to wait for that one would make
// the rows of all others overdue.
func (a *Agent) deliverRow(ctx context.Context, row *mesh.Row) {
	ctx, cancel := context.WithTimeout(ctx, rowTimeout)
	defer cancel()
	p := a.plan.Load()
	servers, peers := a.servers(), a.peers(p)
	states := make(map[string]*serverState, len(servers))
	news := a.evidence.Load()
	for _, at := range servers {
		if s := a.serverStates[at]; news != nil && (s == nil || s.evidence != news) {
			row.Evidence = news // until every server has taken it
		}
	}
	short := a.codec.Encode(nil, row, false)
	took := make([]bool, len(servers))
	var first sync.Once
	var end *time.Timer
	var g errgroup.Group
	g.SetLimit(4)
	for i, at := range servers {
		s := a.serverStates[at]
		if s == nil {
			s = &serverState{}
		}
		states[at] = s
		g.Go(func() error {
			if took[i] = a.postRow(ctx, at, s, peers, row, short); took[i] {
				first.Do(func() { end = time.AfterFunc(graceFor(row.Interval), cancel) })
			}
			return nil
		})
	}
	_ = g.Wait() // nothing returns an error
	if end != nil {
		end.Stop()
	}
	roster := a.gossip.Roster()
	a.unheard.Store(len(thatTook(roster, mesh.Alive, servers, took)) == 0)
	a.gossip.Heard(thatTook(roster, mesh.Dead, servers, took))
	a.serverStates = states
	if targets, known := watched(a.cfg.Services, servers, states); known {
		a.watch.SetTargets(targets)
	}
}

// thatTook are the names of the servers that took the row, of those that gossip calls alive or dead.
func thatTook(roster *mesh.Roster, life mesh.Life, servers []string, took []bool) (names []string) {
	for _, m := range roster.Servers {
		if i := slices.Index(servers, serverAt(m)); i >= 0 && took[i] && m.Life == life {
			names = append(names, m.Name)
		}
	}
	return names
}

// watched are the services to probe: one's own, and after them those that the servers name, each for itself.
// A server that names none takes nothing from what another named. While none of them has said anything,
// nothing is known.
func watched(own []service.Target, servers []string, states map[string]*serverState) (targets []service.Target, known bool) {
	targets = slices.Clone(own)
	for _, at := range slices.Sorted(slices.Values(servers)) { // of two with one name always the same counts
		list := states[at].services
		if list == nil {
			continue
		}
		known = true
		for _, t := range *list {
			targets = append(targets, service.Target{Name: t.Name, Kind: t.Kind, Address: t.Address, Query: t.Query})
		}
	}
	return targets, known
}

// postRow posts the row to one server and reports whether that took it.
func (a *Agent) postRow(ctx context.Context, at string, s *serverState, peers []string, row *mesh.Row, body []byte) (taken bool) {
	if s.knows != row.Table.Hash() {
		body = a.codec.Encode(nil, row, true)
	}
	answer, _, err := a.client.PostRow(ctx, at, peers, row.Sequence, body, s.roster)
	if errors.Is(err, mesh.ErrUnknownTable) {
		answer, _, err = a.client.PostRow(ctx, at, peers, row.Sequence, a.codec.Encode(nil, row, true), s.roster)
	}
	if errors.Is(err, client.ErrNoRows) { // a server of the original kind: it gets reports
		return true
	}
	if err != nil {
		a.log.Debug("row not delivered", "server", at, "error", err)
		return false
	}
	s.knows = row.Table.Hash()
	if row.Evidence != nil {
		s.evidence = row.Evidence
	}
	s.roster = answer.Roster.Version
	if answer.Services != nil {
		s.services = answer.Services
	}
	a.learn(answer)
	return true
}

// learn takes in what a server's answer says about the mesh.
func (a *Agent) learn(answer *api.RowAnswer) {
	var known []mesh.Agent
	for i := range answer.Roster.Agents {
		other, err := answer.Roster.Agents[i].Agent()
		if err != nil {
			a.log.Debug("agent of the server's roster not taken", "error", err)
			continue
		}
		if other.Name != a.cfg.Pod {
			known = append(known, other)
		}
	}
	if len(known) > 0 {
		a.gossip.Hint(known)
	}
	if len(answer.Roster.Gone) > 0 {
		a.gossip.Gone(answer.Roster.Gone)
	}
	if zone, ok := answer.Zones[a.cfg.Node]; ok && a.cfg.Zone == "" {
		self := a.gossip.Self()
		self.Zone = zone
		if err := a.gossip.UpdateSelf(self); err != nil {
			a.log.Warn("zone not taken", "zone", zone, "error", err)
		}
	}
}

// deliverReport posts the original report to every server.
func (a *Agent) deliverReport(ctx context.Context) {
	body, err := a.makeReport(ctx)
	if err != nil {
		a.log.Error("report not made", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(a.cfg.ReportInterval, 2*rowTimeout))
	defer cancel()
	a.reports++
	peers := a.peers(a.plan.Load())
	var g errgroup.Group // one after the other, one that hangs would leave nothing of ctx to the next
	g.SetLimit(4)
	for _, at := range a.servers() {
		g.Go(func() error {
			if _, err := a.client.PostReport(ctx, at, peers, a.reports, body); err != nil {
				a.log.Warn("report not delivered", "server", at, "error", err)
			}
			return nil
		})
	}
	_ = g.Wait() // nothing returns an error
}

// listenAddr is where the agent's TCP port is bound: everywhere, or at the advertised address.
func (a *Agent) listenAddr() string {
	host := ""
	if a.cfg.BindAdvertised {
		host = a.gossip.Self().Primary().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(a.cfg.ProbePort)))
}
