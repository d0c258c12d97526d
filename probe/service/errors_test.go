package service

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// ownNamespace moves the test into a network namespace that has lo alone. Its thread dies with it.
func ownNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread stays in the namespace and ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace to be had: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

// iptables adds a rule to OUTPUT.
func iptables(t *testing.T, rule string) {
	t.Helper()
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("needs iptables")
	}
	if out, err := exec.Command("iptables", append([]string{"-w", "-A", "OUTPUT"}, strings.Fields(rule)...)...).CombinedOutput(); err != nil {
		t.Skipf("iptables %s: %v: %s", rule, err, out)
	}
}

func TestTheKernelsErrorNamesTheFault(t *testing.T) {
	ownNamespace(t)
	iptables(t, "-p udp -d 127.0.0.2 -j DROP")
	iptables(t, "-p tcp -d 127.0.0.2 -j DROP")
	iptables(t, "-p udp -d 127.0.0.3 -j REJECT --reject-with icmp-host-prohibited")
	if err := netlink.RouteAdd(&netlink.Route{Dst: netlink.NewIPNet([]byte{192, 0, 2, 1}), Type: unix.RTN_BLACKHOLE}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says, server, kind string
		want               probe.Code
	}{
		{"nobody listens", "127.0.0.1:53", probe.ServiceDNSUDP, probe.CodeRefused},
		{"a local rule drops what we send", "127.0.0.2:53", probe.ServiceDNSUDP, probe.CodeNotPermitted},
		{"a local rule drops a SYN without a word", "127.0.0.2:53", probe.ServiceDNSTCP, probe.CodeTimeout},
		{"there is no route", "198.51.100.1:53", probe.ServiceDNSUDP, probe.CodeNetUnreachable},
		{"there is no route for TCP either", "198.51.100.1:53", probe.ServiceDNSTCP, probe.CodeNetUnreachable},
		{"the route is a black hole", "192.0.2.1:53", probe.ServiceDNSUDP, probe.CodeInvalid},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		got := DNS(ctx, netip.MustParseAddrPort(c.server), goodQuery, c.kind)
		cancel()
		if got.State != probe.Failing || got.Code != c.want {
			t.Errorf("%s: %+v, want %v", c.says, got, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	got := DNS(ctx, netip.MustParseAddrPort("127.0.0.3:53"), goodQuery, probe.ServiceDNSUDP)
	if got.Code != probe.CodeHostUnreachable && got.Code != probe.CodeNotPermitted { // by how REJECT treats our own packets
		t.Errorf("a rule rejects: %+v", got)
	}
}
