package probe_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/probe"
)

// benchTargets returns n addresses of namespace b.
func benchTargets(n int) []probe.Target {
	targets := make([]probe.Target, n)
	for i := range targets {
		targets[i] = probe.Target{ID: uint64(i + 1), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 98, byte(i / 250), byte(i%250 + 1)}), 8095), Bytes: 1500}
	}
	return targets
}

// BenchmarkCPU compares the CPU that one probe costs, both ends and both ways, with fping over the
// same veth: fping's other end is the kernel, whose work is counted to whoever sends.
func BenchmarkCPU(b *testing.B) {
	for _, rate := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("%d_per_second", rate), func(b *testing.B) {
			p := newPair(b)
			targets := benchTargets(rate)
			answering := startChild(b, p.b, childConfig{Role: "echo", Port: 8095})
			asking := startChild(b, p.a, childConfig{Role: "engine", Rate: rate * 10 / 6, Count: rate,
				Off: [probe.Kinds]bool{probe.MTU: true, probe.TCP: true, probe.ICMP: true}})
			time.Sleep(2 * time.Second)
			for range b.N {
				ours, lost := cpuPerProbe(b, asking, answering, 6*time.Second)
				b.ReportMetric(ours, "µs/probe")
				b.ReportMetric(lost, "lost-%")
				if theirs, ok := fping(b, p, targets, 6); ok {
					b.ReportMetric(theirs, "fping-µs/probe")
					b.ReportMetric(ours/theirs, "of-fping")
				}
			}
		})
	}
}

func cpuPerProbe(b *testing.B, asking, answering *child, d time.Duration) (micros, lost float64) {
	e0, r0 := asking.report(b), answering.report(b)
	time.Sleep(d)
	e1, r1 := asking.report(b), answering.report(b)
	received, sent, failed := 0.0, 0.0, 0.0
	for k := range probe.Kinds {
		received += float64(e1.Stats.Received[k] - e0.Stats.Received[k])
		sent += float64(e1.Stats.Sent[k] - e0.Stats.Sent[k])
		failed += float64(e1.Stats.Lost[k] - e0.Stats.Lost[k])
	}
	b.Logf("%.0f probes a second; asking %v, answering %v of CPU in %v; resident %d KiB; late %d, tick late by %v at most",
		sent/d.Seconds(), e1.CPU-e0.CPU, r1.CPU-r0.CPU, d, e1.Resident>>10, e1.Stats.Late, e1.Stats.MaxLag)
	return float64((e1.CPU-e0.CPU)+(r1.CPU-r0.CPU)) / 1e3 / received, 100 * failed / max(sent, 1)
}

