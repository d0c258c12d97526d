package evidence

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

const (
	rtMsgSize  = unix.SizeofRtMsg
	rtaxMTU    = unix.RTAX_MTU
	rtCloned   = 0x200  // a remembered exception, not a route
	rtLookup   = 0x1000 // answer a lookup with the table that decided
	nextHopLen = unix.SizeofRtNexthop
)

// readRoutes reads the routes of both families and all tables that concern the peers.
func readRoutes(stop time.Time, w *wanted, links map[int]*device) (kept []probe.Route, cut int, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		var own []probe.Route
		var ownCut int
		request := make([]byte, rtMsgSize)
		request[0] = family
		e := dump(stop, unix.RTM_GETROUTE, request, func() { own, ownCut = own[:0], 0 }, func(b []byte) {
			concerns, full := routeConcerns(b, w), len(kept)+len(own) >= MaxRoutes
			switch {
			case concerns && !full:
				own = appendRoute(own, b, links)
			case concerns || len(b) >= rtMsgSize && !isLocal(b):
				ownCut++
			}
		})
		kept, cut, err = append(kept, own...), cut+ownCut, cmp.Or(err, e)
	}
	slices.SortStableFunc(kept, func(a, b probe.Route) int {
		return cmp.Or(cmp.Compare(a.Dst.Addr().BitLen(), b.Dst.Addr().BitLen()), cmp.Compare(a.Table, b.Table),
			-cmp.Compare(a.Dst.Bits(), b.Dst.Bits()), a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(a.Metric, b.Metric))
	})
	return kept, cut, err
}

// isLocal reports whether a route is of the local table, which repeats the links' addresses.
func isLocal(b []byte) bool { return b[4] == probe.LocalTable }

// routeConcerns looks at a route's destination alone, before anything is made of it.
func routeConcerns(b []byte, w *wanted) bool {
	if len(b) < rtMsgSize || number32(b[8:])&rtCloned != 0 {
		return false
	}
	switch probe.RouteType(b[7]) {
	case probe.RouteBroadcast, probe.RouteMulticast, 4: // anycast
		return false
	}
	dst := routeDst(b)
	if isLocal(b) {
		return dst.IsValid() && dst.Bits() > 0 && w.coversPeer(dst)
	}
	return dst.IsValid() && (dst.Bits() == 0 || w.covers(dst))
}

func routeDst(b []byte) netip.Prefix {
	dst := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for kind, value := range attributes(b[rtMsgSize:]) {
		if kind == unix.RTA_DST {
			dst = address(value)
		}
	}
	return netip.PrefixFrom(dst, int(b[1]))
}

// appendRoute makes one Route of a message, or several where it has several next hops.
func appendRoute(to []probe.Route, b []byte, links map[int]*device) []probe.Route {
	r, hops := parseRoute(b, links)
	if hops == nil {
		return append(to, r)
	}
	for len(hops) >= nextHopLen {
		size := int(binary.NativeEndian.Uint16(hops))
		if size < nextHopLen || size > len(hops) {
			break
		}
		one := r
		setRouteFlags(&one, uint32(hops[2]))
		one.Dev = nameOf(links, int(int32(number32(hops[4:]))))
		for kind, value := range attributes(hops[nextHopLen:size]) {
			setVia(&one, kind, value)
		}
		to = append(to, one)
		hops = hops[min(len(hops), (size+3)&^3):]
	}
	return to
}

// parseRoute reads a message that is at least rtMsgSize long.
func parseRoute(b []byte, links map[int]*device) (r probe.Route, hops []byte) {
	r = probe.Route{Dst: routeDst(b), Table: uint32(b[4]), Proto: b[5], Scope: b[6], Type: probe.RouteType(b[7])}
	setRouteFlags(&r, number32(b[8:]))
	for kind, value := range attributes(b[rtMsgSize:]) {
		switch kind {
		case unix.RTA_OIF:
			r.Dev = nameOf(links, int(int32(number32(value))))
		case unix.RTA_PRIORITY:
			r.Metric = number32(value)
		case unix.RTA_PREFSRC:
			r.Src = address(value)
		case unix.RTA_TABLE:
			r.Table = number32(value)
		case unix.RTA_MULTIPATH:
			hops = value
		case unix.RTA_METRICS:
			for metric, v := range attributes(value) {
				if metric == rtaxMTU {
					r.MTU = number32(v)
				}
			}
		default:
			setVia(&r, kind, value)
		}
	}
	switch r.Type {
	case probe.RouteBlackhole, probe.RouteUnreachable, probe.RouteProhibit, probe.RouteThrow:
		r.Dev = "" // of IPv6 it is lo, which means nothing
	}
	return r, hops
}

func setRouteFlags(r *probe.Route, flags uint32) {
	r.Onlink = flags&unix.RTNH_F_ONLINK != 0
	r.Dead = flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0
}

func setVia(r *probe.Route, kind uint16, value []byte) {
	switch kind {
	case unix.RTA_GATEWAY:
		r.Via = address(value)
	case unix.RTA_VIA: // a next hop of the other family: two bytes of family before the address
		r.Via = address(value[min(2, len(value)):])
	}
}

// nameOf returns a link's name and notes that it matters.
func nameOf(links map[int]*device, index int) string {
	if d := links[index]; d != nil {
		d.used = true
		return d.Name
	}
	return ""
}
