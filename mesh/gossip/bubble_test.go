package gossip

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"netchecker/mesh"
)

// bubble runs f in virtual time. What f started with start is closed before the bubble ends, and
// the clock runs on for a minute: memberlist's Shutdown does not wait for its pings.
func bubble(t *testing.T, f func(t *testing.T, net *memnet)) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		f(t, newMemnet())
	})
}

// mesh starts n members, the first of which is everybody's seed, and waits until they are whole.
func (n *memnet) mesh(t *testing.T, count int) []*Gossip {
	t.Helper()
	members := make([]*Gossip, count)
	for i := range members {
		members[i] = start(t, n.config(testAgent(i), seedOf(testAgent(0))))
	}
	within(t, 30*time.Second, "the mesh whole", func() bool { return whole(members, count) })
	return members
}

func TestLeaveIsLeftAndDeathIsDead(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := make([]*Gossip, 5)
		for i := range members {
			cfg := net.config(testAgent(i), seedOf(testAgent(0)))
			cfg.Retain = 2 * time.Hour
			members[i] = start(t, cfg)
		}
		within(t, 30*time.Second, "the mesh whole", func() bool { return whole(members, 5) })
		begin := time.Now()
		if err := members[3].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("leave took %v", time.Since(begin))
		for i, g := range members {
			if got := life(g, testAgent(3)); got != "agent-3 left" {
				t.Errorf("member %d: %s, want agent-3 left", i, got)
			}
		}
		members[3].Close()
		members[4].Close() // without a word
		within(t, 3*time.Minute, "agent-4 dead", func() bool {
			return life(members[0], testAgent(4)) == "agent-4 dead" && life(members[1], testAgent(4)) == "agent-4 dead"
		})
		time.Sleep(time.Hour)
		if got := life(members[0], testAgent(3)); got != "absent" {
			t.Errorf("an hour after it left: %s, want absent", got)
		}
		if got := life(members[0], testAgent(4)); got != "agent-4 dead" {
			t.Errorf("an hour after it died: %s, want agent-4 dead", got)
		}
		time.Sleep(90 * time.Minute)
		if got := life(members[0], testAgent(4)); got != "absent" {
			t.Errorf("half an hour too long after it died: %s, want absent", got)
		}
	})
}

func TestLeftWaitsForItsSuccessor(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 4)
		members[3].Leave(t.Context())
		members[3].Close()
		time.Sleep(90 * time.Second)
		if got := life(members[0], testAgent(3)); got != "agent-3 left" {
			t.Errorf("after 90 s: %s, want agent-3 left", got)
		}
		within(t, time.Minute, "agent-3 gone", func() bool { return life(members[0], testAgent(3)) == "absent" })
	})
}

// A farewell that one in many misses would make a dead agent of one that left.
func TestEveryoneHearsTheFarewell(t *testing.T) {
	for _, n := range []int{2, 5, 9, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, net *memnet) {
				members := net.mesh(t, n)
				for round := range 20 {
					old := members[n-1].Self()
					members[n-1].Leave(t.Context())
					time.Sleep(2 * time.Second)
					for i, g := range members {
						if m, _ := g.Roster().Find(old.Key); m.Life != mesh.Left {
							t.Fatalf("round %d: member %d sees %v", round, i, m)
						}
					}
					members[n-1].Close()
					next := testAgent(n - 1)
					next.Name, next.Boot = fmt.Sprintf("agent-%d-%d", n-1, round), old.Boot+1
					members[n-1] = start(t, net.config(next, seedOf(testAgent(0))))
					within(t, 30*time.Second, "whole again", func() bool { return whole(members, n) })
				}
			})
		})
	}
}

func TestHints(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 3)
		loner := start(t, net.config(testAgent(8)))
		bad := testAgent(4)
		bad.Node = "no/slash"
		loner.Hint([]mesh.Agent{testAgent(1), testAgent(5), bad, testAgent(8)})
		within(t, time.Second, "targets at once", func() bool { return life(loner, testAgent(5)) == "agent-5 dead" })
		members = append(members, loner)
		within(t, 20*time.Second, "in the mesh", func() bool {
			alive, _, _ := lives(loner.Roster())
			return alive == 4 && whole(members[:3], 4)
		})
		if s := loner.Stats(); s.BadHints != 1 {
			t.Errorf("%d bad hints, want 1", s.BadHints)
		}
	})
}

