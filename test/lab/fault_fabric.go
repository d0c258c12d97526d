package lab

import (
	"fmt"
	"strings"
)

// Faults of the network between the nodes: no node can see their cause.
var fabricFaults = []Fault{
	{"fw-8472-all", "", "the fabric filters vxlan between all nodes", func(b *breaker, _ []int) {
		b.fabricFilter(fmt.Sprintf("udp dport %d drop", VXLANPort))
	}},
	{"sg-pair", "node node", "a security group: nothing passes between two nodes", func(b *breaker, a []int) {
		b.fabricFilter(append(between(a[0], a[1]), between(a[1], a[0])...)...)
	}},
	{"node-dead", "node", "power off: cable dead, processes killed", func(b *breaker, a []int) { b.powerOff(a[0]) }},
	{"partition", "[zone]", "the link between racks is down; with one rack, a split into halves", partition},
	{"loss", "node node [percent]", "one way 30 % loss from the first to the second node", func(b *breaker, a []int) {
		percent := append(a, 30)[2]
		b.fabricFilter(fmt.Sprintf("iifname %s ip saddr %v ip daddr %v numgen random mod 100 < %d drop",
			portName(a[0]), nodeAddr(a[0]), nodeAddr(a[1]), percent))
	}},
	{"mtu-fabric-low", "node", "a switch port that silently drops more than 1450 bytes", func(b *breaker, a []int) {
		b.forgetMTUs()
		b.sh("fabric", fmt.Sprintf("ip link set %s mtu 1450", portName(a[0])),
			fmt.Sprintf("ip link set %s mtu %d", portName(a[0]), NodeMTU))
	}},
	{"ecmp-blackhole", "", "one of four parallel links is dead: a fixed quarter of all flows is lost", func(b *breaker, _ []int) {
		b.fabricFilter("meta l4proto { tcp, udp } jhash ip saddr . ip daddr . th sport . th dport mod 4 seed 0x1ab == 0 drop")
	}},
	{"latency", "node [ms]", "100 ms more each way in front of a node", func(b *breaker, a []int) {
		b.delay(a[0], append(a, 100)[1])
	}},
}

// between are the rules that drop all frames from node x to node y, ARP questions included.
func between(x, y int) []string {
	return []string{
		fmt.Sprintf("ether saddr %v ether daddr %v drop", nodeMAC(x), nodeMAC(y)),
		fmt.Sprintf("arp saddr ip %v arp daddr ip %v drop", nodeAddr(x), nodeAddr(y)),
	}
}

func partition(b *breaker, a []int) {
	if zones := b.lab.cfg.Zones; zones > 1 {
		z := append(a, 2)[0]
		if z < 2 || z > zones {
			b.err = fmt.Errorf("zone %d: want 2 to %d", z, zones)
			return
		}
		b.sh("fabric", fmt.Sprintf("ip link set up%d down", z), fmt.Sprintf("ip link set up%d up", z))
		return
	}
	var sides [3][]string
	for i := 1; i <= b.lab.cfg.Nodes; i++ {
		z := zone(i, b.lab.cfg.Nodes, 2)
		sides[z] = append(sides[z], portName(i))
	}
	one, two := strings.Join(sides[1], ", "), strings.Join(sides[2], ", ")
	b.fabricFilter(
		fmt.Sprintf("iifname { %s } oifname { %s } drop", one, two),
		fmt.Sprintf("iifname { %s } oifname { %s } drop", two, one))
}

// powerOff pulls the cable and kills what runs on the node and in its pods.
func (b *breaker) powerOff(k int) {
	l := b.lab
	b.step(nil, func() error {
		if l.NodeRevived != nil {
			l.NodeRevived(k)
		}
		return nil
	})
	b.sh("fabric", "ip link set "+portName(k)+" down", "ip link set "+portName(k)+" up")
	if l.DNSPod().Node == k {
		b.step(func() error { l.dns.Stop(); return nil }, l.dns.Start)
	}
	b.step(func() error {
		for _, p := range l.processes(func(ns string) bool { return l.nodeOf(ns) == k }) {
			p.Kill()
		}
		if l.NodeKilled != nil {
			l.NodeKilled(k)
		}
		return nil
	}, nil)
}

// nodeOf returns the node that a namespace, by its short name, is or runs on; 0 if none.
func (l *Lab) nodeOf(short string) int {
	switch short {
	case "server":
		return l.ServerPod().Node
	case "dns":
		return l.DNSPod().Node
	}
	var i int
	for _, pattern := range []string{"node%d", "pod%d"} {
		if n, _ := fmt.Sscanf(short, pattern, &i); n == 1 {
			return i
		}
	}
	return 0
}
