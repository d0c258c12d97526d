package lab

import (
	"fmt"
	"time"
)

const serviceMatch = "KUBE-SERVICES -d 10.96.0.81/32 -p tcp --dport 8081"

// Faults of services, DNS and the server's place.
var serviceFaults = []Fault{
	{"server-unreachable", "node", "the node's firewall drops what goes to the server, on all its ports", func(b *breaker, a []int) {
		for _, chain := range []string{"FORWARD", "OUTPUT"} {
			b.rule(a[0], fmt.Sprintf("%s -p tcp -m multiport --dports %d,%d -j DROP", chain, ServerPort, ServerNodePort))
		}
	}},
	{"server-isolated", "", "the server pod's cable is down", func(b *breaker, _ []int) {
		pod := b.lab.ServerPod()
		b.node(pod.Node, "ip link set "+pod.cable+" down", "ip link set "+pod.cable+" up")
	}},
	{"kubeproxy-rules-gone", "node", "no service is translated on the node", func(b *breaker, a []int) {
		b.keepRules(a[0])
		b.node(a[0], "iptables -w -t nat -F KUBE-SERVICES", "")
	}},
	{"vip-broken", "node", "the server's service is not translated on the node", func(b *breaker, a []int) {
		b.node(a[0], "iptables -w -t nat -D "+serviceMatch+" -j KUBE-SVC-NETCHECKER",
			"iptables -w -t nat -I "+serviceMatch+" -j KUBE-SVC-NETCHECKER")
	}},
	{"vip-no-endpoints", "", "the server's service has no endpoints: every node rejects it", func(b *breaker, _ []int) {
		for i := 1; i <= b.lab.cfg.Nodes; i++ {
			b.node(i, "iptables -w -t nat -D "+serviceMatch+" -j KUBE-SVC-NETCHECKER",
				"iptables -w -t nat -I "+serviceMatch+" -j KUBE-SVC-NETCHECKER")
			b.rule(i, serviceMatch+" -j REJECT")
		}
	}},
	{"dns-acl-udp", "node", "DNS over UDP is blocked from the node", func(b *breaker, a []int) { b.dnsACL(a[0], "udp") }},
	{"dns-acl-tcp", "node", "DNS over TCP is blocked from the node", func(b *breaker, a []int) { b.dnsACL(a[0], "tcp") }},
	{"coredns-dead", "", "the DNS server's process is gone", func(b *breaker, _ []int) {
		b.step(func() error { b.lab.dns.Stop(); return nil }, b.lab.dns.Start)
	}},
	{"coredns-servfail", "", "the DNS server answers SERVFAIL", func(b *breaker, _ []int) {
		b.step(func() error { b.lab.dns.SetServfail(true); return nil },
			func() error { b.lab.dns.SetServfail(false); return nil })
	}},
	{"coredns-slow", "", "the DNS server answers after 3 s", func(b *breaker, _ []int) {
		b.step(func() error { b.lab.dns.SetDelay(3 * time.Second); return nil },
			func() error { b.lab.dns.SetDelay(0); return nil })
	}},
}

func (b *breaker) dnsACL(k int, protocol string) {
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		b.rule(k, fmt.Sprintf("%s -p %s --dport 53 -j DROP", chain, protocol))
	}
}
