package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/gossip"
)

func (s *Server) startGossip() (err error) {
	if s.cfg.GossipPort == 0 || !s.cfg.IPv4.IsValid() && !s.cfg.IPv6.IsValid() {
		s.log.Warn("no gossip: the agents that should exist are those that report")
		return nil
	}
	_, port, err := net.SplitHostPort(s.cfg.Endpoint)
	if err != nil {
		return fmt.Errorf("-endpoint %q: want host:port", s.cfg.Endpoint)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return fmt.Errorf("-endpoint %q: port %q: want 1 to 65535", s.cfg.Endpoint, port)
	}
	self := mesh.Agent{Name: s.cfg.Pod, Key: mesh.Key{Node: s.cfg.Node}, Role: mesh.RoleServer, IPv4: s.cfg.IPv4, IPv6: s.cfg.IPv6,
		ProbePort: uint16(number), GossipPort: s.cfg.GossipPort, Boot: uint64(time.Now().UnixNano())}
	bind := netip.AddrPortFrom(netip.Addr{}, s.cfg.GossipPort)
	if s.cfg.BindAdvertised {
		bind = netip.AddrPortFrom(self.Primary(), s.cfg.GossipPort)
	}
	s.gossip, err = gossip.Start(gossip.Config{Self: self, Bind: bind,
		Seeds: s.cfg.Join, KeyFile: s.cfg.GossipKeyFile, Log: s.log})
	return err
}

// followRoster tells the matrix of every change of the roster.
func (s *Server) followRoster(ctx context.Context) error {
	if s.gossip == nil {
		return nil
	}
	for {
		s.matrix.SetRoster(s.kube.expect(s.gossip.Roster()), time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-s.gossip.Changed():
		case <-s.kube.moved:
		}
	}
}

func (s *Server) roster() *mesh.Roster {
	if s.gossip == nil {
		return nil
	}
	return s.gossip.Roster()
}

func (s *Server) sighted(a mesh.Agent) {
	if s.gossip != nil {
		s.gossip.Hint([]mesh.Agent{a})
	}
}

// heardEvery is how often gossip is told who reports: often enough for its retention of a day.
const heardEvery = time.Minute

// followReporters tells gossip of agents that report although it does not hear them, until ctx ends.
func (s *Server) followReporters(ctx context.Context) error {
	if s.gossip == nil {
		return nil
	}
	return every(ctx, heardEvery, func() { s.gossip.Heard(reporters(s.matrix.View(time.Now()))) })
}

// reporters are the names of the agents that report and are dead in the roster.
func reporters(v *mesh.View) (names []string) {
	for i := range v.Len() {
		if state, _ := v.Reported(i); state != mesh.Reporting || v.Agent(i).Life != mesh.Dead {
			continue
		}
		if row, _ := v.RowOf(i); row != nil {
			names = append(names, row.Source.Name)
		}
	}
	return names
}
