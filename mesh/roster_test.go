package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return day.Add(d) }

// rosterAgent is an agent on a node; boot counts its runs.
func rosterAgent(name, node string, boot uint64) Agent {
	return Agent{Name: name, Key: Key{Node: node, Network: Pod}, Boot: boot, IPv4: netip.AddrFrom4([4]byte{10, 0, 0, byte(boot)})}
}

func newTestRegistry() *Registry { return NewRegistry(24*time.Hour, 2*time.Minute) }

// shows returns the roster as "name life, …".
func shows(r *Registry) string {
	text := ""
	for _, m := range r.Roster().Agents {
		if text != "" {
			text += ", "
		}
		text += m.Name + " " + m.Life.String()
	}
	return text
}

func TestRosterLife(t *testing.T) {
	a, b := rosterAgent("a-1", "n1", 1), rosterAgent("a-2", "n1", 2)
	for _, test := range []struct {
		name string
		do   func(r *Registry)
		want string
	}{
		{"an agent that lives", func(r *Registry) { r.Alive(a, day) }, "a-1 alive"},
		{"the dead stay", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Expire(at(23 * time.Hour)) }, "a-1 dead"},
		{"but not for ever", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Expire(at(25 * time.Hour)) }, ""},
		{"who left waits for a successor", func(r *Registry) { r.Alive(a, day); r.Left("a-1", day); r.Expire(at(time.Minute)) }, "a-1 left"},
		{"and goes without one", func(r *Registry) { r.Alive(a, day); r.Left("a-1", day); r.Expire(at(3 * time.Minute)) }, ""},
		{"a successor takes the key at once", func(r *Registry) { r.Alive(a, day); r.Left("a-1", day); r.Alive(b, day) }, "a-2 alive"},
		{"who left does not die", func(r *Registry) { r.Alive(a, day); r.Left("a-1", day); r.Dead("a-1", day) }, "a-1 left"},
		{"the dead may turn out to have left", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Left("a-1", day) }, "a-1 left"},
		{"who left is not called back by a peer that missed it", func(r *Registry) { r.Alive(a, day); r.Left("a-1", day); r.Alive(a, day) }, "a-1 left"},
		{"nor after it is forgotten", func(r *Registry) {
			r.Alive(a, day)
			r.Left("a-1", day)
			r.Expire(at(3 * time.Minute))
			r.Alive(a, at(4*time.Minute))
		}, ""},
		{"nor by a hint of a server behind the times", func(r *Registry) {
			r.Alive(a, day)
			r.Left("a-1", day)
			r.Expire(at(3 * time.Minute))
			r.Hint(a, at(4*time.Minute))
		}, ""},
		{"a new run by the same name does come back", func(r *Registry) {
			r.Alive(a, day)
			r.Left("a-1", day)
			r.Expire(at(3 * time.Minute))
			r.Alive(rosterAgent("a-1", "n1", 2), at(4*time.Minute))
		}, "a-1 alive"},
		{"also one whose clock was set back", func(r *Registry) {
			r.Alive(rosterAgent("a-1", "n1", 9), day)
			r.Left("a-1", day)
			r.Alive(rosterAgent("a-1", "n1", 3), at(time.Second))
		}, "a-1 alive"},
		{"the dead come back to life", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Alive(a, day) }, "a-1 alive"},
		{"even after they are forgotten", func(r *Registry) {
			r.Alive(a, day)
			r.Dead("a-1", day)
			r.Expire(at(25 * time.Hour))
			r.Alive(a, at(26*time.Hour))
		}, "a-1 alive"},
		{"a hint is dead until heard", func(r *Registry) { r.Hint(a, day) }, "a-1 dead"},
		{"a hint does not kill", func(r *Registry) { r.Alive(a, day); r.Hint(a, day) }, "a-1 alive"},
		{"a hint of a newer run replaces the dead", func(r *Registry) { r.Hint(a, day); r.Hint(b, day) }, "a-2 dead"},
		{"Kubernetes says the node is gone", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Gone("n1", day) }, ""},
		{"but gossip still hears it", func(r *Registry) { r.Alive(a, day); r.Gone("n1", day) }, "a-1 alive"},
		{"another node is gone", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Gone("n2", day) }, "a-1 dead"},
		{"a gone node is not hinted back", func(r *Registry) { r.Hint(a, day); r.Gone("n1", day); r.Hint(a, day) }, ""},
		{"but comes back by a new run", func(r *Registry) { r.Hint(a, day); r.Gone("n1", day); r.Hint(rosterAgent("a-1", "n1", 5), day) }, "a-1 dead"},
		{"who answers although gossip never hears it stays", func(r *Registry) {
			r.Hint(a, day)
			r.Heard("a-1", at(20*time.Hour))
			r.Expire(at(40 * time.Hour))
		}, "a-1 dead"},
		{"for as long as it answers", func(r *Registry) {
			r.Hint(a, day)
			r.Heard("a-1", at(20*time.Hour))
			r.Expire(at(45 * time.Hour))
		}, ""},
		{"who dies later dies from then on", func(r *Registry) {
			r.Hint(a, day)
			r.Heard("a-1", day)
			r.Alive(a, day)
			r.Heard("a-1", day)
			r.Dead("a-1", at(20*time.Hour))
			r.Expire(at(40 * time.Hour))
		}, "a-1 dead"},
		{"who left and answers on goes nevertheless", func(r *Registry) {
			r.Alive(a, day)
			r.Left("a-1", day)
			r.Heard("a-1", at(2*time.Minute))
			r.Expire(at(3 * time.Minute))
		}, ""},
		{"also one of a node that is gone", func(r *Registry) { r.Hint(a, day); r.Heard("a-1", day); r.Gone("n1", day) }, ""},
		{"unknown names die in silence", func(r *Registry) { r.Dead("x", day); r.Left("y", day); r.Heard("z", day) }, ""},
		{"a clock that jumped back expires nothing", func(r *Registry) { r.Alive(a, day); r.Dead("a-1", day); r.Expire(at(-48 * time.Hour)) }, "a-1 dead"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newTestRegistry()
			test.do(r)
			if got := shows(r); got != test.want {
				t.Errorf("roster %q, want %q", got, test.want)
			}
		})
	}
}

