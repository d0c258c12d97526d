package mesh

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"netchecker/probe"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func testAgent(node int, network Network, run int) Agent {
	host := byte(node)
	addr := netip.AddrFrom4([4]byte{10, 244, host, 2})
	if network == Host {
		addr = netip.AddrFrom4([4]byte{192, 0, 2, host})
	}
	return Agent{Name: fmt.Sprintf("agent-%s-%d-%d", network, node, run), Key: Key{fmt.Sprintf("node%d", node), network},
		IPv4: addr, ProbePort: 8095, GossipPort: 8096, MTU: 1450, Boot: uint64(1000 + run)}
}

// cluster is a full mesh of n nodes of which every path is what verdict says.
type cluster struct {
	t      testing.TB
	n      int
	agents []Agent
	roster *Roster
	table  *Table
	matrix *Matrix
	seq    uint64
}

func newCluster(t testing.TB, n int) *cluster {
	c := &cluster{t: t, n: n, matrix: NewMatrix()}
	registry := NewRegistry(24*time.Hour, 2*time.Minute)
	for i := 1; i <= n; i++ {
		for network := range Network(Networks) {
			a := testAgent(i, network, 0)
			c.agents = append(c.agents, a)
			registry.Alive(a, epoch)
		}
	}
	c.setRoster(registry.Roster())
	return c
}

func (c *cluster) setRoster(r *Roster) {
	var err error
	c.roster = r
	if c.table, err = TableOf(r); err != nil {
		c.t.Fatal(err)
	}
	c.matrix.SetRoster(r, epoch)
}

func good() (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond, MaxBytes: 1450}
	}
	return s
}

func lost(age time.Duration) (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: probe.LossUnknown,
			Return: probe.LossUnknown, Age: age}
	}
	return s
}

func (c *cluster) row(a Agent, verdict func(to Key) [probe.Kinds]probe.Status, heard func(from Key) probe.Heard) *Row {
	c.seq++
	r := NewRow(a, c.table)
	r.Sequence, r.Interval = c.seq, time.Second
	for i := range c.table.Len() {
		d := c.table.Dest(i)
		if d.Key == a.Key {
			continue
		}
		s := good()
		if verdict != nil {
			s = verdict(d.Key)
		}
		r.Set(i, &s)
		h := probe.Heard{State: [probe.Kinds]probe.HeardState{probe.HeardOK, probe.HeardOK, probe.HeardOK}}
		if heard != nil {
			h = heard(d.Key)
		}
		r.SetHeard(i, &h)
	}
	r.Seal()
	return r
}

func (c *cluster) put(r *Row, now time.Time) {
	c.t.Helper()
	if err := c.matrix.Put(r, "", now); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) putAll(now time.Time) {
	for _, a := range c.agents {
		c.put(c.row(a, nil, nil), now)
	}
}

func paths(v *View, f Filter) (out []string) {
	for p := range v.Paths(f) {
		out = append(out, fmt.Sprintf("%s>%s %s", p.Source, p.Destination, p.State))
	}
	return out
}

func TestAHealthyMeshOfFiveNodesHas90PathsAllOK(t *testing.T) {
	c := newCluster(t, 5)
	c.putAll(epoch)
	v := c.matrix.View(epoch.Add(time.Second))
	total, ok := 0, 0
	for _, n := range v.Counts() {
		total += n.Total
		ok += n.ByState[probe.OK]
	}
	if total != 90 || ok != 90 || v.State() != probe.OK {
		t.Errorf("total %d, ok %d, state %s: want 90, 90, ok", total, ok, v.State())
	}
	if got := paths(v, Filter{States: WantState(probe.Failing) | WantState(probe.Degraded) | WantState(probe.Unknown)}); got != nil {
		t.Errorf("bad paths in a healthy mesh: %v", got)
	}
	if got := len(paths(v, Filter{})); got != 90 {
		t.Errorf("all paths: %d, want 90", got)
	}
}

