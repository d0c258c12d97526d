package lab

import "fmt"

// Faults of packet size that show on a node.
var mtuFaults = []Fault{
	{"mtu-flannel-low", "node", "flannel.1 has MTU 1400", func(b *breaker, a []int) { b.lowOverlay(a[0]) }},
	{"mtu-pmtud-blackhole", "node", "flannel.1 has MTU 1400 and 'fragmentation needed' is filtered", func(b *breaker, a []int) {
		b.lowOverlay(a[0])
		b.rule(a[0], "OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")
	}},
	{"mtu-eth0-low", "node", "eth0 has MTU 1400", func(b *breaker, a []int) {
		b.forgetMTUs()
		b.node(a[0], "ip link set eth0 mtu 1400", fmt.Sprintf("ip link set eth0 mtu %d", NodeMTU))
	}},
	{"mtu-pods-1500", "", "all pods have MTU 1500 over an overlay of 1450", func(b *breaker, _ []int) {
		b.forgetMTUs()
		for _, p := range b.lab.allPods() {
			set := func(dev string) (do, undo string) {
				return fmt.Sprintf("ip link set %s mtu 1500", dev), fmt.Sprintf("ip link set %s mtu %d", dev, p.MTU)
			}
			do, undo := set(p.cable)
			b.node(p.Node, do, undo)
			do, undo = set("eth0")
			b.sh(p.Namespace, do, undo)
			do, undo = set(bridgeName)
			b.node(p.Node, do, undo)
		}
	}},
}

func (b *breaker) lowOverlay(k int) {
	b.forgetMTUs()
	b.node(k, "ip link set flannel.1 mtu 1400", fmt.Sprintf("ip link set flannel.1 mtu %d", VXLANMTU))
}

// allPods returns the present pods of all nodes, the server's and the DNS server's.
func (l *Lab) allPods() []Endpoint {
	pods := []Endpoint{l.ServerPod(), l.DNSPod()}
	for i := 1; i <= l.cfg.Nodes; i++ {
		pods = append(pods, l.Pod(i))
	}
	return pods
}
