package diagnose

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// largeMatrix is a mesh of n nodes in which bad says which paths are dead, and silent who does not report.
func largeMatrix(b testing.TB, n int, bad func(from, to int, rng *rand.Rand) bool, silent func(node int) bool) (*mesh.Matrix, time.Time) {
	registry := mesh.NewRegistry(24*time.Hour, 2*time.Minute)
	var agents []mesh.Agent
	for i := range n {
		for network := range mesh.Network(mesh.Networks) {
			a := mesh.Agent{Name: fmt.Sprintf("a-%d-%d", i, network), Key: mesh.Key{Node: fmt.Sprintf("node%05d", i), Network: network},
				IPv4: netip.AddrFrom4([4]byte{10, byte(network), byte(i >> 8), byte(i)}), ProbePort: 8095, Boot: 1}
			agents = append(agents, a)
			registry.Alive(a, epoch)
		}
	}
	roster := registry.Roster()
	table, err := mesh.TableOf(roster)
	if err != nil {
		b.Fatal(err)
	}
	m := mesh.NewMatrix()
	m.SetRoster(roster, epoch)
	var good, lost [probe.Kinds]probe.Status
	for k := range good {
		good[k] = probe.Status{State: probe.OK, RTT: 300 * time.Microsecond}
		lost[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: probe.LossUnknown, Return: probe.LossUnknown, Age: 10 * time.Second}
	}
	h := probe.Heard{State: [probe.Kinds]probe.HeardState{probe.HeardOK, probe.HeardOK, probe.HeardOK}}
	for i, a := range agents {
		if silent != nil && silent(i/2) {
			continue
		}
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		r := mesh.NewRow(a, table)
		r.Sequence, r.Interval = 1, 15*time.Second
		for col := range table.Len() {
			if col == i {
				continue
			}
			if col/2 != i/2 && bad(i/2, col/2, rng) {
				r.Set(col, &lost)
			} else {
				r.Set(col, &good)
			}
			r.SetHeard(col, &h)
		}
		r.Seal()
		if err := m.Put(r, "", epoch); err != nil {
			b.Fatal(err)
		}
	}
	return m, epoch
}

// benchRounds measures rounds over one matrix and prints how long they take and what they find.
func benchRounds(b *testing.B, m *mesh.Matrix, now time.Time) { benchEvidence(b, m, now, nil) }

func benchEvidence(b *testing.B, m *mesh.Matrix, now time.Time, evidence map[mesh.Key]*probe.Snapshot) {
	tracker := NewTracker()
	var found []Finding
	var took []time.Duration
	for b.Loop() {
		now = now.Add(time.Millisecond)
		start := time.Now()
		found = tracker.Round(Input{View: m.View(now), Evidence: evidence, Now: now})
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(len(tracker.tracks)), "suspicions")
	b.ReportMetric(float64(len(found)), "findings")
}

const large = 5000

func BenchmarkRound5000Healthy(b *testing.B) {
	m, now := largeMatrix(b, large, func(int, int, *rand.Rand) bool { return false }, nil)
	benchRounds(b, m, now)
}

// One path in a hundred is dead, at random: no place explains it.
func BenchmarkRound5000OnePercentScattered(b *testing.B) {
	m, now := largeMatrix(b, large, func(_, _ int, rng *rand.Rand) bool { return rng.IntN(100) == 0 }, nil)
	benchRounds(b, m, now)
}

// One path in a hundred is dead since 25 nodes are cut off.
func BenchmarkRound5000TwentyFiveNodesCutOff(b *testing.B) {
	cut := func(n int) bool { return n%200 == 7 }
	m, now := largeMatrix(b, large, func(from, to int, _ *rand.Rand) bool { return cut(from) || cut(to) }, nil)
	benchRounds(b, m, now)
}

// The same with evidence of all nodes: each tells of its ways to 256 others, as much as a row may hold.
func BenchmarkRound5000TwentyFiveNodesWithEvidence(b *testing.B) {
	cut := func(n int) bool { return n%200 == 7 }
	m, now := largeMatrix(b, large, func(from, to int, _ *rand.Rand) bool { return cut(from) || cut(to) }, nil)
	w := newWorld(b, 256, nil)
	snapshot := w.snapshotOf(place{255, mesh.Host})
	for i := range snapshot.Lookups { // the world of the test has other addresses than the large matrix
		snapshot.Lookups[i].Dst = netip.AddrFrom4([4]byte{10, byte(i % 2), byte(i >> 9), byte(i >> 1)})
	}
	evidence := map[mesh.Key]*probe.Snapshot{}
	for i := range large {
		evidence[mesh.Key{Node: fmt.Sprintf("node%05d", i), Network: mesh.Host}] = snapshot
	}
	benchEvidence(b, m, now, evidence)
}

// Two halves do not reach each other, and both report: 50 million paths are dead.
func BenchmarkRound5000Partition(b *testing.B) {
	m, now := largeMatrix(b, large, func(from, to int, _ *rand.Rand) bool { return from%2 != to%2 }, nil)
	benchRounds(b, m, now)
}

// Two halves do not reach each other, and one of them is silent.
func BenchmarkRound5000PartitionSilent(b *testing.B) {
	m, now := largeMatrix(b, large, func(from, to int, _ *rand.Rand) bool { return from%2 != to%2 }, func(n int) bool { return n%2 == 1 })
	benchRounds(b, m, now)
}

// A thousand nodes are cut off, as by a bad rollout to one in five: each is a suspect of its own.
func BenchmarkRound5000AThousandNodesCutOff(b *testing.B) {
	cut := func(n int) bool { return n%5 == 2 }
	m, now := largeMatrix(b, large, func(from, to int, _ *rand.Rand) bool { return cut(from) || cut(to) }, nil)
	benchRounds(b, m, now)
}