func TestARowThatStopsMakesOnlyItsOwnPathsUnknown(t *testing.T) {
	c := newCluster(t, 3)
	c.putAll(epoch)
	dead := Key{"node3", Pod}
	for _, a := range c.agents {
		if a.Key == dead {
			continue
		}
		c.put(c.row(a, func(to Key) [probe.Kinds]probe.Status {
			if to == dead {
				return lost(time.Second)
			}
			return good()
		}, nil), epoch.Add(2*time.Second))
	}
	v := c.matrix.View(epoch.Add(3 * time.Second))
	for p := range v.Paths(Filter{}) {
		want := probe.OK
		if p.Source == dead {
			want = probe.Unknown
		} else if p.Destination == dead {
			want = probe.Failing
		}
		if p.State != want {
			t.Errorf("%s>%s is %s, want %s", p.Source, p.Destination, p.State, want)
		}
		if p.Source == dead && !p.Since.Equal(epoch.Add(2500*time.Millisecond)) {
			t.Errorf("%s>%s unknown since %v, want 2.5 s after the last row", p.Source, p.Destination, p.Since)
		}
		if p.Destination == dead && p.State == probe.Failing && !p.Since.Equal(epoch.Add(time.Second)) {
			t.Errorf("%s>%s failing since %v, want 1 s before its row came", p.Source, p.Destination, p.Since)
		}
	}
	if v.State() != probe.Failing {
		t.Errorf("state %s, want failing", v.State())
	}
}

func TestTheCountsAgreeWithThePathsInEverySituation(t *testing.T) {
	c := newCluster(t, 4)
	registry := NewRegistry(24*time.Hour, 2*time.Minute)
	for _, a := range c.agents {
		registry.Alive(a, epoch)
	}
	six := c.agents[2]
	six.IPv6 = netip.MustParseAddr("fd00::2")
	registry.Alive(six, epoch)
	other := c.agents[5]
	other.IPv6 = netip.MustParseAddr("fd00::5")
	registry.Alive(other, epoch)
	oldTable := c.table
	c.setRoster(registry.Roster())
	c.agents[2], c.agents[5] = six, other
	for i, a := range c.agents {
		r := c.row(a, func(to Key) [probe.Kinds]probe.Status {
			if to.Node == "node2" {
				return lost(0)
			}
			return good()
		}, nil)
		switch i {
		case 0:
			continue // never reports
		case 1:
			r.Doubt = probe.DoubtLag
		case 3:
			was := c.table
			c.table = oldTable // knows an older roster
			r = c.row(a, nil, nil)
			c.table = was
		}
		c.put(r, epoch)
	}
	registry.Left(c.agents[7].Name, epoch)
	c.matrix.SetRoster(registry.Roster(), epoch)
	v := c.matrix.View(epoch)
	var want [PathKinds]Counts
	for p := range v.Paths(Filter{}) {
		want[p.Kind()].Total++
		want[p.Kind()].ByState[p.State]++
	}
	if got := v.Counts(); got != want {
		t.Errorf("counts %+v\nwant   %+v", got, want)
	}
	all := paths(v, Filter{})
	for s := range probe.State(probe.States) {
		some := paths(v, Filter{States: WantState(s)})
		for _, p := range all {
			if want := p[len(p)-len(s.String()):] == s.String(); want != slices.Contains(some, p) {
				t.Errorf("state %s: path %q wanted %v", s, p, want)
			}
		}
	}
}

func TestFiltersChooseByKindSourceAndDestination(t *testing.T) {
	c := newCluster(t, 3)
	c.putAll(epoch)
	v := c.matrix.View(epoch)
	if got := len(paths(v, Filter{Kinds: WantKind(HostToPod)})); got != 9 {
		t.Errorf("host-to-pod paths: %d, want 9", got)
	}
	if got := len(paths(v, Filter{Source: "node1", Destination: "node2"})); got != 4 {
		t.Errorf("paths of a pair: %d, want 4", got)
	}
	if got := paths(v, Filter{Source: "node1", Destination: "node1"}); len(got) != 2 {
		t.Errorf("paths inside a node: %v, want 2", got)
	}
	if got := paths(v, Filter{Source: "nobody"}); got != nil {
		t.Errorf("paths of a node that is not there: %v", got)
	}
}

