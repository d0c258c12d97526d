package lab_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/test/lab"
)

// patience is for probes that are sent once and counted.
const patience = time.Second

// inject breaks the network for the rest of the test and checks the repair at its end.
func (r rig) inject(t *testing.T, name string, args ...int) (heal func()) {
	t.Helper()
	undo, err := r.Inject(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := undo(); err != nil {
			t.Error(err)
		}
		r.check(t, "")
	}
}

func TestLossHitsOneDirectionOfOnePair(t *testing.T) {
	t.Parallel()
	r := startRig(t, lab.Config{Nodes: 4, Zones: 2})
	defer r.inject(t, "loss", 3, 2)() // across two racks, where one filter must not count twice
	const tries = 150
	lost := func(from, to int) int {
		var n atomic.Int64
		jobs := make([]func(), tries)
		for i := range jobs {
			jobs[i] = func() {
				if pingWithin(patience, r.Lab, r.Node(from).Namespace, r.Node(to).Addr, 56, false) != nil {
					n.Add(1)
				}
			}
		}
		parallel(jobs)
		return int(n.Load())
	}
	if n := lost(3, 2); n < tries*18/100 || n > tries*45/100 {
		t.Errorf("%d of %d round trips lost, want about 30 %%", n, tries)
	}
	if n := lost(3, 1); n > tries/20 {
		t.Errorf("%d of %d lost on another pair", n, tries)
	}
}

func TestDeadParallelLinkLosesTheSameFlowsEachTime(t *testing.T) {
	t.Parallel()
	r := startRig(t, lab.Config{Nodes: 2})
	defer r.inject(t, "ecmp-blackhole")()
	const ports = 60
	passes := func() []bool {
		ok := make([]bool, ports)
		jobs := make([]func(), ports)
		for i := range jobs {
			jobs[i] = func() { ok[i] = r.fromPort(20000+i) == nil }
		}
		parallel(jobs)
		return ok
	}
	first, second := passes(), passes()
	if !slices.Equal(first, second) {
		t.Errorf("the flows that pass change:\n%v\n%v", first, second)
	}
	good := 0
	for _, ok := range first {
		if ok {
			good++
		}
	}
	// A quarter is lost on the way there, another one on the way back: 56 % remain.
	if good < ports*30/100 || good > ports*80/100 {
		t.Errorf("%d of %d flows pass, want about 56 %%", good, ports)
	}
}

// fromPort asks host 2 from a given port of host 1.
func (r rig) fromPort(port int) error {
	pc, err := r.ListenPacket("node1", "udp4", netip.AddrPortFrom(r.Node(1).Addr, uint16(port)).String())
	if err != nil {
		return err
	}
	defer pc.Close()
	pc.SetDeadline(time.Now().Add(patience))
	if _, err := pc.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.Node(2).Addr, echoPort))); err != nil {
		return err
	}
	_, _, err = pc.ReadFrom(make([]byte, 100))
	return err
}

func TestLatencyIsOnTheNodesCableOnly(t *testing.T) {
	t.Parallel()
	r := startRig(t, lab.Config{Nodes: 3})
	defer r.inject(t, "latency", 3, 50)()
	fastest := func(from lab.Endpoint, to netip.Addr) time.Duration {
		best := time.Hour
		for range 5 {
			begin := time.Now()
			if err := ping(r.Lab, from.Namespace, to, 56, false); err == nil {
				best = min(best, time.Since(begin))
			}
		}
		return best
	}
	for _, pair := range []struct {
		from, to lab.Endpoint
		slow     bool
	}{
		{r.Node(1), r.Node(3), true}, {r.Pod(3), r.Pod(2), true}, {r.Node(1), r.Node(2), false},
		{r.Node(3), r.Pod(3), false}, {r.Pod(1), r.Pod(2), false},
	} {
		rtt := fastest(pair.from, pair.to.Addr)
		if slow := rtt >= 100*time.Millisecond; slow != pair.slow {
			t.Errorf("%s to %s takes %v, want 100 ms more: %v", pair.from.Namespace, pair.to.Namespace, rtt, pair.slow)
		}
	}
}

