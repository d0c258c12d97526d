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
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("leave took %v", took)
		}
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

func TestReplacementWithANewAddress(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 5)
		members[2].Close() // dies
		a := testAgent(2)
		a.Name, a.IPv4, a.Boot = "agent-2-new", netip.MustParseAddr("10.9.9.9"), a.Boot+1e9
		members[2] = start(t, net.config(a, seedOf(testAgent(0))))
		within(t, 10*time.Second, "the new pod in place of the old", func() bool {
			m, ok := members[0].Roster().Find(a.Key)
			return ok && m.Name == a.Name && m.IPv4 == a.IPv4
		})
		time.Sleep(10 * time.Minute)
		if !whole(members, 5) {
			t.Error("the dead predecessor came back")
		}
	})
}

// A sandbox made anew keeps the pod's name and gets another address.
func TestSameNameWithANewAddress(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 5)
		members[2].Close()
		a := testAgent(2)
		a.IPv4, a.Boot = netip.MustParseAddr("10.9.9.9"), a.Boot+1e9
		members[2] = start(t, net.config(a, seedOf(testAgent(0))))
		within(t, 5*time.Minute, "the new address everywhere", func() bool {
			for _, g := range members {
				if m, _ := g.Roster().Find(a.Key); m.IPv4 != a.IPv4 || m.Life != mesh.Alive {
					return false
				}
			}
			return true
		})
	})
}

// A container restarted in place keeps name and address; its farewell must not outlive it.
func TestSameNameAndAddressAfterLeave(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 5)
		for run := range 3 {
			members[2].Leave(t.Context())
			members[2].Close()
			a := testAgent(2)
			a.Boot += uint64(run + 1)
			members[2] = start(t, net.config(a, seedOf(testAgent(0))))
			within(t, 20*time.Second, "back", func() bool { return whole(members, 5) })
		}
	})
}

func TestTwoHoldersOfOneKey(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 3)
		second := testAgent(7)
		second.Key, second.Name, second.Boot = testAgent(1).Key, "agent-1-surge", testAgent(1).Boot+1
		surge := start(t, net.config(second, seedOf(testAgent(0))))
		within(t, 10*time.Second, "the newer", func() bool { return life(members[0], second) == "agent-1-surge alive" })
		surge.Leave(t.Context())
		surge.Close()
		within(t, 10*time.Second, "the older again", func() bool { return life(members[0], second) == "agent-1 alive" })
	})
}

func TestPartitionHeals(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, net *memnet) {
				members := net.mesh(t, n)
				side := func(a netip.AddrPort) bool { return int(a.Addr().As4()[3]) < n/2 }
				for _, lasts := range []time.Duration{20 * time.Second, time.Minute, 10 * time.Minute} {
					net.setCut(func(from, to netip.AddrPort) bool { return side(from) != side(to) })
					time.Sleep(lasts)
					_, dead, _ := lives(members[0].Roster())
					for i, g := range members {
						if len(g.Roster().Agents) != n {
							t.Fatalf("member %d lost targets: %d of %d", i, len(g.Roster().Agents), n)
						}
					}
					net.setCut(nil)
					took := within(t, 30*time.Second, "whole again", func() bool { return whole(members, n) })
					t.Logf("%d members, cut for %v: %d dead for the first; whole %v after", n, lasts, dead, took)
					time.Sleep(2 * time.Minute)
					if !whole(members, n) {
						t.Errorf("not whole 2 minutes after")
					}
				}
			})
		})
	}
}

func TestOneMemberCutOff(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 8)
		victim := netip.AddrPortFrom(testAgent(5).IPv4, DefaultPort)
		net.setCut(func(from, to netip.AddrPort) bool { return from == victim || to == victim })
		within(t, 20*time.Minute, "the victim dead, and everybody to the victim", func() bool {
			_, dead, _ := lives(members[5].Roster())
			return life(members[0], testAgent(5)) == "agent-5 dead" && dead == 7
		})
		net.setCut(nil)
		within(t, 30*time.Second, "whole again", func() bool { return whole(members, 8) })
	})
}

func TestSeedsThatComeLate(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := make([]*Gossip, 3)
		for i := range members {
			members[i] = start(t, net.config(testAgent(i), "10.0.0.9:8096", "seeds.example.org"))
		}
		time.Sleep(5 * time.Minute)
		if len(members[0].Roster().Agents) != 1 {
			t.Fatal("company from nowhere")
		}
		net.setName("seeds.example.org", netip.MustParseAddr("fd00::9"), testAgent(9).IPv4, testAgent(0).IPv4)
		members = append(members, start(t, net.config(testAgent(9))))
		within(t, 10*time.Second, "whole", func() bool { return whole(members, 4) })
	})
}

// Two halves that each found company must still find each other by their seeds.
func TestHalvesFindEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		var members []*Gossip
		for i := range 6 {
			members = append(members, start(t, net.config(testAgent(i), seedOf(testAgent(i%2)))))
		}
		time.Sleep(time.Minute)
		net.setName("seeds.example.org", testAgent(0).IPv4, testAgent(1).IPv4)
		members = append(members, start(t, net.config(testAgent(6), "seeds.example.org")))
		within(t, time.Minute, "whole", func() bool { return whole(members, 7) })
	})
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
