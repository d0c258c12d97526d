package mesh

import (
	"slices"
	"time"
)

// Life is what gossip last said of a member. It is never a verdict on a path.
type Life uint8

const (
	// Alive members answer gossip.
	Alive Life = iota
	// Dead members stopped answering, or were only ever heard of; they are still probed.
	Dead
	// Left members said that they go; they are not probed and their paths are unknown.
	Left
)

// String returns "alive", "dead" or "left".
func (l Life) String() string { return [...]string{"alive", "dead", "left"}[min(l, Left)] }

// Member is an agent of the roster and what gossip says of it.
type Member struct {
	Agent
	Life Life
	// Since is when Life last changed, by the clock of the one who keeps the roster.
	Since time.Time
}

// Roster lists the agents that should exist, dead or alive, one per Key and sorted by it, and the
// servers. It is immutable: callers share it and must not modify it.
type Roster struct {
	// Version grows with every change of the roster it was taken from.
	Version uint64
	Agents  []Member
	Servers []Member
}

// Find returns the member with the key.
func (r *Roster) Find(key Key) (Member, bool) {
	i, ok := slices.BinarySearchFunc(r.Agents, key, func(m Member, k Key) int { return m.Key.Compare(k) })
	if !ok {
		return Member{}, false
	}
	return r.Agents[i], true
}

// Registry keeps every member by name and derives the roster. The caller guards it: its methods
// may be called by many goroutines but never two at once.
type Registry struct {
	// Retain is how long a dead agent stays expected; LeftRetain how long one that left on purpose
	// is kept for its successor to replace it.
	Retain, LeftRetain time.Duration
	members            map[string]Member
	// heard is when somebody else than gossip last had a sign of life of a dead member. It is no part of
	// Member: a roster does not change by it.
	heard   map[string]time.Time
	tombs   map[string]tomb
	version uint64
	cached  *Roster
}

// tomb remembers, for Retain, a run that was removed: servers and peers forget at other moments
// than we do, and what one of them still tells of that run must not bring it back for another
// Retain (an agent that left, hinted by a server 3 s behind, would be a dead target for 24 h).
type tomb struct {
	boot uint64
	left bool
	at   time.Time
}

// NewRegistry returns an empty registry. Both durations must be positive.
func NewRegistry(retain, leftRetain time.Duration) *Registry {
	return &Registry{Retain: retain, LeftRetain: leftRetain, members: map[string]Member{}, heard: map[string]time.Time{}, tombs: map[string]tomb{}}
}

// Alive notes that gossip hears a. A run that said it leaves never comes back: it is ignored, since
// only a peer that missed the farewell can still call it alive. Any other run by the same name
// replaces the known one, also one that seems older: a node's clock may have been set back.
func (r *Registry) Alive(a Agent, now time.Time) {
	old, known := r.members[a.Name]
	if known && old.Boot == a.Boot && (old.Life == Left || old.Life == Alive && old.Agent == a) {
		return
	}
	if t, buried := r.tombs[a.Name]; buried && t.left && t.boot == a.Boot {
		return
	}
	if known && old.Life == Alive {
		now = old.Since
	}
	delete(r.tombs, a.Name)
	r.set(Member{Agent: a, Life: Alive, Since: now})
}

// Hint notes that somebody else knows a. Who is not known yet is taken in as dead: it is probed
// and gossip tries to join it, but only gossip itself can call it alive.
func (r *Registry) Hint(a Agent, now time.Time) {
	old, known := r.members[a.Name]
	if known && (old.Life != Dead || old.Boot >= a.Boot) {
		return
	}
	if t, buried := r.tombs[a.Name]; buried && t.boot >= a.Boot {
		return
	}
	r.set(Member{Agent: a, Life: Dead, Since: now})
}

