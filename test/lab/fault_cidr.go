package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// duplicateCIDR gives node y the pod network of node x: y was the last to write the lease, so the
// others send that network's packets to y and forget y's own network.
func (b *breaker) duplicateCIDR(x, y int, pod netip.Addr) {
	l := b.lab
	old := l.Pod(y)
	b.step(func() error { return l.moveNode(y, x) }, func() error { return l.moveNode(y, y) })
	b.step(func() error { return l.movePod(y, pod, podAddr(x, 1)) },
		func() error { return l.movePod(y, old.Addr, podAddr(y, 1)) })
	for j := 1; j <= l.cfg.Nodes; j++ {
		if j == y {
			continue
		}
		b.step(nil, func() error { return l.repairPeer(j, y) })
		b.node(j, fmt.Sprintf("ip route del %v", podCIDR(y)), "")
		if j != x {
			b.step(func() error { return l.setVTEP(j, x, y) }, func() error { return l.setVTEP(j, x, x) })
		}
	}
}

// moveNode gives node y the pod network of node x, or its own one back.
func (l *Lab) moveNode(y, x int) error {
	s, err := l.space(NodeName(y))
	if err != nil {
		return err
	}
	// Without an address a link loses its routes and neighbours, too.
	if err := l.shell(NodeName(y), "ip -4 addr flush dev cni0; ip -4 addr flush dev flannel.1"); err != nil {
		return err
	}
	return errors.Join(
		s.addAddrs(bridgeName, podAddr(x, 1).String()+"/24"),
		s.addAddrs(overlayName, podAddr(x, 0).String()+"/32"),
		l.addPeers(s, y, x), l.loadFirewall(y, x))
}

func (l *Lab) movePod(y int, addr, gateway netip.Addr) error {
	pod := l.Pod(y)
	s, err := l.space(pod.Namespace)
	if err != nil {
		return err
	}
	if err := l.shell(pod.Namespace, "ip -4 addr flush dev eth0; ip -4 neigh flush all"); err != nil {
		return err
	}
	if err := errors.Join(s.addAddrs("eth0", addr.String()+"/24"), s.addDefault("eth0", gateway.String())); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods[y-1].Addr = addr
	return nil
}

// setVTEP makes node j believe that the overlay address of node x has the MAC of node owner.
func (l *Lab) setVTEP(j, x, owner int) error {
	s, err := l.space(NodeName(j))
	if err != nil {
		return err
	}
	dev, err := s.nl.LinkByName(overlayName)
	if err != nil {
		return err
	}
	return s.nl.NeighSet(&netlink.Neigh{
		LinkIndex: dev.Attrs().Index, Family: unix.AF_INET, State: unix.NUD_PERMANENT,
		IP: podAddr(x, 0).AsSlice(), HardwareAddr: vtepMAC(owner),
	})
}
