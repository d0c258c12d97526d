package sim_test

import (
	"slices"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
	. "netchecker/test/sim"
)

// row is a line of the table of faults.
type row struct {
	name  string
	fault Fault
	// truth is what the view must say of every path while the fault lasts.
	truth Truth
	// within is how soon; gone is how soon after the repair all is ok.
	within, gone time.Duration
	// also looks at one path more closely.
	also func(t *testing.T, l *lab)
}

const (
	soon, later = 3 * time.Second, 6 * time.Second // udp; mtu, tcp and partial loss
	gone, clean = 10 * time.Second, 30 * time.Second
	// chance is for random loss: when a path first loses something is a matter of chance, then it
	// takes 5 s to tell.
	chance = 10 * time.Second
)

// staleIn is how long rows that no longer come are believed: 2.5 intervals, at the sampling's grain.
func staleIn(n int) time.Duration {
	interval := max(time.Second, time.Duration(n)*time.Second/20)
	return 5*interval/2 + 2*interval + sample
}

func TestEachFaultShowsOnItsPathsAndNoOthers(t *testing.T) {
	for _, r := range faults() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Zones: 3, Seed: 1})
			l.Break("fault", r.fault)
			found := l.until(r.within, r.truth, Healthy)
			l.stays(20*time.Second, r.truth)
			if r.also != nil {
				r.also(t, l)
			}
			l.Heal("fault")
			healed := l.until(r.gone, Healthy, r.truth)
			l.stays(30*time.Second, Healthy)
			t.Logf("%d nodes: found after %v, gone after %v; peak %d probes/s; %s", l.Nodes(), found, healed, l.Peak(), l.Rows())
		})
	}
}

// between is the truth that paths both ways between two groups are in a state.
func between(a, b func(Place) bool, state uint8) Truth {
	return func(s, d Place, _ mesh.Family) uint8 {
		if a(s) && b(d) || a(d) && b(s) {
			return state
		}
		return OK
	}
}

func onNode(node int) func(Place) bool { return func(p Place) bool { return p.Node == node } }

func pairFails(a, b int) Truth { return between(onNode(a), onNode(b), Failing) }

// podsFail is the truth that the virtual network does not reach a node, nor from it.
func podsFail(node int) Truth {
	return func(s, d Place, f mesh.Family) uint8 {
		if d.Network == mesh.Pod {
			return touching(node, Failing, Failing)(s, d, f)
		}
		return OK
	}
}

func faults() []row {
	zone := between(func(p Place) bool { return p.Zone == 1 }, func(p Place) bool { return p.Zone != 1 }, Degraded)
	return []row{
		{"one way between two nodes is cut", OneWayCut(1, 2), pairFails(1, 2), soon, gone, lostOnTheWay},
		{"a zone is split off and its reports are relayed by nobody", ZoneSplit(1), splitZone, soon + staleIn(*nodes), gone, nil},
		{"the pod network of a node is down", PodNetworkDown(1), podsFail(1), soon, gone, nil},
		{"a node is cut off", CutNode(1), silent(1, Failing), soon + staleIn(*nodes), gone, nil},
		{"a node is deaf", DeafNode(1), silent(1, Failing), soon + staleIn(*nodes), gone, nil},
		{"a node is mute", MuteNode(1), silent(1, Failing), soon + staleIn(*nodes), gone, nil},
		{"large packets to a node vanish", MTUBlackHole(1, 1400), touching(1, OK|Degraded, Degraded), later, clean, largest},
		{"large packets to a node are refused", MTUMismatch(1, 1400), touching(1, OK, Degraded), later, clean, largest},
		{"30 % of what goes to a node is lost", Loss(1, 0.3, 7), touching(1, Degraded|Failing, Degraded|Failing), chance, clean, lossByDirection},
		{"one of four equal ways out of a zone is dead", DeadMember(1), zone, later, clean, deadFlows},
		{"a path is slow", SlowPath(1, 2, 100*time.Millisecond), between(onNode(1), onNode(2), Degraded), 10 * time.Second, clean, slow},
		{"tcp to a node is dropped", PortBlocked(1, probe.TCP), touching(1, OK, Degraded), later, clean, code(probe.TCP, probe.CodeTimeout)},
		{"tcp to a node is rejected", PortRejected(1, probe.TCP), touching(1, OK, Degraded), later, clean, code(probe.TCP, probe.CodeHostUnreachable)},
		{"udp to a node is dropped", PortBlocked(1, probe.UDP), touching(1, OK, Failing), soon, gone, code(probe.UDP, probe.CodeTimeout)},
		{"udp to a node is rejected", PortRejected(1, probe.UDP), touching(1, OK, Failing), soon, gone, code(probe.UDP, probe.CodeHostUnreachable)},
		{"icmp to a node is dropped", PortBlocked(1, probe.ICMP), Healthy, later, clean, code(probe.ICMP, probe.CodeTimeout)},
		{"a node cannot report", Unreported(func(p Place) bool { return p.Node == 1 }), silent(1, OK), staleIn(*nodes), gone, nil},
	}
}