func TestNewestStartHoldsTheKey(t *testing.T) {
	older, newer := rosterAgent("z-old", "n1", 1), rosterAgent("a-new", "n1", 2)
	for _, order := range [][]Agent{{older, newer}, {newer, older}} {
		r := newTestRegistry()
		for _, a := range order {
			r.Alive(a, day)
		}
		if got := shows(r); got != "a-new alive" {
			t.Errorf("both alive: %s", got)
		}
		r.Expire(at(time.Hour))
		r.Left("a-new", at(time.Hour))
		if got := shows(r); got != "z-old alive" {
			t.Errorf("the newer left: %s", got)
		}
		r.Dead("z-old", at(time.Hour))
		if got := shows(r); got != "a-new left" {
			t.Errorf("and the older died: %s, want the newer start's last word", got)
		}
	}
}

func TestExpireDropsTheSuperseded(t *testing.T) {
	r := newTestRegistry()
	for i := range uint64(20) {
		a := rosterAgent(fmt.Sprint("run-", i), "n1", i)
		r.Alive(a, at(time.Duration(i)*time.Minute))
		if i < 19 {
			r.Dead(a.Name, at(time.Duration(i)*time.Minute))
		}
	}
	r.Expire(at(20 * time.Minute))
	if len(r.members) != 1 || shows(r) != "run-19 alive" {
		t.Errorf("%d members kept: %s", len(r.members), shows(r))
	}
	version := r.Roster().Version
	r.Hint(rosterAgent("run-3", "n1", 3), at(20*time.Minute))
	r.Expire(at(21 * time.Minute))
	if r.Roster().Version != version {
		t.Error("a hint of a superseded run changes the roster each time")
	}
	r.Expire(at(100 * time.Hour))
	if len(r.tombs) != 0 {
		t.Errorf("%d removed runs remembered after 100 h", len(r.tombs))
	}
}

