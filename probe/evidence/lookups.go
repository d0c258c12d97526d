package evidence

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// readLookups asks the kernel for the way to every peer and to the node's own addresses. With
// policy rules beyond the usual ones it asks again for each of the own addresses as the source,
// and keeps the answers that differ.
func readLookups(stop time.Time, w *wanted, links map[int]*device, rules []probe.Rule) ([]probe.Lookup, error) {
	c, err := dialNetlink(unix.NETLINK_ROUTE, stop)
	if err != nil {
		return nil, err
	}
	defer c.close()
	sources := localSources(w, links, rules)
	out := make([]probe.Lookup, 0, len(w.self)+len(w.peers))
	for _, dst := range slices.Concat(w.self, w.peers) {
		plain, err := lookup(c, dst, netip.Addr{}, links)
		if err != nil {
			return out, err
		}
		out = append(out, plain)
		for _, src := range sources {
			if src.BitLen() != dst.BitLen() || src == dst {
				continue
			}
			l, err := lookup(c, dst, src, links)
			if err != nil {
				return out, err
			}
			if other := l; len(out) < 2*MaxPeers {
				if other.Src = (netip.Addr{}); other != plain {
					out = append(out, l)
				}
			}
		}
	}
	return out, nil
}

// localSources are the agent's addresses that this namespace holds and packets can leave from; the
// kernel refuses the others as a source. There are none while no rule could tell them apart.
func localSources(w *wanted, links map[int]*device, rules []probe.Rule) (sources []netip.Addr) {
	if !slices.ContainsFunc(rules, func(r probe.Rule) bool { return !r.Usual() }) {
		return nil
	}
	for _, d := range links {
		for _, p := range d.Addrs {
			if slices.Contains(w.self, p.Addr()) && !slices.Contains(sources, p.Addr()) {
				sources = append(sources, p.Addr())
			}
		}
	}
	slices.SortFunc(sources, netip.Addr.Compare)
	return sources
}

// lookup asks for one destination. The error is that of asking; that there is no way is an answer.
func lookup(c *netlinkConn, dst, src netip.Addr, links map[int]*device) (probe.Lookup, error) {
	l := probe.Lookup{Dst: dst, Src: src}
	request := make([]byte, rtMsgSize, 64)
	request[0], request[1] = unix.AF_INET, byte(dst.BitLen())
	if dst.Is6() {
		request[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(request[8:], rtLookup)
	request = attribute(request, unix.RTA_DST, dst.AsSlice())
	if src.IsValid() {
		request[2] = byte(src.BitLen())
		request = attribute(request, unix.RTA_SRC, src.AsSlice())
	}
	err := c.ask(unix.RTM_GETROUTE, 0, request, func(kind uint16, b []byte) {
		if kind != unix.RTM_NEWROUTE || len(b) < rtMsgSize {
			return
		}
		r, _ := parseRoute(b, links)
		l.Via, l.Dev, l.Table, l.Type, l.MTU = r.Via, r.Dev, r.Table, r.Type, r.MTU
	})
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		if l.Err = probe.CodeOf(errno); l.Err == probe.CodeTimeout {
			return l, err
		}
		return l, nil
	}
	switch l.Type {
	case probe.RouteBlackhole:
		l.Err = probe.CodeInvalid
	case probe.RouteProhibit:
		l.Err = probe.CodeNotPermitted
	case probe.RouteUnreachable, probe.RouteThrow:
		l.Err = probe.CodeHostUnreachable
	}
	return l, err
}
