package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

func member(node int, network mesh.Network, mtu uint16) mesh.Agent {
	a := mesh.Agent{Name: fmt.Sprintf("a-%d-%s", node, network), Key: mesh.Key{Node: fmt.Sprintf("node%d", node), Network: network},
		IPv4: netip.AddrFrom4([4]byte{10, byte(network), 0, byte(node)}), ProbePort: 8095, MTU: mtu, Boot: 1}
	return a
}

func rosterOf(agents ...mesh.Agent) *mesh.Registry {
	r := mesh.NewRegistry(time.Hour, time.Minute)
	for _, a := range agents {
		r.Alive(a, time.Unix(0, 0))
	}
	return r
}

func TestThePlanProbesEverybodyButItselfAndThoseWhoLeft(t *testing.T) {
	self, dead, left, other := member(1, mesh.Pod, 1450), member(2, mesh.Pod, 1450), member(3, mesh.Pod, 1450), member(1, mesh.Host, 1500)
	r := rosterOf(self, dead, left, other)
	r.Dead(dead.Name, time.Unix(1, 0))
	r.Left(left.Name, time.Unix(1, 0))
	p, err := newPlan(r.Roster(), self)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.targets) != 2 || p.table.Len() != 4 || p.nodes != 3 {
		t.Fatalf("targets %v, table of %d, %d nodes", p.targets, p.table.Len(), p.nodes)
	}
	for _, target := range p.targets {
		if target.ID == self.ID() || target.ID == left.ID() {
			t.Errorf("target %v", target)
		}
		if target.Bytes != 1450 {
			t.Errorf("target %v: mtu probe of %d bytes, want the smaller typical MTU 1450", target, target.Bytes)
		}
		if p.column(target.ID, target.Addr.Addr()) < 0 {
			t.Errorf("target %v has no column", target)
		}
	}
}

func TestAnOddMTUDoesNotLowerWhatIsExpected(t *testing.T) {
	r := rosterOf(member(1, mesh.Host, 1400), member(2, mesh.Host, 1500), member(3, mesh.Host, 1500), member(1, mesh.Pod, 0))
	if got := typicalMTU(r.Roster()); got[mesh.Host] != 1500 || got[mesh.Pod] != 0 {
		t.Errorf("typical MTUs %v, want host 1500 and pod unknown", got)
	}
	r = rosterOf(member(1, mesh.Host, 1400), member(2, mesh.Host, 1500))
	if got := typicalMTU(r.Roster()); got[mesh.Host] != 1500 {
		t.Errorf("of two that tie the larger is expected, got %d", got[mesh.Host])
	}
}

func TestFamiliesThatOnlyOneEndHasAreNoPaths(t *testing.T) {
	self, dual := member(1, mesh.Pod, 0), member(2, mesh.Pod, 0)
	dual.IPv6 = netip.MustParseAddr("fd00::2")
	p, err := newPlan(rosterOf(self, dual).Roster(), self)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.targets) != 1 || p.targets[0].Addr.Addr() != dual.IPv4 {
		t.Errorf("targets %v, want the IPv4 one alone", p.targets)
	}
	self.IPv6 = netip.MustParseAddr("fd00::1")
	if p, err = newPlan(rosterOf(self, dual).Roster(), self); err != nil || len(p.targets) != 2 {
		t.Errorf("dual stack at both ends: targets %v, err %v, want two", p.targets, err)
	}
}

func TestRelaysAreAskedInTheOrderInWhichTheyCanHelp(t *testing.T) {
	answers := [probe.Kinds]probe.Status{probe.UDP: {State: probe.OK}, probe.TCP: {State: probe.OK}}
	silent := [probe.Kinds]probe.Status{probe.UDP: {State: probe.Failing}}
	last := -1
	for _, peer := range []struct {
		key    mesh.Key
		probes *[probe.Kinds]probe.Status
	}{
		{mesh.Key{Node: "own", Network: mesh.Host}, &answers},
		{mesh.Key{Node: "home", Network: mesh.Pod}, &answers},
		{mesh.Key{Node: "other", Network: mesh.Host}, &answers},
		{mesh.Key{Node: "other", Network: mesh.Pod}, &answers},
		{mesh.Key{Node: "other", Network: mesh.Host}, &silent},
		{mesh.Key{Node: "other", Network: mesh.Pod}, &silent},
	} {
		rank := relayRank("own", []string{"home"}, peer.key, peer.probes)
		if rank <= last {
			t.Errorf("%v has rank %d, want one after %d", peer.key, rank, last)
		}
		last = rank
	}
}
