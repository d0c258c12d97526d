package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// commonSysctls hold in every namespace. Unprivileged ping sockets are open to everybody, and
// addresses are usable at once instead of after duplicate address detection.
var commonSysctls = map[string]string{
	"ipv4/ping_group_range":           "0 2147483647",
	"ipv6/conf/all/accept_dad":        "0",
	"ipv6/conf/default/accept_dad":    "0",
	"ipv6/conf/default/dad_transmits": "0",
}

var fabricSysctls = map[string]string{
	"ipv4/ip_forward":                 "1",
	"ipv6/conf/all/forwarding":        "1",
	"bridge/bridge-nf-call-iptables":  "0", // a switch does not ask iptables
	"bridge/bridge-nf-call-ip6tables": "0",
}

var nodeSysctls = map[string]string{
	"ipv4/ip_forward":                 "1",
	"ipv4/conf/all/rp_filter":         "2",
	"ipv4/conf/default/rp_filter":     "2",
	"ipv6/conf/all/forwarding":        "1",
	"bridge/bridge-nf-call-iptables":  "1", // as Kubernetes asks for
	"bridge/bridge-nf-call-ip6tables": "1",
}

// needBridgeFilter loads br_netfilter unless the kernel has it: without it the answers of a pod to
// its neighbour on the same bridge do not pass iptables, and services fail between the two. The
// machine's own bridges go on as before.
func needBridgeFilter() error {
	const setting = "/proc/sys/net/bridge/bridge-nf-call-"
	if _, err := os.Stat(setting + "iptables"); err == nil {
		return nil
	}
	if out, err := exec.Command("modprobe", "br_netfilter").CombinedOutput(); err != nil {
		return fmt.Errorf("modprobe br_netfilter: %w: %s", err, bytes.TrimSpace(out))
	}
	var errs []error
	for _, kind := range []string{"iptables", "ip6tables", "arptables"} {
		errs = append(errs, os.WriteFile(setting+kind, []byte("0"), 0o644))
	}
	return errors.Join(errs...)
}

// buildFabric makes the switches. All racks but the first hang on the first by an uplink, veth
// "upN" on rack 1 and "downN" on rack N; the gateway is rack 1's own address.
func (l *Lab) buildFabric() error {
	s, err := l.addSpace("fabric")
	if err != nil {
		return err
	}
	if err := s.sysctls(commonSysctls, fabricSysctls); err != nil {
		return err
	}
	for z := 1; z <= l.cfg.Zones; z++ {
		if err := s.addBridge(rackName(z), rackMAC(z), NodeMTU); err != nil {
			return err
		}
		if z == 1 {
			continue
		}
		up, down := fmt.Sprintf("up%d", z), fmt.Sprintf("down%d", z)
		cable := veth{a: s, aName: up, b: s, bName: down, mtu: NodeMTU}
		if err := cable.add(); err != nil {
			return err
		}
		if err := errors.Join(s.enslave(up, rackName(1)), s.enslave(down, rackName(z))); err != nil {
			return err
		}
	}
	if err := s.addAddrs(rackName(1), "192.0.2.254/24"); err != nil {
		return err
	}
	if l.cfg.IPv6 {
		if err := s.addAddrs(rackName(1), gateway6+"/64"); err != nil {
			return err
		}
	}
	return s.addAddrs("lo", ExternalHost+"/32")
}

// buildNode makes node i with its pod, and the server and DNS pods where they belong.
func (l *Lab) buildNode(i int) error {
	s, err := l.addSpace(NodeName(i))
	if err != nil {
		return err
	}
	fabric, err := l.space("fabric")
	if err != nil {
		return err
	}
	if err := s.sysctls(commonSysctls, nodeSysctls); err != nil {
		return err
	}
	cable := veth{a: fabric, aName: portName(i), b: s, bName: "eth0", mtu: NodeMTU, bMAC: nodeMAC(i)}
	if err := cable.add(); err != nil {
		return err
	}
	if err := fabric.enslave(portName(i), rackName(zone(i, l.cfg.Nodes, l.cfg.Zones))); err != nil {
		return err
	}
	if err := l.addressNode(s, i); err != nil {
		return err
	}
	if err := l.buildOverlay(i); err != nil {
		return err
	}
	if err := l.loadFirewall(i, i); err != nil {
		return err
	}
	return l.buildPods(i)
}

// addressNode gives a node the pod bridge, its addresses and its default routes.
func (l *Lab) addressNode(s *space, i int) error {
	if err := s.addBridge(bridgeName, podBridgeMAC(i), l.podMTU()); err != nil {
		return err
	}
	return l.setAddrs(s, i)
}

// setAddrs may be repeated: it restores what a link that went down or a flush has lost.
func (l *Lab) setAddrs(s *space, i int) error {
	err := errors.Join(
		s.addAddrs("eth0", nodeAddr(i).String()+"/24"),
		s.addAddrs(bridgeName, podAddr(i, 1).String()+"/24"),
		s.addDefault("eth0", Gateway))
	if err != nil || !l.cfg.IPv6 {
		return err
	}
	return errors.Join(
		s.addAddrs("eth0", nodeAddr6(i).String()+"/64"),
		s.addAddrs(bridgeName, podAddr6(i, 1).String()+"/64"),
		s.addDefault("eth0", gateway6))
}

func (l *Lab) podMTU() int {
	if l.cfg.Mode == HostGW {
		return NodeMTU
	}
	return VXLANMTU
}

func (s *space) sysctls(sets ...map[string]string) error {
	return s.inside(func() error {
		for _, set := range sets {
			if err := writeSysctls(set); err != nil {
				return fmt.Errorf("sysctl in %s: %w", s.name, err)
			}
		}
		return nil
	})
}

// addBridge makes a bridge with a MAC of its own. Without one it borrows its ports' and changes it
// as pods come and go, which breaks the neighbours' ARP entries for seconds.
func (s *space) addBridge(name string, mac net.HardwareAddr, mtu int) error {
	noSnooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.HardwareAddr = mac
	br := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &noSnooping}
	if err := s.nl.LinkAdd(br); err != nil {
		return fmt.Errorf("bridge %s in %s: %w", name, s.name, err)
	}
	// Set after creation, an MTU stays; given at creation it would follow the smallest port.
	if err := s.nl.LinkSetMTU(br, mtu); err != nil {
		return err
	}
	return s.up(name)
}

func (s *space) enslave(port, bridge string) error {
	p, err := s.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", port, s.name, err)
	}
	b, err := s.nl.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", bridge, s.name, err)
	}
	return s.nl.LinkSetMaster(p, b)
}

func (s *space) addAddrs(link string, prefixes ...string) error {
	dev, err := s.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", link, s.name, err)
	}
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := s.nl.AddrReplace(dev, addr); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("address %s on %s in %s: %w", text, link, s.name, err)
		}
	}
	return nil
}

func (s *space) addDefault(link, via string) error {
	dev, err := s.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", link, s.name, err)
	}
	route := &netlink.Route{LinkIndex: dev.Attrs().Index, Gw: net.ParseIP(via)}
	if err := s.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("default via %s in %s: %w", via, s.name, err)
	}
	return nil
}
