package gossip

import (
	"io"
	"log"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"netchecker/mesh"
)

// foreign is a member that advertises what it likes.
type foreign struct{ data []byte }

func (f *foreign) NodeMeta(int) []byte             { return f.data }
func (f *foreign) NotifyMsg([]byte)                {}
func (f *foreign) GetBroadcasts(int, int) [][]byte { return nil }
func (f *foreign) LocalState(bool) []byte          { return nil }
func (f *foreign) MergeRemoteState([]byte, bool)   {}

func startForeign(t *testing.T, net *memnet, i int, data []byte, seed string) *memberlist.Memberlist {
	t.Helper()
	a := testAgent(i)
	c := tuning(a.Name, nil, &logWriter{})
	c.Logger = log.New(io.Discard, "", 0)
	c.Transport = net.end(netip.AddrPortFrom(a.IPv4, a.GossipPort))
	c.Delegate = &foreign{data}
	list, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { list.Shutdown() })
	if _, err := list.Join([]string{seed}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestUnreadableMembersAreLeftOut(t *testing.T) {
	good := testAgent(20).AppendMeta(nil)
	newer := append([]byte{200}, good[1:]...)
	twisted := testAgent(20)
	twisted.Node = "a/b"
	for name, data := range map[string][]byte{
		"nothing":         nil,
		"a newer version": newer,
		"cut short":       good[:25],
		"a bad node name": twisted.AppendMeta(nil),
		"512 random-ish":  make([]byte, 512),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, net *memnet) {
				members := net.mesh(t, 3)
				startForeign(t, net, 20, data, seedOf(testAgent(0)))
				within(t, 10*time.Second, "counted", func() bool {
					for _, g := range members {
						if s := g.Stats(); s.Unread != 1 || s.BadMeta == 0 || s.Members != 4 {
							return false
						}
					}
					return true
				})
				// A newcomer whose only seed is the member we cannot read gets to know all of us.
				members = append(members, start(t, net.config(testAgent(3), seedOf(testAgent(20)))))
				within(t, 20*time.Second, "the mesh whole around it", func() bool { return whole(members, 4) })
				time.Sleep(10 * time.Minute)
				if !whole(members, 4) {
					t.Error("not whole any more")
				}
			})
		})
	}
}

func TestNewerFieldsAreNoHindrance(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 2)
		startForeign(t, net, 2, append(testAgent(2).AppendMeta(nil), "a field of tomorrow"...), seedOf(testAgent(0)))
		within(t, 10*time.Second, "in the roster", func() bool { return whole(members, 3) })
	})
}

func TestServersAreNoTargets(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 2)
		server := testAgent(9)
		server.Role = mesh.RoleServer
		members = append(members, start(t, net.config(server, seedOf(testAgent(0)))))
		within(t, 10*time.Second, "in the list of servers", func() bool {
			r := members[1].Roster()
			return len(r.Servers) == 1 && r.Servers[0].Name == server.Name && whole(members, 2)
		})
	})
}