func TestSinceIsTheLastChangeOfLife(t *testing.T) {
	r := newTestRegistry()
	a := rosterAgent("a", "n1", 1)
	r.Alive(a, day)
	a.Zone = "z"
	r.Alive(a, at(time.Hour))
	if m, ok := r.Roster().Find(a.Key); !ok || m.Zone != "z" || !m.Since.Equal(day) {
		t.Errorf("%+v: want zone z since %v", m, day)
	}
	r.Dead("a", at(2*time.Hour))
	r.Dead("a", at(3*time.Hour))
	if m, _ := r.Member("a"); !m.Since.Equal(at(2 * time.Hour)) {
		t.Errorf("dead since %v, want %v", m.Since, at(2*time.Hour))
	}
}

func TestRosterIsSharedUntilItChanges(t *testing.T) {
	r := newTestRegistry()
	r.Alive(rosterAgent("a", "n1", 1), day)
	first := r.Roster()
	r.Alive(rosterAgent("a", "n1", 1), at(time.Hour))
	r.Expire(at(time.Hour))
	if r.Roster() != first {
		t.Error("another roster without a change")
	}
	r.Alive(rosterAgent("b", "n2", 1), day)
	if second := r.Roster(); second == first || second.Version <= first.Version || len(first.Agents) != 1 {
		t.Error("the change went into the old roster, or its version did not grow")
	}
}

func TestServersAreListedApart(t *testing.T) {
	r := newTestRegistry()
	for _, name := range []string{"s-2", "s-1"} {
		s := rosterAgent(name, "n1", 1)
		s.Role = RoleServer
		r.Alive(s, day)
	}
	r.Alive(rosterAgent("a", "n1", 1), day)
	roster := r.Roster()
	if len(roster.Agents) != 1 || len(roster.Servers) != 2 || roster.Servers[0].Name != "s-1" {
		t.Errorf("%+v", roster)
	}
	r.Gone("n1", day)
	if len(r.Roster().Servers) != 2 {
		t.Error("gone took servers")
	}
}

// Whatever order news comes in, everybody who heard the same shows the same.
func TestRosterDoesNotDependOnOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var agents []Agent
	for i := range 60 {
		a := rosterAgent(fmt.Sprint("pod-", i), fmt.Sprint("n", i%20), uint64(i/20))
		a.Network = Network(i % 2)
		agents = append(agents, a)
	}
	var want string
	for round := range 50 {
		random.Shuffle(len(agents), func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
		r := newTestRegistry()
		for _, a := range agents {
			r.Alive(a, day)
		}
		if !slices.IsSortedFunc(r.Roster().Agents, func(a, b Member) int { return a.Key.Compare(b.Key) }) {
			t.Fatal("not sorted by key")
		}
		for _, m := range r.Roster().Agents {
			if got, ok := r.Roster().Find(m.Key); !ok || got != m {
				t.Fatalf("Find(%v) = %v, %v", m.Key, got, ok)
			}
		}
		if got := shows(r); round == 0 {
			want = got
		} else if got != want {
			t.Fatalf("round %d: %s\nwant %s", round, got, want)
		}
	}
}

func BenchmarkRoster10000(b *testing.B) {
	r := newTestRegistry()
	for i := range 10_000 {
		a := rosterAgent(fmt.Sprint("pod-", i), fmt.Sprint("n", i/2), 1)
		a.Network = Network(i % 2)
		r.Alive(a, day)
	}
	for b.Loop() {
		r.changed()
		r.Roster()
	}
}
