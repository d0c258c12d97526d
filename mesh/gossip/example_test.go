package gossip_test

import (
	"context"
	"fmt"
	"net/netip"

	"netchecker/mesh"
	"netchecker/mesh/gossip"
)

// Two agents find each other; one says good-bye.
func Example() {
	local := netip.MustParseAddr("127.0.0.1")
	start := func(node string, seeds ...string) *gossip.Gossip {
		g, err := gossip.Start(gossip.Config{
			Self: mesh.Agent{Name: "agent-on-" + node, Key: mesh.Key{Node: node}, IPv4: local, ProbePort: 8095, Boot: 1},
			Bind: netip.AddrPortFrom(local, 0), Seeds: seeds,
		})
		if err != nil {
			panic(err)
		}
		return g
	}
	one := start("node-1")
	defer one.Close()
	two := start("node-2", netip.AddrPortFrom(local, one.Self().GossipPort).String())
	defer two.Close()

	until := func(life mesh.Life) {
		for range one.Changed() {
			if m, ok := one.Roster().Find(mesh.Key{Node: "node-2"}); ok && m.Life == life {
				fmt.Println(m.Name, "is", m.Life)
				return
			}
		}
	}
	until(mesh.Alive)
	two.Leave(context.Background())
	until(mesh.Left)
	// Output:
	// agent-on-node-2 is alive
	// agent-on-node-2 is left
}
