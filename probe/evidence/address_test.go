package evidence

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ownNamespace moves the test into an empty network namespace. Its thread dies with it.
func ownNamespace(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread stays in the namespace and ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace to be had: %v", err)
	}
}

// link makes an interface of the MTU with addresses.
func link(t testing.TB, name string, mtu int, addrs ...string) netlink.Link {
	t.Helper()
	l := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu}}
	if err := netlink.LinkAdd(l); err != nil {
		t.Skipf("no bridge to be had: %v", err)
	}
	for _, text := range addrs {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	for _, text := range addrs {
		awaitLocal(t, netip.MustParsePrefix(text).Addr())
	}
	return l
}

// awaitLocal waits until the kernel delivers to an address of this namespace: it enters the local
// route of an IPv6 address from a work queue, which on a busy machine takes a moment.
func awaitLocal(t testing.TB, addr netip.Addr) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		routes, err := netlink.RouteGet(addr.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v is not local: %v, %v", addr, routes, err)
		}
	}
}

func route(t *testing.T, l netlink.Link, dst, gateway string, metric int) {
	t.Helper()
	_, network, err := net.ParseCIDR(dst)
	if err != nil {
		t.Fatal(err)
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: network, Gw: net.ParseIP(gateway), Priority: metric}
	if err := netlink.RouteAdd(r); err != nil {
		t.Fatalf("route %s via %s: %v", dst, gateway, err)
	}
}

func TestDefaultAddressIsThatOfTheBestDefaultRoute(t *testing.T) {
	ownNamespace(t)
	slow := link(t, "slow0", 1400, "10.1.0.2/24")
	good := link(t, "good0", 1450, "10.2.0.2/24", "10.2.0.3/24", "2001:db8::2/64")
	route(t, slow, "0.0.0.0/0", "10.1.0.1", 200)
	route(t, good, "0.0.0.0/0", "10.2.0.1", 100)
	route(t, slow, "10.9.0.0/16", "10.1.0.1", 1)
	route(t, good, "::/0", "2001:db8::1", 1024)
	for _, c := range []struct {
		v6   bool
		want string
	}{{false, "10.2.0.2"}, {true, "2001:db8::2"}} {
		addr, mtu, err := DefaultAddress(c.v6)
		if err != nil || addr != netip.MustParseAddr(c.want) || mtu != 1450 {
			t.Errorf("DefaultAddress(%v) = %v, %d, %v, want %s, 1450", c.v6, addr, mtu, err, c.want)
		}
	}
	for text, want := range map[string]int{"10.1.0.2": 1400, "10.2.0.3": 1450, "::ffff:10.1.0.2": 1400, "2001:db8::2": 1450} {
		if mtu, err := MTUOf(netip.MustParseAddr(text)); mtu != want || err != nil {
			t.Errorf("MTUOf(%s) = %d, %v, want %d", text, mtu, err, want)
		}
	}
}

func TestAnInterfaceWithoutAddressIsPassedOver(t *testing.T) {
	ownNamespace(t)
	bare, good := link(t, "bare0", 1500), link(t, "good0", 1450, "10.2.0.2/24")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: bare.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := DefaultAddress(false); err == nil || !strings.Contains(err.Error(), "bare0") {
		t.Errorf("error %v, want one that names bare0", err)
	}
	route(t, good, "0.0.0.0/0", "10.2.0.1", 100)
	if addr, _, err := DefaultAddress(false); err != nil || addr != netip.MustParseAddr("10.2.0.2") {
		t.Errorf("DefaultAddress = %v, %v, want 10.2.0.2", addr, err)
	}
}

func TestWithoutADefaultRouteThereIsNoDefaultAddress(t *testing.T) {
	ownNamespace(t)
	link(t, "lan0", 1500, "10.1.0.2/24")
	if addr, _, err := DefaultAddress(false); !errors.Is(err, ErrNoDefaultRoute) {
		t.Errorf("DefaultAddress = %v, %v, want %v", addr, err, ErrNoDefaultRoute)
	}
	if mtu, err := MTUOf(netip.MustParseAddr("192.0.2.77")); err == nil {
		t.Errorf("MTUOf an address of nobody = %d, want an error", mtu)
	}
}

func TestARouteOverSeveralGatewaysCountsWithTheFirst(t *testing.T) {
	zero := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	got := defaults([]netlink.Route{
		{Dst: zero, Type: unix.RTN_BLACKHOLE},
		{Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(1, 32)}, LinkIndex: 9}, // 0.0.0.0/1 is no default route
		{Dst: zero, Priority: 5, MultiPath: []*netlink.NexthopInfo{{LinkIndex: 3}, {LinkIndex: 4}}},
		{Dst: nil, Priority: 2, LinkIndex: 7},
	})
	if len(got) != 2 || got[0].LinkIndex != 7 || got[1].LinkIndex != 3 {
		t.Errorf("defaults = %v, want links 7 and 3", got)
	}
}
