package lab

import (
	"fmt"
	"net"
	"net/netip"
)

// Fixed places of every lab.
const (
	ServerVIP      = "10.96.0.81"  // cluster address of the service netchecker-service
	ServerPort     = 8081          // port of the server pod and of its service
	ServerNodePort = 31081         // the same service on every node's own addresses
	DNSVIP         = "10.96.0.10"  // cluster address of the DNS service, port 53 udp and tcp
	Gateway        = "192.0.2.254" // default gateway of the nodes, in the fabric
	ExternalHost   = "203.0.113.1" // a host off the cluster, behind the gateway
	PodNetwork     = "10.244.0.0/16"
	NodeNetwork    = "192.0.2.0/24"
	VXLANPort      = 8472
	VXLANMTU       = 1450
	NodeMTU        = 1500
	MaxNodes       = 50 // the DNS pod is host 53 of its subnet, the server pod host 10
)

const (
	gateway6     = "2001:db8:2::254"
	podNetwork6  = "fd00:10:244::/48"
	overlayName  = "flannel.1"
	bridgeName   = "cni0"
	serverHost   = 10
	dnsHost      = 53
	firstPodHost = 2
)

// Endpoint is one place with an address: a node, a pod, or the fabric.
type Endpoint struct {
	Namespace string     // network namespace, as `ip netns` lists it
	Node      int        // number of the node it is or runs on; 0 for the fabric
	NodeName  string     // "node3"
	Zone      string     // "zone1"
	Addr      netip.Addr // IPv4
	Addr6     netip.Addr // IPv6; invalid without Config.IPv6
	MTU       int        // of its eth0 in a healthy lab

	cable string // a pod's cable, named at the node's end
}

// NodeName returns the name of node i, which starts at 1.
func NodeName(i int) string { return fmt.Sprintf("node%d", i) }

func addr4(a, b, c, d int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a), byte(b), byte(c), byte(d)})
}

func nodeAddr(i int) netip.Addr      { return addr4(192, 0, 2, i) }
func podAddr(i, host int) netip.Addr { return addr4(10, 244, i, host) }
func podCIDR(i int) netip.Prefix     { return netip.PrefixFrom(podAddr(i, 0), 24) }

// The IPv6 addresses show the node number in decimal, as the IPv4 ones do: node 12 is ::12.
func nodeAddr6(i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:2::%d", i))
}

func podAddr6(i, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%d::%d", i, host))
}

func podCIDR6(i int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%d::/64", i))
}

func nodeMAC(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(i)} }
func vtepMAC(i int) net.HardwareAddr { return net.HardwareAddr{0xee, 0xee, 0, 0, 0, byte(i)} }

func rackMAC(z int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0xff, 0, byte(z)} }

// podBridgeMAC is made of cni0's address, as the CNI bridge plugin does it.
func podBridgeMAC(i int) net.HardwareAddr { return net.HardwareAddr{0x0a, 0x58, 10, 244, byte(i), 1} }

// portName is the fabric's end of the cable to node i.
func portName(i int) string { return fmt.Sprintf("p%d", i) }

// rackName is the bridge of a rack; racks are numbered from 1.
func rackName(zone int) string { return fmt.Sprintf("br%d", zone) }

// ipNet turns a prefix into what netlink wants, keeping the host bits.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
