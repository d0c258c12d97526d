package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// buildOverlay does what flanneld does on node i. It may be repeated: it then repairs.
func (l *Lab) buildOverlay(i int) error {
	s, err := l.space(NodeName(i))
	if err != nil {
		return err
	}
	if l.cfg.Mode == VXLAN {
		if err := s.addVXLAN(i, VXLANPort); err != nil {
			return fmt.Errorf("%s in %s: %w", overlayName, s.name, err)
		}
	}
	return l.addPeers(s, i, i)
}

// addPeers writes what node s, number i, needs to reach the pods of all others but one.
func (l *Lab) addPeers(s *space, i, except int) error {
	for j := 1; j <= l.cfg.Nodes; j++ {
		if j == i || j == except {
			continue
		}
		if err := l.addPeer(s, j); err != nil {
			return fmt.Errorf("peer %s in %s: %w", NodeName(j), s.name, err)
		}
	}
	return nil
}

// addVXLAN makes flannel.1 of node i unless it exists.
func (s *space) addVXLAN(i, port int) error {
	if _, err := s.nl.LinkByName(overlayName); err == nil {
		return s.up(overlayName)
	}
	eth0, err := s.nl.LinkByName("eth0")
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = overlayName
	attrs.MTU = VXLANMTU
	attrs.HardwareAddr = vtepMAC(i)
	err = s.nl.LinkAdd(&netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: 1, Port: port, SrcAddr: nodeAddr(i).AsSlice(), VtepDevIndex: eth0.Attrs().Index,
	})
	if err != nil {
		return err
	}
	if err := s.addAddrs(overlayName, podAddr(i, 0).String()+"/32"); err != nil {
		return err
	}
	return s.up(overlayName)
}

// addPeer writes what node s needs to reach the pods of node j: in vxlan mode the triple of
// route, permanent neighbour and FDB entry, else a route via the node. IPv6 is always routed.
func (l *Lab) addPeer(s *space, j int) error {
	if l.cfg.IPv6 {
		if err := s.addRoute("eth0", podCIDR6(j), nodeAddr6(j), false); err != nil {
			return err
		}
	}
	if l.cfg.Mode == HostGW {
		return s.addRoute("eth0", podCIDR(j), nodeAddr(j), false)
	}
	dev, err := s.nl.LinkByName(overlayName)
	if err != nil {
		return err
	}
	arp := &netlink.Neigh{
		LinkIndex: dev.Attrs().Index, Family: unix.AF_INET, State: unix.NUD_PERMANENT,
		IP: podAddr(j, 0).AsSlice(), HardwareAddr: vtepMAC(j),
	}
	return errors.Join(
		s.nl.NeighSet(arp),
		s.nl.NeighSet(fdbEntry(dev.Attrs().Index, j, nodeAddr(j).AsSlice())),
		s.addRoute(overlayName, podCIDR(j), podAddr(j, 0), true))
}

func fdbEntry(link, j int, dst net.IP) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: link, Family: unix.AF_BRIDGE, State: unix.NUD_PERMANENT, Flags: unix.NTF_SELF,
		IP: dst, HardwareAddr: vtepMAC(j),
	}
}

func (s *space) addRoute(link string, dst netip.Prefix, via netip.Addr, onlink bool) error {
	dev, err := s.nl.LinkByName(link)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: ipNet(dst), Gw: via.AsSlice()}
	if onlink {
		route.Flags = int(netlink.FLAG_ONLINK)
	}
	if err := s.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s via %s: %w", dst, via, err)
	}
	return nil
}
