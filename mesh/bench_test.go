package mesh

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"netchecker/probe"
)

// benchRow is the row of one of 10,000 agents as a network makes it: round trips scattered by a
// fifth, one path in a hundred bad.
func benchRow(b testing.TB, c *cluster, a Agent, badOneIn int) *Row {
	rng := rand.New(rand.NewPCG(a.ID(), 1))
	return c.row(a, func(to Key) [probe.Kinds]probe.Status {
		if badOneIn > 0 && rng.IntN(badOneIn) == 0 {
			return lost(time.Duration(rng.IntN(60)) * time.Second)
		}
		s := good()
		for k := range s {
			s[k].RTT = time.Duration(200+rng.NormFloat64()*40) * time.Microsecond
		}
		return s
	}, nil)
}

// BenchmarkIngestRow10000 decodes a row of 10,000 paths and puts it into the matrix.
func BenchmarkIngestRow10000(b *testing.B) {
	c := newCluster(b, 5000)
	codec, tables := NewCodec(), &Tables{}
	row := benchRow(b, c, c.agents[0], 100)
	if _, err := codec.Decode(codec.Encode(nil, row, true), tables); err != nil {
		b.Fatal(err)
	}
	var wire [][]byte
	for i := range 64 {
		row.Sequence = uint64(i)
		wire = append(wire, codec.Encode(nil, row, false))
	}
	b.ReportMetric(float64(len(wire[0]))/10000, "wire-bytes/path")
	i := 0
	for b.Loop() {
		got, err := codec.Decode(wire[i%len(wire)], tables)
		if err != nil {
			b.Fatal(err)
		}
		m := NewMatrix()
		if err := m.Put(got, "", epoch); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10000, "ns/path")
	b.ReportMetric(float64(len(wire[0]))/10000, "wire-bytes/path")
}

// BenchmarkEncodeRow10000 is what an agent pays for a row.
func BenchmarkEncodeRow10000(b *testing.B) {
	c := newCluster(b, 5000)
	codec, row := NewCodec(), benchRow(b, c, c.agents[0], 100)
	var buf []byte
	for b.Loop() {
		buf = codec.Encode(buf[:0], row, false)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10000, "ns/path")
}

// BenchmarkMatrix10000Agents holds 100 million paths, one in a thousand failing, and asks for the
// failing ones while rows come in.
func BenchmarkMatrix10000Agents(b *testing.B) {
	c := newCluster(b, 5000)
	codec, tables := NewCodec(), &Tables{}
	tables.Add(c.table)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wire []byte
	for _, a := range c.agents {
		row, err := codec.Decode(codec.Encode(nil, benchRow(b, c, a, 1000), false), tables)
		if err != nil {
			b.Fatal(err)
		}
		c.put(row, epoch)
		wire = codec.Encode(nil, row, false)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	resident := float64(after.HeapAlloc-before.HeapAlloc) / 1e8
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // 667 rows a second: 10,000 agents every 15 s
		defer close(done)
		for tick := time.NewTicker(1500 * time.Microsecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				if _, err := codec.Decode(wire, tables); err != nil {
					b.Error(err)
				}
			}
		}
	}()
	for _, most := range []int{1000, 1 << 30} {
		b.Run(fmt.Sprintf("failing-first-%d", most), func(b *testing.B) {
			var took []time.Duration
			found := 0
			for b.Loop() {
				start := time.Now()
				found = 0
				for range c.matrix.View(epoch).Refs(Filter{States: WantState(probe.Failing)}) {
					if found++; found == most {
						break
					}
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(found), "paths")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(resident, "resident-bytes/path")
		})
	}
	close(stop)
	<-done
}