func TestRowsComeByRelayWhereTheDirectWayIsBroken(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Seed: 13})
	relayed := func() (keys []mesh.Key) {
		for _, a := range l.View().Agents() {
			if a.Via != "" {
				keys = append(keys, a.Key)
			}
		}
		return keys
	}
	l.Break("fault", ServerBlocked(1))
	l.stays(20*time.Second, Healthy)
	if got, want := relayed(), []mesh.Key{l.Place(1, mesh.Pod).Key(), l.Place(1, mesh.Host).Key()}; !slices.Equal(got, want) {
		t.Errorf("relayed are the rows of %v, want %v", got, want)
	}
	l.Heal("fault")
	l.stays(20*time.Second, Healthy)
	if got := relayed(); len(got) > 0 {
		t.Errorf("still relayed: %v", got)
	}
}

// An agent with a tenth of the usual budget is slower and just as right.
func TestSmallBudgetIsKept(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Seed: 14, Rate: probe.DefaultRate / 10})
	l.Break("fault", CutNode(1))
	found := l.until(20*time.Second, silent(1, Failing), Healthy)
	l.stays(20*time.Second, silent(1, Failing))
	l.Heal("fault")
	healed := l.until(2*time.Minute, Healthy, silent(1, Failing))
	l.stays(20*time.Second, Healthy)
	t.Logf("found after %v, gone after %v", found, healed)
}

// splitZone is what the server, which is in zone 0, hears while zone 1 is split off.
func splitZone(s, d Place, _ mesh.Family) uint8 {
	switch {
	case s.Zone == 1:
		return Unknown
	case d.Zone == 1:
		return Failing
	}
	return OK
}

// silent is the truth that nothing is known of any path from a node, also within it, and that paths to it are in a state.
func silent(node int, to uint8) Truth {
	return func(s, d Place, f mesh.Family) uint8 {
		if s.Node == node {
			return Unknown
		}
		return touching(node, OK, to)(s, d, f)
	}
}

// code wants a failing probe with a code on every path from node 0 to node 1.
func code(k probe.Kind, want probe.Code) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		for n := range mesh.Network(mesh.Networks) {
			p := l.path(l.Place(0, mesh.Pod), l.Place(1, n))
			if s := p.Probes[k]; s.State != probe.Failing || s.Code != want {
				t.Errorf("%s > %s: %s is %s, %s; want failing, %s", p.Source, p.Destination, k, s.State, s.Code, want)
			}
		}
	}
}

func lostOnTheWay(t *testing.T, l *lab) {
	for _, tt := range []struct {
		from, to int
		want     string
	}{{1, 2, "forward"}, {2, 1, "return"}} {
		p := l.path(l.Place(tt.from, mesh.Pod), l.Place(tt.to, mesh.Pod))
		if got := direction(&p.Probes[probe.UDP]); got != tt.want {
			t.Errorf("%s > %s: loss is %s, want %s: %+v", p.Source, p.Destination, got, tt.want, p.Probes[probe.UDP])
		}
	}
}

func lossByDirection(t *testing.T, l *lab) {
	for _, tt := range []struct {
		from, to int
		want     string
	}{{0, 1, "forward"}, {1, 0, "return"}} {
		p := l.path(l.Place(tt.from, mesh.Host), l.Place(tt.to, mesh.Pod))
		s := &p.Probes[probe.UDP]
		if share, _ := s.Loss.Ratio(); direction(s) != tt.want || share < 0.1 || share > 0.55 {
			t.Errorf("%s > %s: loss %.2f is %s, want 0.3 %s: %+v", p.Source, p.Destination, share, direction(s), tt.want, *s)
		}
	}
}

func largest(t *testing.T, l *lab) {
	p := l.path(l.Place(0, mesh.Host), l.Place(1, mesh.Host))
	if s := p.Probes[probe.MTU]; s.State != probe.Failing || s.MaxBytes != 1400 {
		t.Errorf("%s > %s: mtu is %s with %d bytes, want failing with 1400", p.Source, p.Destination, s.State, s.MaxBytes)
	}
	p = l.path(l.Place(1, mesh.Host), l.Place(0, mesh.Host))
	if s := p.Probes[probe.MTU]; s.State != probe.OK {
		t.Errorf("%s > %s: mtu is %s, its requests are small enough", p.Source, p.Destination, s.State)
	}
}

func deadFlows(t *testing.T, l *lab) {
	for _, tt := range []struct {
		from, to int
		want     string
	}{{1, 0, "forward"}, {0, 1, "return"}} {
		p := l.path(l.Place(tt.from, mesh.Pod), l.Place(tt.to, mesh.Host))
		s := &p.Probes[probe.UDP]
		bad := 0
		for i := range probe.Flows {
			bad += int(s.BadFlows >> i & 1)
		}
		if direction(s) != tt.want || bad != probe.Flows/4 {
			t.Errorf("%s > %s: %d dead flows, %s, want 4, %s: %+v", p.Source, p.Destination, bad, direction(s), tt.want, *s)
		}
	}
}

func slow(t *testing.T, l *lab) {
	p := l.path(l.Place(1, mesh.Pod), l.Place(2, mesh.Pod))
	if s := p.Probes[probe.UDP]; s.Code != probe.CodeSlow || s.Loss != 0 || s.RTT < 95*time.Millisecond || s.RTT > 108*time.Millisecond {
		t.Errorf("%s > %s: %+v, want slow, 100 ms, no loss", p.Source, p.Destination, s)
	}
}
