package lab

import "fmt"

// Faults of the address plan.
var addressFaults = []Fault{
	{"docker0-overlaps-nodenet", "node", "docker0 covers the other nodes' addresses", func(b *breaker, a []int) {
		b.node(a[0], "ip link add docker0 type bridge", "ip link del docker0")
		b.node(a[0], "ip addr add 192.0.2.126/25 dev docker0; ip link set docker0 up", "")
	}},
	{"podcidr-overlaps-lan", "node", "the others have a LAN route that covers the node's pods", func(b *breaker, a []int) {
		for j := 1; j <= b.lab.cfg.Nodes; j++ {
			if j != a[0] {
				route := fmt.Sprintf("10.244.%d.0/25 via %s dev eth0", a[0], Gateway)
				b.node(j, "ip route add "+route, "ip route del "+route)
			}
		}
	}},
	{"dup-podcidr", "node node", "the second node gets the first one's pod network", func(b *breaker, a []int) {
		b.duplicateCIDR(a[0], a[1], b.lab.Pod(a[0]).Addr.Next())
	}},
	{"dup-podcidr-sameip", "node node", "and its pod the very address of the first one's pod", func(b *breaker, a []int) {
		b.duplicateCIDR(a[0], a[1], b.lab.Pod(a[0]).Addr)
	}},
	{"dup-ip", "node", "a stranger on the fabric has the node's address and announces it", func(b *breaker, a []int) {
		b.stranger(a[0])
	}},
}
