package gossip

import (
	"syscall"
	"testing"
	"time"
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdleMesh says what one of 100 members costs in a second without news: CPU, and bytes
// sent, UDP and TCP, without headers. It takes a minute and a half.
func BenchmarkIdleMesh(b *testing.B) {
	const n = 100
	members := make([]*Gossip, n)
	var seeds []string
	for i := range members {
		g, err := Start(Config{Self: loopAgent(i), Bind: loopback, Seeds: seeds})
		if err != nil {
			b.Fatal(err)
		}
		members[i] = g
		if len(seeds) < 3 {
			seeds = append(seeds, seedOf(g.Self()))
		}
	}
	defer closeAll(members)
	for end := time.Now().Add(time.Minute); !whole(members, n); time.Sleep(time.Second) {
		if time.Now().After(end) {
			b.Fatal("not whole")
		}
	}
	time.Sleep(45 * time.Second) // until the news of the start has been passed on often enough
	sum := func() (s Stats) {
		for _, g := range members {
			m := g.Stats()
			s.BytesSent += m.BytesSent
			s.StreamBytesSent += m.StreamBytesSent
			s.PacketsSent += m.PacketsSent
			s.Repairs += m.Repairs
		}
		return s
	}
	for b.Loop() {
		before, cpu, begin := sum(), cpuTime(), time.Now()
		time.Sleep(30 * time.Second)
		after, per := sum(), n*time.Since(begin).Seconds()
		b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/per, "µs-CPU/agent/s")
		b.ReportMetric(float64(after.BytesSent-before.BytesSent)/per, "UDP-B/agent/s")
		b.ReportMetric(float64(after.StreamBytesSent-before.StreamBytesSent)/per, "TCP-B/agent/s")
		b.ReportMetric(float64(after.PacketsSent-before.PacketsSent)/per, "packets/agent/s")
	}
}

// BenchmarkPublish10000 is the cost of one roster of 10,000 members after a change.
func BenchmarkPublish10000(b *testing.B) {
	g := &Gossip{cfg: Config{Self: testAgent(0)}, changed: make(chan struct{}, 1)}
	g.cfg.fill()
	g.box.wake = make(chan struct{}, 1)
	o := newOwner(g)
	for i := range 10_000 {
		a := testAgent(i)
		g.box.put(event{kind: eventAlive, name: a.Name, meta: a.AppendMeta(nil), addr: g.cfg.address()})
	}
	o.drain(time.Now())
	flip := testAgent(5)
	for b.Loop() {
		flip.MTU++
		g.box.put(event{kind: eventAlive, name: flip.Name, meta: flip.AppendMeta(nil), addr: g.cfg.address()})
		o.drain(time.Now())
		o.publish()
	}
}
