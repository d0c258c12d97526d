package api

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"netchecker/mesh"
)

// newsLog remembers at which version each agent, zone and gone node was last changed, so that each
// agent is told only what it has not heard.
type newsLog struct {
	mu       sync.Mutex
	base     uint64 // the version this server began with
	version  uint64
	roster   *mesh.Roster
	items    map[newsKey]*newsItem
	order    []*newsItem // by version
	services []ServiceTarget
	servedAt uint64 // 0 while nobody has said which there are
}

type newsKey struct {
	kind byte // one of the below
	name string
}

const (
	newsAgent = iota
	newsZone
	newsGone
)

type newsItem struct {
	key     newsKey
	version uint64
	agent   mesh.Agent
	zone    string
	dropped bool // no longer so; it is left out
}

func (n *newsLog) init() {
	// A version from before a restart, or another server's, must not pass for one of ours; 52 bits are
	// what JavaScript reads exactly.
	n.base = (1 + uint64(rand.Uint32())) << 19
	n.version, n.items = n.base, map[newsKey]*newsItem{}
}

func (n *newsLog) put(key newsKey, item newsItem) {
	if old := n.items[key]; old != nil {
		old.dropped = true
	}
	n.version++
	item.key, item.version = key, n.version
	n.items[key] = &item
	n.order = append(n.order, &item)
	if len(n.order) > 2*len(n.items)+maxNews {
		n.order = slices.DeleteFunc(n.order, func(i *newsItem) bool { return i.dropped })
	}
}

func (n *newsLog) drop(key newsKey) {
	if old := n.items[key]; old != nil {
		old.dropped = true
		delete(n.items, key)
	}
}

// follow notes what changed in the roster. The life of members is gossip's own news.
func (n *newsLog) follow(r *mesh.Roster) {
	if r == nil || r == n.roster {
		return
	}
	n.roster = r
	present := make(map[string]bool, len(r.Agents)+len(r.Servers))
	for _, list := range [][]mesh.Member{r.Agents, r.Servers} {
		for _, m := range list {
			if m.Life == mesh.Left {
				continue
			}
			present[m.Name] = true
			key := newsKey{newsAgent, m.Name}
			if old := n.items[key]; old == nil || old.agent != m.Agent {
				n.put(key, newsItem{agent: m.Agent})
			}
		}
	}
	for key := range n.items {
		if key.kind == newsAgent && !present[key.name] {
			n.drop(key)
		}
	}
}

// since collects what changed after have, oldest first, and the version up to which it is told.
func (n *newsLog) since(have uint64) (out RowAnswer) {
	out.Roster.Full = have < n.base || have > n.version
	if out.Roster.Full {
		have = n.base
	}
	out.Roster.Version, out.Roster.Agents, out.Roster.Gone = n.version, []RosterAgent{}, []string{}
	at, _ := slices.BinarySearchFunc(n.order, have+1, func(i *newsItem, v uint64) int { return int(int64(i.version - v)) })
	told := 0
	for _, item := range n.order[at:] {
		if item.dropped {
			continue
		}
		if told++; told > maxNews {
			out.Roster.Version = item.version - 1
			break
		}
		switch item.key.kind {
		case newsAgent:
			out.Roster.Agents = append(out.Roster.Agents, rosterAgent(item.agent))
		case newsGone:
			out.Roster.Gone = append(out.Roster.Gone, item.key.name)
		case newsZone:
			if out.Zones == nil {
				out.Zones = map[string]string{}
			}
			out.Zones[item.key.name] = item.zone
		}
	}
	if n.servedAt > have || out.Roster.Full && n.servedAt != 0 {
		list := append([]ServiceTarget{}, n.services...)
		out.Services = &list
	}
	return out
}

// SetZones tells the zones of all nodes. Agents hear of the changes with the answer to their next row.
func (s *Server) SetZones(zones map[string]string) {
	n := &s.news
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range slices.Sorted(maps.Keys(zones)) {
		key := newsKey{newsZone, node}
		if old := n.items[key]; old == nil || old.zone != zones[node] {
			n.put(key, newsItem{zone: zones[node]})
		}
	}
	for key := range n.items {
		if _, kept := zones[key.name]; key.kind == newsZone && !kept {
			n.drop(key)
		}
	}
}

// SetServices tells which services agents probe, at most MaxServices of them. Until it is called they are
// told nothing, and go on with those that they know.
func (s *Server) SetServices(services []ServiceTarget) {
	n := &s.news
	n.mu.Lock()
	defer n.mu.Unlock()
	services = services[:min(len(services), MaxServices)]
	if n.servedAt != 0 && slices.Equal(n.services, services) {
		return
	}
	n.version++
	n.services, n.servedAt = slices.Clone(services), n.version
}

// NodesGone tells that nodes no longer exist, also those of which it was told before: agents forget it in
// time. NodeBack takes it back.
func (s *Server) NodesGone(nodes ...string) {
	n := &s.news
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range nodes {
		n.put(newsKey{newsGone, node}, newsItem{})
	}
	gone := 0
	for i := len(n.order) - 1; i >= 0; i-- {
		if item := n.order[i]; item.key.kind == newsGone && !item.dropped {
			if gone++; gone > maxGone {
				n.drop(item.key)
			}
		}
	}
}

// NodeBack tells that nodes once gone exist again.
func (s *Server) NodeBack(nodes ...string) {
	n := &s.news
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range nodes {
		n.drop(newsKey{newsGone, node})
	}
}
