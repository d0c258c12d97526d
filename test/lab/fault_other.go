package lab

import "fmt"

// Faults beyond those that were measured: the same mechanisms at other places, so that whoever names
// faults is tried on what it was not made for.
var otherFaults = []Fault{
	{"one-way", "node node", "nothing passes from the first to the second node", func(b *breaker, a []int) {
		b.fabricFilter(between(a[0], a[1])...)
	}},
	{"input-drop", "node", "the node's firewall drops what is new from outside, but for ping", func(b *breaker, a []int) {
		b.rule(a[0], "INPUT -i eth0 ! -p icmp -m conntrack --ctstate NEW -j DROP")
	}},
	{"netpol-egress", "node", "a NetworkPolicy drops new connections from the node's pod", func(b *breaker, a []int) {
		b.rule(a[0], fmt.Sprintf("FORWARD -s %v -m conntrack --ctstate NEW -j DROP", b.lab.Pod(a[0]).Addr))
	}},
	{"pod-link-down", "node", "the cable of the node's pod is down at the bridge", func(b *breaker, a []int) {
		cable := b.lab.Pod(a[0]).cable
		b.node(a[0], "ip link set "+cable+" down", "ip link set "+cable+" up")
	}},
	{"route-blackhole", "node node", "the first node throws away what is for the second one's pods", func(b *breaker, a []int) {
		b.step(nil, func() error { return b.lab.repairPeer(a[0], a[1]) })
		b.node(a[0], fmt.Sprintf("ip route replace blackhole %v", podCIDR(a[1])), fmt.Sprintf("ip route del blackhole %v || true", podCIDR(a[1])))
	}},
	{"bridge-overlaps-pods", "node node", "a docker network of the first node covers the second one's pods", func(b *breaker, a []int) {
		b.node(a[0], "ip link add br-compose type bridge", "ip link del br-compose")
		b.node(a[0], fmt.Sprintf("ip addr add 10.244.%d.1/25 dev br-compose; ip link set br-compose up", a[1]), "")
	}},
	{"neigh-missing", "node node", "the first node lacks the neighbour entry of the second one's tunnel", func(b *breaker, a []int) {
		b.step(nil, func() error { return b.lab.repairPeer(a[0], a[1]) })
		b.node(a[0], fmt.Sprintf("ip neigh del %v dev flannel.1", podAddr(a[1], 0)), "")
	}},
	{"vtep-mac", "node", "flannel.1 got another MAC, which cost it its neighbours, and is not what its lease says", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip link set flannel.1 address ee:99:99:99:99:99", fmt.Sprintf("ip link set flannel.1 address %v", vtepMAC(a[0])))
	}},
}