func TestFullConnectionTableRefusesNewFlows(t *testing.T) {
	t.Parallel()
	r := startRig(t, lab.Config{Nodes: 3})
	defer r.inject(t, "conntrack-full", 3)()
	refused := 0
	for range 20 {
		if errors.Is(ping(r.Lab, "node3", r.Node(1).Addr, 56, false), unix.EPERM) {
			refused++
		}
	}
	if refused < 15 {
		t.Errorf("%d of 20 pings from the full node get EPERM", refused)
	}
	for _, pair := range [][2]lab.Endpoint{{r.Node(1), r.Node(2)}, {r.Pod(1), r.Pod(2)}} {
		if err := ping(r.Lab, pair[0].Namespace, pair[1].Addr, 56, false); err != nil {
			t.Errorf("%s to %s: %v", pair[0].Namespace, pair[1].Namespace, err)
		}
	}
}

func TestPodsWithTheWrongMTUSendTooBigPackets(t *testing.T) {
	t.Parallel()
	r := startRig(t, lab.Config{Nodes: 2})
	heal := r.inject(t, "mtu-pods-1500")
	if err := ping(r.Lab, "pod1", r.Pod(2).Addr, 1500-28, true); err == nil {
		t.Error("1500 bytes cross an overlay of 1450")
	}
	if err := ping(r.Lab, "pod1", r.Pod(2).Addr, 1450-28, true); err != nil {
		t.Errorf("1450 bytes: %v", err)
	}
	heal()
	if err := ping(r.Lab, "pod1", r.Pod(2).Addr, 1500-28, true); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("1500 bytes after the repair: %v", err)
	}
}

func TestPartitionOfOneRackSplitsItInHalves(t *testing.T) {
	t.Parallel()
	r := startRig(t, lab.Config{Nodes: 3})
	heal := r.inject(t, "partition")
	r.check(t, "HH,PP,HP,PH: {12}<>{3}; srv vip npt dns cdns = 3")
	heal()
}

func TestFaultsRefuseWrongArguments(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 2})
	for _, c := range []struct {
		name string
		args []int
	}{
		{"no-such-fault", nil}, {"nic-down", nil}, {"nic-down", []int{1, 2}}, {"nic-down", []int{3}}, {"nic-down", []int{0}},
		{"sg-pair", []int{1}}, {"sg-pair", []int{1, 1}}, {"coredns-dead", []int{1}}, {"fw-agent-port", []int{1, 2, 3}},
	} {
		if _, err := l.Inject(t.Context(), c.name, c.args...); err == nil {
			t.Errorf("%s %v is accepted", c.name, c.args)
		}
	}
}

// countdown ends after a number of looks at it.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestFaultThatFailsHalfWayIsUndone(t *testing.T) {
	r := startRig(t, lab.Config{Nodes: 2})
	for left := range 4 {
		if _, err := r.Inject(&countdown{t.Context(), left}, "vip-no-endpoints"); err == nil {
			t.Errorf("injected in %d steps", left)
		}
	}
	r.check(t, "")
}

func TestOverlayFaultsAreRefusedWithoutOverlay(t *testing.T) {
	r := startRig(t, lab.Config{Nodes: 2, Mode: lab.HostGW})
	for name, args := range map[string][]int{
		"vxlan-gone": {1}, "fw-8472-in": {1}, "fw-8472-all": nil, "mtu-flannel-low": {1}, "fdb-missing": {1, 2}, "dup-podcidr": {1, 2},
		"vtep-wrong-ip": {1}, "mtu-pods-1500": nil, "rp-filter-asym": {1, 2},
	} {
		if _, err := r.Inject(t.Context(), name, args...); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	r.check(t, "")
}

func TestEveryFaultIsTested(t *testing.T) {
	tested := map[string]bool{"loss": true, "ecmp-blackhole": true, "latency": true, "conntrack-full": true, "mtu-pods-1500": true}
	for _, c := range faultCases {
		tested[c.name] = true
	}
	for _, f := range lab.Faults() {
		if !tested[f.Name] {
			t.Errorf("no test for %s", f.Name)
		}
		if f.About == "" {
			t.Errorf("%s does not say what it breaks", f.Name)
		}
	}
}
