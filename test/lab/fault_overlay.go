package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// otherVXLANPort is the kernel's and the standard's default, which flannel does not use.
const otherVXLANPort = 4789

// Faults of the overlay.
var overlayFaults = []Fault{
	{"nm-flannel-down", "node", "flannel.1 is down", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip link set flannel.1 down", "")
	}},
	{"nm-flannel-bounced", "node", "flannel.1 went down and up: routes and neighbours are gone", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip link set flannel.1 down; ip link set flannel.1 up", "")
	}},
	{"vxlan-gone", "node", "flannel.1 does not exist", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip link del flannel.1", "")
	}},
	{"vxlan-port-mismatch", "node", "flannel.1 uses port 4789", func(b *breaker, a []int) {
		b.step(func() error { return b.lab.renewOverlay(a[0], otherVXLANPort) },
			func() error { return b.lab.renewOverlay(a[0], VXLANPort) })
	}},
	{"fdb-missing", "node node", "the first node has no FDB entry for the second", func(b *breaker, a []int) {
		b.step(nil, func() error { return b.lab.repairPeer(a[0], a[1]) })
		b.node(a[0], fmt.Sprintf("bridge fdb del %v dev flannel.1 dst %v", vtepMAC(a[1]), nodeAddr(a[1])), "")
	}},
	{"route-missing", "node node", "the first node has no route to the second one's pods", func(b *breaker, a []int) {
		b.step(nil, func() error { return b.lab.repairPeer(a[0], a[1]) })
		b.node(a[0], fmt.Sprintf("ip route del %v", podCIDR(a[1])), "")
	}},
	{"vtep-wrong-ip", "node", "all others send the node's overlay packets to 192.0.2.200", func(b *breaker, a []int) {
		for j := 1; j <= b.lab.cfg.Nodes; j++ {
			if j != a[0] {
				b.step(func() error { return b.lab.misdirect(j, a[0], 200) },
					func() error { return b.lab.misdirect(j, a[0], a[0]) })
			}
		}
	}},
}

// renewOverlay makes flannel.1 of node k anew with another port.
func (l *Lab) renewOverlay(k, port int) error {
	s, err := l.space(NodeName(k))
	if err != nil {
		return err
	}
	if dev, err := s.nl.LinkByName(overlayName); err == nil {
		if err := s.nl.LinkDel(dev); err != nil {
			return err
		}
	} else if !errors.As(err, new(netlink.LinkNotFoundError)) {
		return err
	}
	if err := s.addVXLAN(k, port); err != nil {
		return err
	}
	return l.buildOverlay(k)
}

// misdirect makes node j send packets for the overlay of node k to the address of a third one.
func (l *Lab) misdirect(j, k, target int) error {
	s, err := l.space(NodeName(j))
	if err != nil {
		return err
	}
	dev, err := s.nl.LinkByName(overlayName)
	if err != nil {
		return err
	}
	return s.nl.NeighSet(fdbEntry(dev.Attrs().Index, k, nodeAddr(target).AsSlice()))
}
