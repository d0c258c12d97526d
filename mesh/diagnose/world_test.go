package diagnose

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// place is an agent by number: node from 0.
type place struct {
	node    int
	network mesh.Network
}

// effect is what a fault does to one path: which probes fail and how, and which way packets are lost.
type effect struct {
	fails       [probe.Kinds]bool
	code        probe.Code
	codes       [probe.Kinds]probe.Code
	forth, back bool
	lossy       float64 // share lost, degraded
	slow        time.Duration
	flows       uint16
	size        uint16
}

var (
	everything = [probe.Kinds]bool{true, true, true, true}
	notPing    = [probe.Kinds]bool{true, true, true, false}
	onlyBig    = [probe.Kinds]bool{probe.MTU: true}
	bigAndTCP  = [probe.Kinds]bool{probe.MTU: true, probe.TCP: true}
	onlyTCP    = [probe.Kinds]bool{probe.TCP: true}
	onlyPing   = [probe.Kinds]bool{probe.ICMP: true}
)

// fault says what happens to a path, and which agents do not report.
type fault struct {
	path   func(from, to place) (effect, bool)
	silent func(at place) bool
	// service says what an agent finds of its services; nil for all well.
	service func(at place, s *probe.Service)
	// evidence changes what an agent reads about itself.
	evidence func(at place, s *probe.Snapshot)
	doubt    func(at place) probe.Doubt
}

// world is a cluster in which faults can be put in force; time passes by step.
type world struct {
	t                  testing.TB
	n                  int
	names              []string
	zones              int
	now                time.Time
	matrix             *mesh.Matrix
	registry           *mesh.Registry
	table              *mesh.Table
	agents             map[place]mesh.Agent
	faults             []fault
	since              time.Time // of the faults
	tracker            *Tracker
	seq                uint64
	rng                *rand.Rand
	noise              bool
	seen               map[string]Finding // all that were ever open
	dual               bool
	services, evidence bool
	vipsOnly           bool                // no endpoint of a service is known
	dnsTwice           bool                // DNS has a second pod, on another node
	tells              func(at place) bool // who sends evidence; nil for all
	hostRoutes         bool                // plain routes in place of a tunnel
	skip               map[place]bool
	limit              int   // how many nodes agents tell of their ways to; 0 for all
	hurt               []int // nodes that they tell of besides
	facts              map[string]NodeFacts
	leaving            map[string]bool
	interval           time.Duration // that the rows state; 0 for a second
}

func newWorld(t testing.TB, n int, names func(i int) string) *world {
	w := &world{t: t, n: n, zones: 1, now: epoch, matrix: mesh.NewMatrix(), registry: mesh.NewRegistry(24*time.Hour, 2*time.Minute),
		agents: map[place]mesh.Agent{}, tracker: NewTracker(), rng: rand.New(rand.NewPCG(uint64(n), 7)), seen: map[string]Finding{}, skip: map[place]bool{}}
	if names == nil {
		names = func(i int) string { return fmt.Sprintf("node%d", i+1) }
	}
	for i := range n {
		w.names = append(w.names, names(i))
	}
	return w
}

func (w *world) start() *world {
	for i := range w.n {
		for network := range mesh.Network(mesh.Networks) {
			w.addAgent(place{i, network}, 0)
		}
	}
	w.roster()
	for range 4 {
		w.step(500 * time.Millisecond)
	}
	return w
}

func podAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 244 + byte((i+1)/250), byte((i + 1) % 250), 2})
}
func hostAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 0, 2 + byte((i+1)/250), byte((i + 1) % 250)})
}

func (w *world) addAgent(at place, run int) {
	addr := podAddr(at.node)
	if at.network == mesh.Host {
		addr = hostAddr(at.node)
	}
	zone := ""
	if w.zones > 1 {
		zone = fmt.Sprintf("zone%d", at.node*w.zones/w.n)
	}
	a := mesh.Agent{Name: fmt.Sprintf("agent-%s-%d-%d", at.network, at.node, run), Key: mesh.Key{Node: w.names[at.node], Network: at.network}, Zone: zone,
		IPv4: addr, ProbePort: 8095, GossipPort: 8096, MTU: 1450, Boot: uint64(1000 + run)}
	if w.dual {
		a.IPv6 = netip.AddrFrom16([16]byte{0xfd, 15: byte(at.node + 1), 14: byte(at.network)})
	}
	w.agents[at] = a
	w.registry.Alive(a, w.now)
}