// fping returns the CPU of one of its probes in µs; false, with a line, when it is not installed.
func fping(b *testing.B, p pair, targets []probe.Target, rounds int) (float64, bool) {
	path, err := exec.LookPath("fping")
	if err != nil {
		b.Log("fping is not installed: nothing to compare with (Debian: apt-get install fping)")
		return 0, false
	}
	list := new(strings.Builder)
	for _, t := range targets {
		fmt.Fprintln(list, t.Addr.Addr())
	}
	file := filepath.Join(b.TempDir(), "targets")
	if err := os.WriteFile(file, []byte(list.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", p.a, path, "-q", "-c", fmt.Sprint(rounds), "-p", "1000",
		"-i", fmt.Sprint(1000/float64(len(targets))), "-f", file)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		b.Fatalf("fping: %v: %s", err, out)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	probes := len(targets) * rounds
	b.Logf("fping: %d probes in %v, %v of CPU", probes, time.Since(start).Round(time.Millisecond), used)
	return float64(used) / 1e3 / float64(probes), true
}

// BenchmarkRTTError compares each round trip that the engine reports with the kernel's own: the times
// at which the veth sent the request and received the reply, less what the peer held it.
func BenchmarkRTTError(b *testing.B) {
	for _, rate := range []int{240, 1000} {
		b.Run(fmt.Sprintf("%d_per_second", rate), func(b *testing.B) {
			p := newPair(b)
			startChild(b, p.b, childConfig{Role: "echo", Port: 8095})
			var s *sniffer
			inside(b, p.a, func() { s = newSniffer(b) })
			asking := startChild(b, p.a, childConfig{Role: "engine", Rate: rate * 10 / 6, Count: rate, RTT: true,
				Off: [probe.Kinds]bool{probe.MTU: true, probe.TCP: true, probe.ICMP: true}})
			for range b.N {
				kernel := s.collect(8 * time.Second)
				ours := asking.report(b).RTT
				var errs []float64
				for cookie, rtt := range kernel {
					if reported, ok := ours[cookie]; ok {
						errs = append(errs, float64(reported-rtt)/1e3)
					}
				}
				if len(errs) == 0 {
					b.Fatalf("no probe was seen by both: %d sniffed, %d reported", len(kernel), len(ours))
				}
				slices.Sort(errs)
				b.ReportMetric(errs[len(errs)/2], "p50-µs")
				b.ReportMetric(errs[len(errs)*99/100], "p99-µs")
				b.ReportMetric(float64(len(errs)), "probes")
			}
		})
	}
}

// BenchmarkTCP compares the CPU of a tcp probe, client and server, with what net.Dialer and Close
// alone cost, and with the same question and answer over a net.Conn.
func BenchmarkTCP(b *testing.B) {
	const rate = 400
	p := newPair(b)
	only := [probe.Kinds]bool{probe.UDP: true, probe.MTU: true, probe.ICMP: true}
	measure := func(c childConfig) (client, server float64) {
		answering := startChild(b, p.b, childConfig{Role: "echo", Port: 8095})
		c.Count, c.Off = rate, only
		asking := startChild(b, p.a, c)
		time.Sleep(2 * time.Second)
		e0, r0 := asking.report(b), answering.report(b)
		time.Sleep(6 * time.Second)
		e1, r1 := asking.report(b), answering.report(b)
		n := float64(e1.Stats.Sent[probe.TCP]-e0.Stats.Sent[probe.TCP]) * 1e3
		b.Logf("%s: %.0f connections, %d lost", c.Role, n/1e3, e1.Stats.Lost[probe.TCP])
		if err := errors.Join(asking.stop(), answering.stop()); err != nil {
			b.Error(err)
		}
		return float64(e1.CPU-e0.CPU) / n, float64(r1.CPU-r0.CPU) / n
	}
	for range b.N {
		ours, ourServer := measure(childConfig{Role: "engine", Rate: rate * 10 / 4})
		connect, connectServer := measure(childConfig{Role: "dialer", Rate: rate})
		exchange, exchangeServer := measure(childConfig{Role: "dialer", Rate: rate, Exchange: true})
		b.ReportMetric(ours, "client-µs")
		b.ReportMetric(ourServer, "server-µs")
		b.ReportMetric(connect, "connect-only-client-µs")
		b.ReportMetric(connectServer, "connect-only-server-µs")
		b.ReportMetric(exchange, "net.Conn-client-µs")
		b.ReportMetric(exchangeServer, "net.Conn-server-µs")
		b.ReportMetric(ours/exchange, "of-net.Conn")
	}
}

// BenchmarkAgent is the whole load of an agent in a mesh of 5,000 nodes: 10,000 targets, all kinds, 400 probes a second.
func BenchmarkAgent(b *testing.B) {
	p := newPair(b)
	answering := startChild(b, p.b, childConfig{Role: "echo", Port: 8095})
	sh(b, p.a, "sysctl -qw net.ipv4.ping_group_range='0 65535'")
	asking := startChild(b, p.a, childConfig{Role: "engine", Count: 10_000, Rate: probe.DefaultRate, UID: 65534})
	time.Sleep(3 * time.Second)
	for range b.N {
		const d = 10 * time.Second
		e0, r0 := asking.report(b), answering.report(b)
		time.Sleep(d)
		e1, r1 := asking.report(b), answering.report(b)
		b.Logf("sent %v", e1.Stats.Sent)
		b.ReportMetric(100*float64(e1.CPU-e0.CPU)/float64(d), "asking-%-of-a-core")
		b.ReportMetric(100*float64(r1.CPU-r0.CPU)/float64(d), "answering-%-of-a-core")
		b.ReportMetric(float64(e1.Resident)/(1<<20), "asking-MiB")
		b.ReportMetric(float64(r1.Resident)/(1<<20), "answering-MiB")
	}
}
