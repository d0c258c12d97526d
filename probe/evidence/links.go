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

// device is a link as read, with what only later steps need.
type device struct {
	probe.Link
	master, lower int
	used          bool // a kept route, neighbour or entry names it
}

const (
	ifInfoSize  = unix.SizeofIfInfomsg
	iflaCarrier = 33
	// extSkipStats leaves out the statistics of each address family, half of the answer.
	extSkipStats = 1 << 3
	linkNetNSID  = 37
)

// readLinks reads all links, by index. More than maxLinksSeen are counted only.
func readLinks(stop time.Time) (links map[int]*device, cut int, err error) {
	request := make([]byte, ifInfoSize)
	request = attribute(request, unix.IFLA_EXT_MASK, binary.NativeEndian.AppendUint32(nil, extSkipStats))
	err = dump(stop, unix.RTM_GETLINK, request, func() { links, cut = map[int]*device{}, 0 }, func(b []byte) {
		if len(links) >= maxLinksSeen {
			cut++
			return
		}
		if d := parseLink(b); d != nil {
			links[d.Index] = d
		}
	})
	for _, d := range links {
		if m := links[d.master]; m != nil {
			d.Master = m.Name
		}
		if l := links[d.lower]; l != nil && l != d {
			d.Lower = l.Name
		}
	}
	return links, cut, err
}

func parseLink(b []byte) *device {
	if len(b) < ifInfoSize {
		return nil
	}
	flags := number32(b[8:])
	d := &device{Link: probe.Link{Index: int(int32(number32(b[4:])))}}
	d.Up, d.LowerUp = flags&unix.IFF_UP != 0, flags&unix.IFF_LOWER_UP != 0
	if flags&unix.IFF_LOOPBACK != 0 {
		d.Kind = "loopback"
	}
	abroad := false
	for kind, value := range attributes(b[ifInfoSize:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			d.Name = text(value)
		case unix.IFLA_ADDRESS:
			d.MAC = macOf(value)
		case unix.IFLA_MTU:
			d.MTU = int(number32(value))
		case unix.IFLA_LINK:
			d.lower = int(number32(value))
		case linkNetNSID:
			abroad = true // the other end of a cable to another namespace
		case unix.IFLA_MASTER:
			d.master = int(number32(value))
		case unix.IFLA_QDISC:
			d.Qdisc = text(value)
		case unix.IFLA_OPERSTATE:
			if len(value) > 0 {
				d.Oper = probe.OperState(value[0])
			}
		case unix.IFLA_STATS64:
			d.RX = probe.Traffic{Packets: number64(value, 0), Errors: number64(value, 32), Dropped: number64(value, 48)}
			d.TX = probe.Traffic{Packets: number64(value, 8), Errors: number64(value, 40), Dropped: number64(value, 56)}
		case unix.IFLA_LINKINFO:
			parseLinkInfo(value, d)
		}
	}
	if abroad || d.Kind == "veth" {
		d.lower = 0
	}
	return d
}

func parseLinkInfo(b []byte, d *device) {
	var data []byte
	for kind, value := range attributes(b) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			d.Kind = text(value)
		case unix.IFLA_INFO_DATA:
			data = value
		}
	}
	if d.Kind != "vxlan" {
		return
	}
	v := &probe.VXLAN{}
	for kind, value := range attributes(data) {
		switch kind {
		case unix.IFLA_VXLAN_ID:
			v.ID = number32(value)
		case unix.IFLA_VXLAN_LINK:
			d.lower = int(number32(value))
		case unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6:
			v.Local = address(value)
		case unix.IFLA_VXLAN_LEARNING:
			v.Learning = len(value) > 0 && value[0] != 0
		case unix.IFLA_VXLAN_PORT:
			if len(value) >= 2 {
				v.Port = binary.BigEndian.Uint16(value)
			}
		}
	}
	d.VXLAN = v
}

// readAddrs adds the addresses to their links.
func readAddrs(stop time.Time, links map[int]*device) (cut int, err error) {
	reset := func() {
		cut = 0
		for _, d := range links {
			d.Addrs = nil
		}
	}
	err = dump(stop, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), reset, func(b []byte) {
		index, prefix := parseAddr(b)
		d := links[index]
		switch {
		case d == nil || !prefix.IsValid():
		case len(d.Addrs) >= MaxAddrs:
			cut++
		default:
			d.Addrs = append(d.Addrs, prefix)
		}
	})
	return cut, err
}

func parseAddr(b []byte) (index int, prefix netip.Prefix) {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0, netip.Prefix{}
	}
	var local, other netip.Addr
	for kind, value := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local = address(value)
		case unix.IFA_ADDRESS: // of IPv6 the address itself, of a point-to-point link the other end's
			other = address(value)
		}
	}
	if !local.IsValid() {
		local = other
	}
	return int(number32(b[4:])), netip.PrefixFrom(local, int(b[1]))
}

// keepLinks picks the links that matter: all but the pods' cables, and of those the ones that
// something kept names or that are broken.
func keepLinks(links map[int]*device) (kept []probe.Link, cut int) {
	all := make([]*device, 0, len(links))
	for _, d := range links {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *device) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Index, b.Index))
	})
	for _, d := range all {
		if len(kept) == MaxLinks || d.rank() == rankPlain {
			cut++
			continue
		}
		kept = append(kept, d.Link)
	}
	slices.SortFunc(kept, func(a, b probe.Link) int { return cmp.Compare(a.Index, b.Index) })
	return kept, cut
}

const rankPlain = 3

func (d *device) rank() int {
	cable := d.Kind == "veth" && len(d.Addrs) == 0
	switch {
	case !cable && (d.used || len(d.Addrs) > 0 || d.VXLAN != nil):
		return 0
	case d.used:
		return 1
	case !cable || !d.Up || !d.LowerUp:
		return 2
	}
	return rankPlain
}