func (w *world) roster() {
	r := w.registry.Roster()
	w.matrix.SetRoster(r, w.now)
	table, err := mesh.TableOf(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.table = table
}

func (w *world) inject(list ...fault) { w.faults, w.since = list, w.now }
func (w *world) heal()                { w.faults = nil }

// detect is how long after a fault its paths are reported.
const detect = 1500 * time.Millisecond

func (w *world) status(from, to place, age time.Duration) [probe.Kinds]probe.Status {
	var s [probe.Kinds]probe.Status
	for k := range s {
		s[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond, MaxBytes: 1450, Loss: 0, Forward: 0, Return: 0, Age: time.Hour}
	}
	if w.now.Sub(w.since) < detect {
		return s
	}
	for _, f := range w.faults {
		if f.path == nil {
			continue
		}
		if e, hit := f.path(from, to); hit {
			e.apply(&s, age)
		}
	}
	return s
}

func (e *effect) apply(s *[probe.Kinds]probe.Status, age time.Duration) {
	for k := range s {
		st := &s[k]
		if !e.fails[k] {
			continue
		}
		code := e.code
		if e.codes[k] != probe.CodeNone {
			code = e.codes[k]
		}
		if code == probe.CodeNone {
			code = probe.CodeTimeout
		}
		*st = probe.Status{State: probe.Failing, Code: code, Loss: 200, Forward: probe.LossUnknown, Return: probe.LossUnknown, Age: age}
		if k == int(probe.MTU) {
			st.MaxBytes = e.size
		}
	}
	udp := &s[probe.UDP]
	switch {
	case udp.State == probe.Failing:
	case e.lossy > 0:
		*udp = probe.Status{State: probe.Degraded, Code: probe.CodeLoss, RTT: 300 * time.Microsecond, Loss: probe.LossOf(int(e.lossy*100), 100), Age: age}
		if e.forth {
			udp.Forward = udp.Loss
		}
		if e.back {
			udp.Return = udp.Loss
		}
	case e.flows != 0:
		*udp = probe.Status{State: probe.Degraded, Code: probe.CodeLoss, RTT: 300 * time.Microsecond, Loss: 88, BadFlows: e.flows, Forward: probe.LossUnknown, Return: probe.LossUnknown, Age: age}
	case e.slow > 0:
		*udp = probe.Status{State: probe.Degraded, Code: probe.CodeSlow, RTT: e.slow, Age: age}
	}
}

// heard is what the destination says of a sender's probes.
func (w *world) heard(sender, at place) probe.Heard {
	h := probe.Heard{State: [probe.Kinds]probe.HeardState{probe.HeardOK, probe.HeardOK, probe.HeardOK}}
	if w.now.Sub(w.since) < detect {
		return h
	}
	for _, f := range w.faults {
		if f.path == nil {
			continue
		}
		if e, hit := f.path(sender, at); hit && e.forth {
			for k := probe.UDP; k <= probe.TCP; k++ {
				if e.fails[k] {
					h.State[k] = probe.HeardSilent
				}
			}
		}
	}
	return h
}

func (w *world) row(at place) *mesh.Row {
	a := w.agents[at]
	w.seq++
	r := mesh.NewRow(a, w.table)
	r.Sequence, r.Interval = w.seq, max(w.interval, time.Second)
	index := map[mesh.Key]place{}
	for p, other := range w.agents {
		index[other.Key] = p
	}
	age := max(w.now.Sub(w.since)-detect+200*time.Millisecond, 0)
	for i := range w.table.Len() {
		d := w.table.Dest(i)
		to, known := index[d.Key]
		if d.Key == a.Key || !known {
			continue
		}
		s := w.status(at, to, age)
		r.Set(i, &s)
		h := w.heard(to, at)
		r.SetHeard(i, &h)
	}
	for _, f := range w.faults {
		if f.doubt != nil {
			r.Doubt |= f.doubt(at)
		}
	}
	if w.evidence && (w.tells == nil || w.tells(at)) {
		r.Evidence = w.snapshotOf(at)
	}
	if w.services {
		r.Services = w.serviceList(at)
	}
	r.Seal()
	return r
}

// step lets time pass: every agent that can reports, one round is held.
func (w *world) step(d time.Duration) []Finding {
	w.now = w.now.Add(d)
	for at := range w.agents {
		silent := w.skip[at]
		for _, f := range w.faults {
			silent = silent || f.silent != nil && f.silent(at)
		}
		if silent || w.noise && w.rng.IntN(10) == 0 { // a row is late now and then
			continue
		}
		if err := w.matrix.Put(w.row(at), "", w.now); err != nil {
			w.t.Fatal(err)
		}
	}
	found := w.tracker.Round(Input{View: w.matrix.View(w.now), Nodes: w.facts, Leaving: w.leaving, Now: w.now})
	for _, f := range found {
		w.seen[f.ID+string(f.Kind)+string(f.Cause)] = f
	}
	return found
}

// run lets time pass in half seconds and returns what is open at the end.
func (w *world) run(d time.Duration) (found []Finding) {
	for end := w.now.Add(d); w.now.Before(end); {
		found = w.step(500 * time.Millisecond)
	}
	return found
}

func (w *world) serviceList(at place) []probe.Service {
	list := []probe.Service{
		{Name: "dns-vip-udp", Kind: probe.ServiceDNSUDP, Address: "10.96.0.10:53"}, {Name: "dns-vip-tcp", Kind: probe.ServiceDNSTCP, Address: "10.96.0.10:53"},
		{Name: "dns-endpoint-udp", Kind: probe.ServiceDNSUDP, Address: "10.244.2.53:53"}, {Name: "dns-endpoint-tcp", Kind: probe.ServiceDNSTCP, Address: "10.244.2.53:53"},
		{Name: "server-vip", Kind: probe.ServiceHTTP, Address: "http://10.96.0.81:8081/api/v1/ping"}, {Name: "server-endpoint", Kind: probe.ServiceHTTP, Address: "http://10.244.1.10:8081/api/v1/ping"},
	}
	if w.dnsTwice {
		list = append(list, probe.Service{Name: "dns-endpoint-2-udp", Kind: probe.ServiceDNSUDP, Address: "10.244.4.53:53"},
			probe.Service{Name: "dns-endpoint-2-tcp", Kind: probe.ServiceDNSTCP, Address: "10.244.4.53:53"})
	}
	if w.vipsOnly {
		list = []probe.Service{list[0], list[1], list[4]}
	}
	for i := range list {
		list[i].State, list[i].RTT, list[i].Age = probe.OK, time.Millisecond, time.Hour
		for _, f := range w.faults {
			if f.service != nil && w.now.Sub(w.since) >= detect {
				f.service(at, &list[i])
			}
		}
	}
	return list
}