// TestMoreDestinationsThanATableHoldsBreakNothing has more agents than anybody should: one who may send rows can
// do so under many names, and a server must outlive it.
func TestMoreDestinationsThanATableHoldsBreakNothing(t *testing.T) {
	r := &Roster{}
	for i := range MaxDests/2 + 10 {
		a := Agent{Name: fmt.Sprintf("a%05d", i), Key: Key{fmt.Sprintf("node%05d", i), Pod}, IPv4: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Boot: 1}
		a.IPv6 = netip.AddrFrom16([16]byte{0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		r.Agents = append(r.Agents, Member{Agent: a, Since: epoch})
	}
	last := &r.Agents[len(r.Agents)-1]
	last.Life = Left
	m := NewMatrix()
	m.SetRoster(r, epoch)
	table, err := NewTable([]Dest{{Key: r.Agents[0].Key}, {Key: last.Key}})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range []Agent{r.Agents[0].Agent, r.Agents[len(r.Agents)-2].Agent} {
		row := NewRow(a, table)
		row.Sequence, row.Interval = uint64(i+1), time.Second
		row.Seal()
		if err := m.Put(row, "", epoch); err != nil {
			t.Fatal(err)
		}
	}
	v := m.View(epoch)
	if n := v.Len(); n != len(r.Agents) {
		t.Errorf("%d agents, want all %d", n, len(r.Agents))
	}
	for i, want := range map[int]int{0: MaxDests - 2, v.Len() - 2: 0} {
		got := 0
		for range v.BadFrom(i) {
			got++
		}
		sum := 0
		for _, counts := range v.CountsFrom(i) {
			for _, n := range counts {
				sum += n
			}
		}
		if got != want || sum != want {
			t.Errorf("agent %d of %d: %d paths not ok and %d in all, want %d", i, v.Len(), got, sum, want)
		}
	}
}

func TestLossIsGivenTheDirectionTheDestinationSaw(t *testing.T) {
	for _, c := range []struct {
		heard            probe.HeardState
		age              time.Duration
		forward, return_ probe.Loss
	}{
		{probe.HeardSilent, 0, 200, probe.LossUnknown},
		{probe.HeardNever, 0, 200, probe.LossUnknown},
		{probe.HeardOK, 10 * time.Second, 0, 200},
		{probe.HeardOK, time.Second, probe.LossUnknown, probe.LossUnknown}, // it may be about to fall silent
	} {
		cl := newCluster(t, 2)
		from, to := Key{"node1", Pod}, Key{"node2", Pod}
		for _, a := range cl.agents {
			cl.put(cl.row(a, func(dest Key) [probe.Kinds]probe.Status {
				if a.Key == from && dest == to {
					return lost(c.age)
				}
				return good()
			}, func(sender Key) probe.Heard {
				if a.Key == to && sender == from {
					return probe.Heard{State: [probe.Kinds]probe.HeardState{c.heard, c.heard, c.heard}}
				}
				return probe.Heard{}
			}), epoch)
		}
		for p := range cl.matrix.View(epoch).Paths(Filter{States: WantState(probe.Failing)}) {
			if u := p.Probes[probe.UDP]; u.Forward != c.forward || u.Return != c.return_ {
				t.Errorf("heard %s: forward %d, return %d, want %d, %d", c.heard, u.Forward, u.Return, c.forward, c.return_)
			}
			if tcp := p.Probes[probe.TCP]; c.heard == probe.HeardSilent && tcp.Forward != probe.LossUnknown {
				t.Errorf("tcp: forward %d, but a handshake that fails does not say which way", tcp.Forward)
			}
		}
	}
}

func TestADoubtingRowIsUnknownWhereItIsBadAndOKWhereAnswersCame(t *testing.T) {
	c := newCluster(t, 2)
	r := c.row(c.agents[0], func(to Key) [probe.Kinds]probe.Status {
		if to.Network == Pod {
			return lost(0)
		}
		return good()
	}, nil)
	r.Doubt = probe.DoubtDrops
	r.Services = []probe.Service{{Name: "a", State: probe.Failing, Age: time.Minute}, {Name: "b", State: probe.Degraded}, {Name: "c", State: probe.OK, Age: time.Minute}}
	c.put(r, epoch)
	for _, a := range c.matrix.View(epoch).Agents() {
		if a.Key == r.Source.Key && (a.Services[0].State != probe.Unknown || a.Services[1].State != probe.Unknown || a.Services[2].State != probe.OK) {
			t.Errorf("services of a doubting agent: %+v", a.Services)
		}
	}
	if r.Services[0].State != probe.Failing {
		t.Error("the row itself was changed")
	}
	for p := range c.matrix.View(epoch).Paths(Filter{Source: "node1"}) {
		want := probe.OK
		if p.Destination.Network == Pod || p.Source.Network == Host {
			want = probe.Unknown
		}
		if p.State != want || p.Probes[probe.UDP].State > want {
			t.Errorf("%s>%s is %s (udp %s), want %s", p.Source, p.Destination, p.State, p.Probes[probe.UDP].State, want)
		}
	}
}

func TestRowsOfAnEarlierRunOrSequenceAreRefused(t *testing.T) {
	c := newCluster(t, 2)
	first, second := c.row(c.agents[0], nil, nil), c.row(c.agents[0], nil, nil)
	c.put(second, epoch)
	if err := c.matrix.Put(first, "", epoch); err == nil {
		t.Error("an older row replaced a newer one")
	}
	old := c.agents[0]
	old.Boot, old.Name = 1, "before"
	if err := c.matrix.Put(c.row(old, nil, nil), "", epoch.Add(time.Second)); err == nil {
		t.Error("a row of an earlier run replaced a fresh one")
	}
	if err := c.matrix.Put(c.row(old, nil, nil), "", epoch.Add(time.Minute)); err != nil {
		t.Errorf("a run whose clock is behind must be taken once the other is stale: %v", err)
	}
}

func TestRowsSurviveTheWire(t *testing.T) {
	c := newCluster(t, 3)
	r := c.row(c.agents[1], func(to Key) [probe.Kinds]probe.Status {
		if to.Node == "node3" {
			s := good()
			s[probe.MTU] = probe.Status{State: probe.Failing, Code: probe.CodeTooBig, Loss: 200, Forward: 200, MaxBytes: 1400, Age: 7 * time.Second}
			return s
		}
		return good()
	}, func(from Key) probe.Heard {
		return probe.Heard{Boot: 9, Highest: 77, Counts: [probe.Kinds]uint64{5, 6, 7}, State: [probe.Kinds]probe.HeardState{probe.HeardSilent}, Age: time.Second}
	})
	r.Services = []probe.Service{{Name: "dns", Kind: "dns-udp", Address: "10.96.0.10:53", State: probe.Failing, Code: probe.CodeRefused, RTT: time.Millisecond, Detail: "refused", Age: time.Second}}
	r.Doubt, r.Leaving = probe.DoubtLag, true
	codec, tables := NewCodec(), &Tables{}
	if _, err := codec.Decode(codec.Encode(nil, r, false), tables); !errors.Is(err, ErrUnknownTable) {
		t.Fatalf("decode without the table: %v, want ErrUnknownTable", err)
	}
	for _, withTable := range []bool{true, false} {
		got, err := codec.Decode(codec.Encode(nil, r, withTable), tables)
		if err != nil {
			t.Fatal(err)
		}
		if got.Source != r.Source || got.Sequence != r.Sequence || got.Interval != r.Interval || got.Doubt != r.Doubt || !got.Leaving {
			t.Errorf("head: got %+v", got)
		}
		if !slices.Equal(got.Services, r.Services) || !slices.Equal(got.Details, r.Details) || !slices.Equal(got.HeardDetails, r.HeardDetails) {
			t.Errorf("parts differ:\n%+v\n%+v", got, r)
		}
		for i := range r.Table.Len() {
			if got.Status(i) != r.Status(i) || got.Heard(i) != r.Heard(i) {
				t.Errorf("column %d: %+v, want %+v", i, got.Status(i), r.Status(i))
			}
		}
		if got.counts != r.counts || !slices.Equal(got.bad, r.bad) {
			t.Error("counts or index differ")
		}
	}
}

func TestEvidenceStaysUntilTheSameRunSaysMoreOrAnotherTakesOver(t *testing.T) {
	c := newCluster(t, 2)
	says := &probe.Snapshot{}
	first := c.row(c.agents[0], nil, nil)
	first.Evidence = says
	codec, tables := NewCodec(), &Tables{}
	got, err := codec.Decode(codec.Encode(nil, first, true), tables)
	if err != nil || got.Evidence == nil {
		t.Fatalf("over the wire: %v, %v", got, err)
	}
	c.put(first, epoch)
	c.put(c.row(c.agents[0], nil, nil), epoch.Add(time.Second))
	if a := c.matrix.View(epoch.Add(time.Second)).Agents()[0]; a.Evidence != says || !a.EvidenceAt.Equal(epoch) {
		t.Errorf("evidence %v of %v, want what the first row said", a.Evidence, a.EvidenceAt)
	}
	again := c.agents[0]
	again.Boot++
	c.put(c.row(again, nil, nil), epoch.Add(2*time.Second))
	if a := c.matrix.View(epoch.Add(2 * time.Second)).Agents()[0]; a.Evidence != nil {
		t.Error("evidence of an earlier run")
	}
}

func TestRoundTripsKeepTheirSizeOnTheScale(t *testing.T) {
	for d := time.Microsecond; d < 18*time.Second; d = d*11/10 + 1 {
		got := unpackRTT(packRTT(d))
		if ratio := float64(got) / float64(d); ratio < 0.96 || ratio > 1.04 {
			t.Fatalf("%v came back as %v", d, got)
		}
	}
	if packRTT(0) != 0 || unpackRTT(0) != 0 || packRTT(time.Hour) != 255 {
		t.Error("the ends of the scale are off")
	}
}

func FuzzDecodeRow(f *testing.F) {
	c := newCluster(f, 2)
	codec := NewCodec()
	r := c.row(c.agents[0], func(Key) [probe.Kinds]probe.Status { return lost(0) }, nil)
	f.Add(codec.Encode(nil, r, true))
	f.Add(codec.Encode(nil, r, false))
	f.Add([]byte("NCR\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := codec.Decode(b, &Tables{})
		if err != nil {
			return
		}
		m := NewMatrix()
		if m.Put(row, "", epoch) == nil {
			for range m.View(epoch).Paths(Filter{}) {
			}
		}
	})
}

// FuzzRowSections skips compression, which random bytes never get through.
func FuzzRowSections(f *testing.F) {
	c := newCluster(f, 2)
	codec := NewCodec()
	r := c.row(c.agents[0], func(Key) [probe.Kinds]probe.Status { return lost(0) }, nil)
	raw, err := codec.dec.DecodeAll(codec.Encode(nil, r, true)[4:], nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxRow {
			return
		}
		row, err := codec.Decode(codec.enc.EncodeAll(b, []byte("NCR\x01")), &Tables{})
		if err == nil && NewMatrix().Put(row, "", epoch) != nil {
			t.Error("a decoded row was refused by an empty matrix")
		}
	})
}

// Without gossip there is no roster, and of a node that was removed nothing would ever be forgotten.
func TestWhoIsNotExpectedIsForgottenAfterLongSilence(t *testing.T) {
	c := newCluster(t, 3)
	known := func() (out []string) {
		for _, a := range c.matrix.View(epoch.Add(time.Hour)).Agents() {
			out = append(out, a.Key.String())
		}
		return out
	}
	c.matrix = NewMatrix()
	c.putAll(epoch)
	c.put(c.row(c.agents[0], nil, nil), epoch.Add(time.Hour))
	if c.matrix.Forget(epoch); len(known()) != 6 {
		t.Errorf("nobody has been silent for longer, there are %v", known())
	}
	c.matrix.Forget(epoch.Add(time.Second))
	if got := known(); !slices.Equal(got, []string{"node1/pod"}) {
		t.Errorf("there are %v, node1/pod alone reports", got)
	}
	c.matrix.SetRoster(&Roster{Agents: []Member{{Agent: c.agents[0]}}}, epoch)
	c.matrix.Forget(epoch.Add(24 * time.Hour))
	if got := known(); !slices.Equal(got, []string{"node1/pod"}) {
		t.Errorf("there are %v, who is expected stays however long it is silent", got)
	}
}
