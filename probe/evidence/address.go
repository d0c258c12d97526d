package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// ErrNoDefaultRoute says that there is no default route of the family, so that no interface is
// better than another.
var ErrNoDefaultRoute = errors.New("no default route")

// DefaultAddress returns the address that this node is known by when nobody says otherwise, and
// the MTU of the interface that holds it: the interface of the default route with the best metric.
// The route's preferred source comes first, then the interface's first address of global scope.
func DefaultAddress(v6 bool) (netip.Addr, int, error) {
	family := netlink.FAMILY_V4
	if v6 {
		family = netlink.FAMILY_V6
	}
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("list routes: %w", err)
	}
	var last error
	for _, r := range defaults(routes) {
		addr, mtu, err := addressFor(r, family)
		if err == nil {
			return addr, mtu, nil
		}
		last = err
	}
	return netip.Addr{}, 0, cmp.Or(last, ErrNoDefaultRoute)
}

// defaults picks the usable default routes, best metric first. A route over several gateways
// counts with the first.
func defaults(routes []netlink.Route) []netlink.Route {
	var out []netlink.Route
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 || !r.Dst.IP.IsUnspecified() {
				continue
			}
		}
		if r.LinkIndex == 0 && len(r.MultiPath) > 0 {
			r.LinkIndex = r.MultiPath[0].LinkIndex
		}
		if r.LinkIndex != 0 { // else it is a blackhole or the like
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b netlink.Route) int { return cmp.Compare(a.Priority, b.Priority) })
	return out
}

func addressFor(r netlink.Route, family int) (netip.Addr, int, error) {
	link, err := netlink.LinkByIndex(r.LinkIndex)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("link %d of the default route: %w", r.LinkIndex, err)
	}
	if addr, ok := netip.AddrFromSlice(r.Src); ok {
		return addr.Unmap(), link.Attrs().MTU, nil
	}
	addrs, err := netlink.AddrList(link, family)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("addresses of %s: %w", link.Attrs().Name, err)
	}
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		if ok && a.Scope == int(netlink.SCOPE_UNIVERSE) && a.Flags&unusable == 0 {
			return addr.Unmap(), link.Attrs().MTU, nil
		}
	}
	return netip.Addr{}, 0, fmt.Errorf("%s has the default route but no address of global scope", link.Attrs().Name)
}

// unusable marks IPv6 addresses that change (temporary), are on their way out (deprecated), or are
// somebody else's (failed or unfinished duplicate detection).
const unusable = ifaTemporary | ifaDeprecated | ifaTentative | ifaDADFailed

// The flags of an address, from linux/if_addr.h. An IPv4 address with ifaTemporary is a secondary
// one, which comes after the primary anyway.
const (
	ifaTemporary  = 0x01
	ifaDADFailed  = 0x08
	ifaDeprecated = 0x20
	ifaTentative  = 0x40
)

// MTUOf returns the MTU in bytes of the interface that holds an address.
func MTUOf(addr netip.Addr) (int, error) {
	_, mtu, err := HolderOf(addr)
	return mtu, err
}

// HolderOf returns the name of the interface that holds an address, and its MTU in bytes.
func HolderOf(addr netip.Addr) (name string, mtu int, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return "", 0, fmt.Errorf("list links: %w", err)
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return "", 0, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if held, ok := netip.AddrFromSlice(a.IP); !ok || held.Unmap() != addr.Unmap().WithZone("") {
			continue
		}
		for _, l := range links {
			if l.Attrs().Index == a.LinkIndex {
				return l.Attrs().Name, l.Attrs().MTU, nil
			}
		}
	}
	return "", 0, fmt.Errorf("no interface holds %v", addr)
}
