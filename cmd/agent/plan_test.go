package agent

import (
	"fmt"
	"net/netip"
	"slices"
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

func TestWhoAnswersIsHeardThoughGossipIsSilent(t *testing.T) {
	self, alive, silent, down := member(1, mesh.Pod, 0), member(2, mesh.Pod, 0), member(3, mesh.Pod, 0), member(4, mesh.Pod, 0)
	for _, a := range []*mesh.Agent{&self, &silent} {
		a.IPv6 = netip.AddrFrom16([16]byte{0xfd, 15: a.IPv4.As4()[3]})
	}
	r := rosterOf(self, alive)
	r.Hint(silent, time.Unix(0, 0))
	r.Hint(down, time.Unix(0, 0))
	p, err := newPlan(r.Roster(), self)
	if err != nil {
		t.Fatal(err)
	}
	var statuses []probe.PathStatus
	for _, target := range p.targets {
		s := probe.PathStatus{Target: target}
		s.Probes[probe.UDP].State = probe.OK
		if target.ID == down.ID() || target.Addr.Addr() == silent.IPv4 { // the other family will do
			s.Probes[probe.UDP].State = probe.Failing
		}
		statuses = append(statuses, s)
	}
	stranger := probe.Target{ID: 99, Addr: netip.MustParseAddrPort("10.0.0.99:8095")} // the roster has moved on
	statuses = append(statuses, probe.PathStatus{Target: stranger, Probes: [probe.Kinds]probe.Status{{State: probe.OK}}})
	if got := p.answering(statuses); len(got) != 1 || got[0] != silent.Name {
		t.Errorf("heard %q, want %q alone", got, silent.Name)
	}
}

// TestServersThatAreNoMoreTakeNobodysTime has a server whose pod was replaced again and again while gossip,
// which would tell that the old ones left, has no way.
func TestServersThatAreNoMoreTakeNobodysTime(t *testing.T) {
	r := rosterOf()
	server := func(i byte) mesh.Agent {
		return mesh.Agent{Name: fmt.Sprintf("server-%d", i), Role: mesh.RoleServer, IPv4: netip.AddrFrom4([4]byte{10, 9, 0, i}), ProbePort: 8081, Boot: uint64(i)}
	}
	const endpoint = "netchecker-service:8081"
	for i := range byte(4) {
		r.Hint(server(i), time.Unix(0, 0))
	}
	want := []string{endpoint, "10.9.0.3:8081", "10.9.0.2:8081", "10.9.0.1:8081", "10.9.0.0:8081"}
	if got := serversOf(r.Roster(), endpoint, false); !slices.Equal(got, want) {
		t.Errorf("none is heard: %q, want %q", got, want)
	}
	names := thatTook(r.Roster(), mesh.Dead, want, []bool{true, true, false, false, false})
	if len(names) != 1 || names[0] != "server-3" {
		t.Errorf("the row was taken by %q, want server-3", names)
	}
	r.Alive(server(7), time.Unix(0, 0))
	if got := serversOf(r.Roster(), endpoint, false); !slices.Equal(got, []string{"10.9.0.7:8081"}) {
		t.Errorf("one is heard: %q", got)
	}
	if got := serversOf(r.Roster(), endpoint, true); !slices.Equal(got, append([]string{"10.9.0.7:8081"}, want...)) {
		t.Errorf("the one that is heard took nothing: %q", got)
	}
}
