package history

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/probe"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a cluster whose agents report what the test says.
type world struct {
	t      testing.TB
	matrix *mesh.Matrix
	agents []mesh.Agent
	life   map[mesh.Key]mesh.Life
	silent map[mesh.Key]bool
	bad    map[[2]mesh.Key][probe.Kinds]probe.Status
	table  *mesh.Table
	now    time.Time
	row    uint64
}

func newWorld(t testing.TB, nodes int) *world {
	w := &world{t: t, matrix: mesh.NewMatrix(), life: map[mesh.Key]mesh.Life{}, silent: map[mesh.Key]bool{},
		bad: map[[2]mesh.Key][probe.Kinds]probe.Status{}, now: epoch}
	for i := range nodes {
		w.join(i)
	}
	w.roster()
	return w
}

func (w *world) join(node int) {
	for network := range mesh.Network(mesh.Networks) {
		a := mesh.Agent{Name: fmt.Sprintf("agent-%s-%d", network, node), Key: mesh.Key{Node: fmt.Sprintf("node%03d", node), Network: network},
			Zone: fmt.Sprint("zone", node%3), IPv4: netip.AddrFrom4([4]byte{10, 1 + byte(network), byte(node >> 8), byte(node)}), ProbePort: 8095, GossipPort: 8096, Boot: 1}
		w.agents = append(w.agents, a)
	}
}

// roster tells the matrix which agents there are.
func (w *world) roster() {
	registry := mesh.NewRegistry(time.Hour, time.Hour)
	for _, a := range w.agents {
		registry.Alive(a, epoch)
		if w.life[a.Key] == mesh.Left {
			registry.Left(a.Name, epoch)
		}
	}
	r := registry.Roster()
	w.matrix.SetRoster(r, w.now)
	var err error
	if w.table, err = mesh.TableOf(r); err != nil {
		panic(err) // also in a child without a test
	}
}

func good() (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond, Forward: 0, Return: 0}
	}
	return s
}

func dead() (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: 200, Return: probe.LossUnknown}
	}
	return s
}

// lossy is degraded by n of 200 lost on the way there.
func lossy(n probe.Loss) [probe.Kinds]probe.Status {
	s := good()
	s[probe.UDP] = probe.Status{State: probe.Degraded, Code: probe.CodeLoss, Loss: n, Forward: n, Return: 0}
	return s
}

// pass lets time go by and every agent that is not silent report.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.row++
	for _, a := range w.agents {
		if w.silent[a.Key] || w.life[a.Key] == mesh.Left {
			continue
		}
		r := mesh.NewRow(a, w.table)
		r.Sequence, r.Interval = w.row, time.Second
		for i := range w.table.Len() {
			to := w.table.Dest(i).Key
			if to == a.Key {
				continue
			}
			s, bad := w.bad[[2]mesh.Key{a.Key, to}]
			if !bad {
				s = good()
			}
			r.Set(i, &s)
		}
		r.Seal()
		if err := w.matrix.Put(r, "", w.now); err != nil {
			panic(err) // also in a child without a test
		}
	}
}

func (w *world) view() *mesh.View { return w.matrix.View(w.now) }

func (w *world) any(r *rand.Rand) mesh.Key { return w.agents[r.IntN(len(w.agents))].Key }

// text collects a log.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open opens a history over a log; nil is a new one in memory.
func open(t testing.TB, log Log) (*History, *text) {
	t.Helper()
	if log == nil {
		log = &store.MemoryLog{}
	}
	said := &text{}
	h, err := Open(Config{Log: log, MaxBytes: 64 << 20, MaxAge: 24 * time.Hour, Logger: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return h, said
}

// picture is what a view says, without what a history does not keep.
func picture(v *mesh.View) string {
	var b bytes.Buffer
	fmt.Fprintln(&b, v.State(), v.Counts())
	for _, a := range v.Agents() {
		fmt.Fprintln(&b, a.Name, a.Key, a.Zone, a.IPv4, a.IPv6, a.Report, a.Doubt)
	}
	bad := mesh.Filter{States: mesh.WantState(probe.Degraded) | mesh.WantState(probe.Failing) | mesh.WantState(probe.Unknown)}
	for p := range v.Paths(bad) {
		fmt.Fprint(&b, p.Source, p.Destination, p.Family, p.State)
		for k := range p.Probes {
			fmt.Fprint(&b, " ", p.Probes[k].State, " ", p.Probes[k].Code)
		}
		if p.State == probe.Failing {
			fmt.Fprint(&b, " ", p.Probes[probe.UDP].Forward)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}
