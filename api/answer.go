package api

import (
	"net/netip"
	"time"

	"netchecker/mesh"
)

// RowAnswer is the answer to a row.
type RowAnswer struct {
	Roster RosterChanges `json:"roster"`
	// Zones holds the zones of nodes that became known or changed after the agent's version.
	Zones map[string]string `json:"zones,omitempty"`
	// Services is the whole list of services that this server names, null when it has not changed since the
	// agent's version or is not known.
	Services *[]ServiceTarget `json:"services,omitempty"`
	// State is the state of the whole matrix, at most a second old.
	State string `json:"state"`
}

// RosterChanges are the agents that became known, or changed, after the version that the agent named.
type RosterChanges struct {
	// Version is what the agent names with its next row. It compares with nothing but itself.
	Version uint64 `json:"version"`
	// Full says that the list begins anew, since the version was none of this server's. It may take
	// several answers to be complete, and nothing follows from an agent's absence.
	Full   bool          `json:"full"`
	Agents []RosterAgent `json:"agents"`
	// Gone names nodes that Kubernetes says no longer exist.
	Gone []string `json:"gone"`
}

// RosterAgent is an agent of the roster.
type RosterAgent struct {
	Name       string     `json:"name"`
	Node       string     `json:"node"`
	Network    string     `json:"network"`
	Zone       string     `json:"zone,omitempty"`
	IPv4       netip.Addr `json:"ipv4,omitzero"`
	IPv6       netip.Addr `json:"ipv6,omitzero"`
	ProbePort  uint16     `json:"probe_port"`
	GossipPort uint16     `json:"gossip_port"`
	MTU        uint16     `json:"mtu,omitempty"`
	// Boot is in Unix nanoseconds, as text since JavaScript's numbers cannot hold it.
	Boot uint64 `json:"boot,string"`
	// Server says that this is a server, which is no target.
	Server bool `json:"server,omitempty"`
}

// ServiceTarget is a service that agents probe.
type ServiceTarget struct {
	Name string `json:"name"`
	// Kind is one of probe's Service kinds.
	Kind string `json:"kind"`
	// Address is host:port for DNS and TCP, the URL for HTTP.
	Address string `json:"address"`
	// Query is the name that a DNS probe asks for.
	Query string `json:"query,omitempty"`
}

func rosterAgent(a mesh.Agent) RosterAgent {
	return RosterAgent{a.Name, a.Node, a.Network.String(), a.Zone, a.IPv4, a.IPv6, a.ProbePort, a.GossipPort, a.MTU, a.Boot,
		a.Role == mesh.RoleServer}
}

// Agent is the inverse, checked: what an answer names may be probed.
func (r *RosterAgent) Agent() (mesh.Agent, error) {
	network, err := mesh.ParseNetwork(r.Network)
	if err != nil {
		return mesh.Agent{}, err
	}
	a := mesh.Agent{Name: r.Name, Key: mesh.Key{Node: r.Node, Network: network}, Zone: r.Zone, IPv4: r.IPv4, IPv6: r.IPv6,
		ProbePort: r.ProbePort, GossipPort: r.GossipPort, MTU: r.MTU, Boot: r.Boot}
	if r.Server {
		a.Role = mesh.RoleServer
	}
	return a, a.Check()
}

const (
	// maxNews bounds the agents, zones and nodes of one answer: all of 10,000 agents at once would be
	// 2 MB, for each of 10,000 agents.
	maxNews = 500
	// maxGone bounds the nodes remembered as gone.
	maxGone = 5000
	// MaxServices bounds the services that agents are told to probe.
	MaxServices = 64
)

// answer makes the answer to a row of an agent that has the version have.
func (s *Server) answer(have uint64, now time.Time) RowAnswer {
	r := s.cfg.Roster()
	s.news.mu.Lock()
	s.news.follow(r)
	out := s.news.since(have)
	s.news.mu.Unlock()
	out.State = s.stateNow(now).String()
	return out
}
