package gossip

import (
	"net/netip"
	"testing"
	"time"

	"netchecker/mesh"
)

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