// TestWhoAnswersOutlivesASilentGossip has a mesh whose gossip has no way, as behind a firewall that lets
// the other port pass: whom a server hinted is heard by its answers alone.
func TestWhoAnswersOutlivesASilentGossip(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		net.setCut(func(from, to netip.AddrPort) bool { return from != to })
		cfg := net.config(testAgent(0))
		cfg.Retain = time.Hour
		g := start(t, cfg)
		g.Hint([]mesh.Agent{testAgent(1), testAgent(2)})
		within(t, time.Second, "targets at once", func() bool { return len(g.Roster().Agents) == 3 })
		roster := g.Roster()
		for range 6 * 5 {
			time.Sleep(10 * time.Minute)
			g.Heard([]string{testAgent(1).Name})
		}
		time.Sleep(time.Second)
		if life(g, testAgent(1)) != "agent-1 dead" || life(g, testAgent(2)) != "absent" {
			t.Errorf("after five hours: who answers %s, who does not %s", life(g, testAgent(1)), life(g, testAgent(2)))
		}
		if version := g.Roster().Version; version > roster.Version+1 {
			t.Errorf("%d rosters, want one: for whom nobody heard", version-roster.Version)
		}
		within(t, 2*time.Hour, "who answers no more gone", func() bool { return life(g, testAgent(1)) == "absent" })
	})
}

func TestGoneNodes(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 4)
		members[0].Gone([]string{"node-2", "node-3"})
		time.Sleep(time.Minute)
		if !whole(members, 4) {
			t.Error("gone took live agents away")
		}
		members[2].Close()
		within(t, 5*time.Minute, "agent-2 out of the roster of who was told", func() bool {
			return life(members[0], testAgent(2)) == "absent" && life(members[1], testAgent(2)) == "agent-2 dead"
		})
		members[0].Hint([]mesh.Agent{testAgent(2)})
		time.Sleep(time.Minute)
		if got := life(members[0], testAgent(2)); got != "absent" {
			t.Errorf("a server behind the times brought it back: %s", got)
		}
		members[2] = start(t, net.config(testAgent(2), seedOf(testAgent(0))))
		within(t, 20*time.Second, "back when it is back", func() bool { return whole(members, 4) })
	})
}

func TestUpdateSelf(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 5)
		a := members[3].Self()
		a.Zone = "zone-b"
		if err := members[3].UpdateSelf(a); err != nil {
			t.Fatal(err)
		}
		within(t, 3*time.Second, "the zone everywhere", func() bool {
			for _, g := range members {
				if m, _ := g.Roster().Find(a.Key); m.Zone != "zone-b" {
					return false
				}
			}
			return true
		})
		a.Node = "node-99"
		if members[3].UpdateSelf(a) == nil {
			t.Error("another node was taken")
		}
		members[3].Leave(t.Context())
		time.Sleep(time.Hour)
		a.Node, a.Zone = testAgent(3).Node, "zone-c"
		if err := members[3].UpdateSelf(a); err != nil {
			t.Errorf("long after it left: %v", err)
		}
	})
}

func TestChangedTellsTheNewest(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 3)
		time.Sleep(time.Second)
		<-members[0].Changed()
		version := members[0].Roster().Version
		members[2].Leave(t.Context())
		<-members[0].Changed()
		if members[0].Roster().Version <= version {
			t.Error("a token without a new roster")
		}
	})
}

func TestLeaveWhenTimeIsShort(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		members[1].Leave(ctx)
		within(t, 5*time.Second, "known as left or dead", func() bool {
			got := life(members[0], testAgent(1))
			return got == "agent-1 left" || got == "agent-1 dead"
		})
		if err := members[1].Leave(t.Context()); err != nil {
			t.Errorf("leaving twice: %v", err)
		}
		members[1].Close()
		if err := members[1].Close(); err != nil {
			t.Errorf("closing twice: %v", err)
		}
		if err := members[2].Close(); err != nil {
			t.Fatal(err)
		}
		if err := members[2].Leave(t.Context()); err == nil {
			t.Error("leave after close: no error")
		}
	})
}
