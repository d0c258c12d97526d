package gossip

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

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

// Gossip must not call anybody dead because of lost packets: a quarter of them in each direction,
// so that half of all pings fail.
func TestLostPacketsKillNobody(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		random := rand.New(rand.NewPCG(3, 4))
		net.setDrop(func(_, _ netip.AddrPort) bool { return random.IntN(4) == 0 })
		members := net.mesh(t, 20)
		watch, deaths := countDeaths(members)
		for range 600 {
			time.Sleep(time.Second)
			watch()
		}
		if n := deaths.Load(); n != 0 || !whole(members, 20) {
			t.Errorf("%d false deaths", n)
		}
	})
}
