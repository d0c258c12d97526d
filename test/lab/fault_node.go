package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// firewalldRules let established traffic, loopback, ICMP and a few ports in, and reject the rest.
const firewalldRules = `table inet firewalld {
 chain input {
  type filter hook input priority 10; policy accept;
  ct state established,related accept
  iifname lo accept
  meta l4proto { icmp, ipv6-icmp } accept
  tcp dport { 22, 6443, 10250 } accept
  reject with icmpx type admin-prohibited
 }
 chain forward {
  type filter hook forward priority 10; policy accept;
  ct state established,related accept
  reject with icmpx type admin-prohibited
 }
}
`

// Faults of one node's own configuration: firewall, sysctls, links.
var nodeFaults = []Fault{
	{"fw-8472-in", "node", "the node's firewall drops incoming vxlan", func(b *breaker, a []int) {
		b.rule(a[0], "INPUT -p udp --dport 8472 -j DROP")
	}},
	{"fw-agent-port", "node [port]", "the node's firewall drops one TCP port (7070)", func(b *breaker, a []int) {
		b.rule(a[0], fmt.Sprintf("INPUT -p tcp --dport %d -j DROP", append(a, 7070)[1]))
	}},
	{"icmp-blocked", "node", "the node drops ICMP echo requests", func(b *breaker, a []int) {
		b.rule(a[0], "INPUT -p icmp --icmp-type echo-request -j DROP")
	}},
	{"tcp-syn-drop", "node", "a middlebox at the node drops TCP connections to it and its pods", func(b *breaker, a []int) {
		for _, chain := range []string{"INPUT", "FORWARD"} {
			for _, dev := range []string{"eth0", overlayName} {
				b.rule(a[0], fmt.Sprintf("%s -i %s -p tcp --syn -j DROP", chain, dev))
			}
		}
	}},
	{"netpol-ingress", "node", "a NetworkPolicy drops new connections to the node's pod", func(b *breaker, a []int) {
		b.rule(a[0], fmt.Sprintf("FORWARD -d %v -m conntrack --ctstate NEW -j DROP", b.lab.Pod(a[0]).Addr))
	}},
	{"firewalld", "node", "firewalld rejects all but ICMP, ssh and kubelet", func(b *breaker, a []int) {
		b.nft(NodeName(a[0]), firewalldRules, "inet firewalld")
	}},
	{"iptables-flush", "node", "all iptables rules are flushed; docker's FORWARD policy stays DROP", func(b *breaker, a []int) {
		b.keepRules(a[0])
		b.node(a[0], "iptables -w -F; iptables -w -t nat -F", "")
	}},
	{"ip-forward-0", "node", "net.ipv4.ip_forward is 0", func(b *breaker, a []int) {
		b.keepRPFilter(a[0]) // writing ip_forward rewrites conf/*
		b.node(a[0], "echo 0 >/proc/sys/net/ipv4/ip_forward", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	}},
	{"rp-filter-strict", "node", "strict reverse path filter; harmless by itself", func(b *breaker, a []int) {
		b.strictRPFilter(a[0])
	}},
	{"rp-filter-asym", "node node", "strict filter, and a stale direct route to the other node's pods", func(b *breaker, a []int) {
		b.strictRPFilter(a[0])
		b.step(nil, func() error { return b.lab.repairPeer(a[0], a[1]) })
		b.node(a[0], fmt.Sprintf("ip route replace %v via %v dev eth0", podCIDR(a[1]), nodeAddr(a[1])), "")
	}},
	{"conntrack-full", "node", "the connection table is full of established flows", func(b *breaker, a []int) {
		b.fillConntrack(a[0])
	}},
	{"nic-down", "node", "eth0 is down", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip link set eth0 down", "ip link set eth0 up")
	}},
	{"nm-cni0-down", "node", "the pod bridge is down", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip link set cni0 down", "ip link set cni0 up")
	}},
	{"nm-cni0-noaddr", "node", "the pod bridge lost its addresses", func(b *breaker, a []int) {
		b.repairAfter(a[0])
		b.node(a[0], "ip -4 addr flush dev cni0; ip -6 addr flush dev cni0 scope global", "")
	}},
	{"nm-cloud-setup", "node", "a policy rule sends what has the node's address to the gateway", func(b *breaker, a []int) {
		b.node(a[0], "ip route add default via 192.0.2.254 dev eth0 table 30400", "ip route flush table 30400")
		b.node(a[0], "ip rule add priority 30400 from $IP lookup 30400", "ip rule del priority 30400")
	}},
}

// repairAfter puts back, on heal, the addresses and routes that node k lost with a link.
func (b *breaker) repairAfter(k int) {
	b.step(nil, func() error {
		s, err := b.lab.space(NodeName(k))
		if err != nil {
			return err
		}
		return errors.Join(b.lab.setAddrs(s, k), b.lab.buildOverlay(k))
	})
}

// repairPeer puts back what node i needs to reach the pods of node j.
func (l *Lab) repairPeer(i, j int) error {
	s, err := l.space(NodeName(i))
	if err != nil {
		return err
	}
	return l.addPeer(s, j)
}

func (b *breaker) strictRPFilter(k int) {
	b.keepRPFilter(k)
	b.node(k, "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done", "")
}

// keepRPFilter restores every interface's reverse path filter on heal.
func (b *breaker) keepRPFilter(k int) {
	old := map[string][]byte{}
	b.step(func() error {
		return b.lab.Do(NodeName(k), func() error {
			files, err := filepath.Glob("/proc/sys/net/ipv4/conf/*/rp_filter")
			for _, f := range files {
				if old[f], err = os.ReadFile(f); err != nil {
					return err
				}
			}
			return err
		})
	}, func() error {
		return b.lab.Do(NodeName(k), func() error {
			for f, value := range old {
				// A link may have gone meanwhile, with a pod.
				if err := os.WriteFile(f, value, 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			return nil
		})
	})
}
