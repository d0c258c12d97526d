package gossip

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netchecker/mesh"
)

// loopAgent is testAgent(i) on 127.0.0.1 with a port of its own.
func loopAgent(i int) mesh.Agent {
	a := testAgent(i)
	a.IPv4, a.GossipPort = netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0
	return a
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// countDeaths counts how often rosters of the members called somebody dead or left.
func countDeaths(members []*Gossip) (watch func(), count *atomic.Int64) {
	count = new(atomic.Int64)
	seen := map[string]bool{}
	return func() {
		for i, g := range members {
			for _, m := range g.Roster().Agents {
				if m.Life == mesh.Alive {
					continue
				}
				if key := fmt.Sprint(i, m.Name, m.Since, m.Life); !seen[key] {
					seen[key] = true
					count.Add(1)
				}
			}
		}
	}, count
}

func TestManyAtOnce(t *testing.T) {
	n := 300
	if raceEnabled { // more than 10 times the CPU: 300 take a minute of two idle cores
		n = 100
	}
	if text := os.Getenv("GOSSIP_MEMBERS"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	members := make([]*Gossip, 0, n)
	var seeds []string
	for i := range n {
		g := start(t, Config{Self: loopAgent(i), Bind: loopback, Seeds: seeds})
		if len(seeds) < 3 {
			seeds = append(seeds, seedOf(g.Self()))
		}
		members = append(members, g)
	}
	defer closeAll(members)
	watch, deaths := countDeaths(members)
	begin := time.Now()
	took := within(t, 2*time.Minute, "all rosters whole", func() bool {
		watch()
		return whole(members, n)
	})
	if d := deaths.Load(); d != 0 {
		t.Errorf("%d false deaths", d)
	}
	var sum Stats
	for _, g := range members {
		s := g.Stats()
		sum.Joins += s.Joins
		sum.JoinsFailed += s.JoinsFailed
		sum.Repairs += s.Repairs
		sum.PacketsSent += s.PacketsSent
		sum.BytesSent += s.BytesSent
		sum.StreamBytesSent += s.StreamBytesSent
	}
	t.Logf("%d members whole after %v (since the last start: %v): %d joins, %d failed, %d repairs, %d packets of %d bytes, %d stream bytes",
		n, took, time.Since(begin), sum.Joins, sum.JoinsFailed, sum.Repairs, sum.PacketsSent, sum.BytesSent, sum.StreamBytesSent)
}

// closeAll closes members side by side: one after the other the last would watch the rest die.
func closeAll(members []*Gossip) {
	var all sync.WaitGroup
	for _, g := range members {
		all.Go(func() { g.Close() })
	}
	all.Wait()
}
