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

const ndMsgSize = unix.SizeofNdMsg

// tunnels are the kinds of links whose forwarding entries name remote ends.
var tunnels = map[string]bool{"vxlan": true, "geneve": true, "bareudp": true, "gretap": true}

// readFDB reads the forwarding entries of tunnels, and those of bridges for later: which of them
// matter is only known with the neighbours.
func readFDB(stop time.Time, links map[int]*device) (all []probe.FDB, cut int, err error) {
	request := make([]byte, ndMsgSize)
	request[0] = unix.AF_BRIDGE
	err = dump(stop, unix.RTM_GETNEIGH, request, func() { all, cut = all[:0], 0 }, func(b []byte) {
		if len(b) < ndMsgSize || b[0] != unix.AF_BRIDGE {
			return
		}
		d := links[int(int32(number32(b[4:])))]
		if d == nil {
			return
		}
		e := probe.FDB{Dev: d.Name, Permanent: b[8]&unix.NUD_PERMANENT != 0}
		for kind, value := range attributes(b[ndMsgSize:]) {
			switch kind {
			case unix.NDA_LLADDR:
				e.MAC = macOf(value)
			case unix.NDA_DST:
				e.Dst = address(value)
			case unix.NDA_MASTER:
				if m := links[int(number32(value))]; m != nil {
					e.Master = m.Name
				}
			}
		}
		switch {
		case e.MAC[0]&1 != 0 || !tunnels[d.Kind] && (e.Permanent || e.Master == ""):
			// Multicast, and a link's own addresses.
		case len(all) == maxTunnelEnds:
			cut++
		default:
			all = append(all, e)
		}
	})
	return all, cut, err
}

// readNeighbors reads the neighbours that are peers, next hops or tunnel ends, and counts all.
func readNeighbors(stop time.Time, w *wanted, ways map[netip.Addr]bool, links map[int]*device) (
	kept []probe.Neighbor, table probe.NeighborTable, cut int, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		var own []probe.Neighbor
		var ownTable probe.NeighborTable
		var ownCut int
		request := make([]byte, ndMsgSize)
		request[0] = family
		e := dump(stop, unix.RTM_GETNEIGH, request,
			func() { own, ownTable, ownCut = own[:0], probe.NeighborTable{}, 0 },
			func(b []byte) {
				n, ok := parseNeighbor(b)
				if !ok || n.State == probe.NeighborNoARP { // multicast, lo
					return
				}
				countNeighbor(&ownTable, n)
				if !w.known[n.IP] && !ways[n.IP] || len(kept)+len(own) == MaxNeighbors {
					ownCut++
					return
				}
				n.Dev = nameOf(links, int(int32(number32(b[4:]))))
				own = append(own, n)
			})
		kept, cut, err = append(kept, own...), cut+ownCut, cmp.Or(err, e)
		table.IPv4, table.IPv6, table.Bad = table.IPv4+ownTable.IPv4, table.IPv6+ownTable.IPv6, table.Bad+ownTable.Bad
	}
	slices.SortFunc(kept, func(a, b probe.Neighbor) int {
		return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Dev, b.Dev))
	})
	return kept, table, cut, err
}

func parseNeighbor(b []byte) (n probe.Neighbor, ok bool) {
	if len(b) < ndMsgSize {
		return n, false
	}
	n.State = probe.NeighborState(binary.NativeEndian.Uint16(b[8:]))
	for kind, value := range attributes(b[ndMsgSize:]) {
		switch kind {
		case unix.NDA_DST:
			n.IP = address(value)
		case unix.NDA_LLADDR:
			n.MAC = macOf(value)
		}
	}
	return n, n.IP.IsValid()
}

func countNeighbor(t *probe.NeighborTable, n probe.Neighbor) {
	if n.State == probe.NeighborPermanent {
		return
	}
	if n.IP.Is4() {
		t.IPv4++
	} else {
		t.IPv6++
	}
	if !n.State.Good() {
		t.Bad++
	}
}

// nextHops are the addresses besides the peers' own whose neighbour entries matter.
func nextHops(routes []probe.Route, lookups []probe.Lookup, fdb []probe.FDB) map[netip.Addr]bool {
	ways := map[netip.Addr]bool{}
	add := func(a netip.Addr) {
		if a.IsValid() && len(ways) < maxNextHopAddrs {
			ways[a] = true
		}
	}
	for _, r := range routes {
		add(r.Via)
	}
	for _, l := range lookups {
		add(l.Via)
	}
	for _, e := range fdb {
		add(e.Dst)
	}
	return ways
}

// keepFDB picks the entries whose remote end is a peer or whose MAC is that of a kept neighbour,
// and the ones that flood.
func keepFDB(all []probe.FDB, w *wanted, neighbors []probe.Neighbor, links map[int]*device) (kept []probe.FDB, cut int) {
	macs := map[probe.MAC]bool{{}: true}
	for _, n := range neighbors {
		macs[n.MAC] = true
	}
	byName := map[string]*device{}
	for _, d := range links {
		byName[d.Name] = d
	}
	for _, e := range all {
		if !macs[e.MAC] && !w.known[e.Dst] || len(kept) == MaxFDB {
			cut++
			continue
		}
		if d := byName[e.Dev]; d != nil {
			d.used = true
		}
		kept = append(kept, e)
	}
	slices.SortFunc(kept, func(a, b probe.FDB) int {
		return cmp.Or(cmp.Compare(a.Dev, b.Dev), slices.Compare(a.MAC[:], b.MAC[:]), a.Dst.Compare(b.Dst))
	})
	return kept, cut
}