// Heard notes that a member which gossip does not hear lives nevertheless: it answers probes, reports, or
// takes reports. Retain counts from there, or a mesh whose gossip has no way would fall apart a Retain
// after its members were hinted, though each of them is well.
func (r *Registry) Heard(name string, now time.Time) {
	if m, known := r.members[name]; known && m.Life == Dead {
		r.heard[name] = now
	}
}

// Dead notes that gossip no longer hears the member. One that left on purpose stays left.
func (r *Registry) Dead(name string, now time.Time) { r.turn(name, Dead, now) }

// Left notes that the member said it goes.
func (r *Registry) Left(name string, now time.Time) { r.turn(name, Left, now) }

func (r *Registry) turn(name string, life Life, now time.Time) {
	m, known := r.members[name]
	if !known || m.Life == life || m.Life == Left {
		return
	}
	m.Life, m.Since = life, now
	r.set(m)
}

// Member returns what is known of the member by its name; also when the roster shows another one
// for its key.
func (r *Registry) Member(name string) (Member, bool) {
	m, known := r.members[name]
	return m, known
}

// Gone removes the agents of a node that no longer exists, but for those that gossip still hears.
func (r *Registry) Gone(node string, now time.Time) {
	for _, m := range r.members {
		if m.Node == node && m.Role == RoleAgent && m.Life != Alive {
			r.bury(m, now)
		}
	}
}

// Expire removes members whose retention has passed, and dead or left ones whose key a newer run
// holds. A clock that jumped back keeps members longer, never shorter.
func (r *Registry) Expire(now time.Time) {
	holders := r.holders()
	for name, m := range r.members {
		age := now.Sub(m.Since)
		if at, heard := r.heard[name]; heard {
			age = now.Sub(at)
		}
		superseded := m.Role == RoleAgent && m.Life != Alive && holders[m.Key].Name != name
		if superseded || m.Life == Dead && age > r.Retain || m.Life == Left && age > r.LeftRetain {
			r.bury(m, now)
		}
	}
	for name, t := range r.tombs {
		if now.Sub(t.at) > r.Retain {
			delete(r.tombs, name)
		}
	}
}

// Roster returns the roster as it stands; the same pointer until something changes.
func (r *Registry) Roster() *Roster {
	if r.cached != nil {
		return r.cached
	}
	out := &Roster{Version: r.version}
	for _, m := range r.holders() {
		out.Agents = append(out.Agents, m)
	}
	for _, m := range r.members {
		if m.Role == RoleServer {
			out.Servers = append(out.Servers, m)
		}
	}
	byKey := func(a, b Member) int { return a.Key.Compare(b.Key) }
	slices.SortFunc(out.Agents, byKey)
	slices.SortFunc(out.Servers, func(a, b Member) int { return cmpName(a.Name, b.Name) })
	r.cached = out
	return out
}

func cmpName(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// holders picks the member that stands for each key: a live one beats a dead or left one, then the
// newer start wins, then the greater name, so that everybody picks alike.
func (r *Registry) holders() map[Key]Member {
	best := make(map[Key]Member, len(r.members))
	for _, m := range r.members {
		if m.Role != RoleAgent {
			continue
		}
		if old, taken := best[m.Key]; !taken || outranks(m, old) {
			best[m.Key] = m
		}
	}
	return best
}

func outranks(m, old Member) bool {
	if (m.Life == Alive) != (old.Life == Alive) {
		return m.Life == Alive
	}
	if m.Boot != old.Boot {
		return m.Boot > old.Boot
	}
	return m.Name > old.Name
}

func (r *Registry) set(m Member) {
	r.members[m.Name] = m
	delete(r.heard, m.Name)
	r.changed()
}

func (r *Registry) bury(m Member, now time.Time) {
	delete(r.members, m.Name)
	delete(r.heard, m.Name)
	r.tombs[m.Name] = tomb{boot: m.Boot, left: m.Life == Left, at: now}
	r.changed()
}

func (r *Registry) changed() {
	r.version++
	r.cached = nil
}
