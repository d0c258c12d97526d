package lab

import (
	"fmt"
	"strings"
)

// rules4 are the iptables rules of a node. FORWARD's policy is docker's; KUBE chains are
// kube-proxy's, FLANNEL chains flanneld's. SUBNET is the node's pod network,
// The first rule of nat KUBE-SERVICES is that of netchecker-service.
const rules4 = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:FLANNEL-FWD - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -j DOCKER-USER
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A DOCKER-USER -j RETURN
-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:FLANNEL-POSTRTG - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-DNS - [0:0]
:KUBE-SEP-NETCHECKER - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-DNS - [0:0]
:KUBE-SVC-NETCHECKER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN
-A FLANNEL-POSTRTG -s SUBNET -d 10.244.0.0/16 -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d SUBNET -j RETURN
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d SUBNET -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp --dport 31081 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp --dport 31081 -j KUBE-SVC-NETCHECKER
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SEP-DNS -s DNSPOD/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-DNS -p udp -j DNAT --to-destination DNSPOD:53
-A KUBE-SEP-DNS -p tcp -j DNAT --to-destination DNSPOD:53
-A KUBE-SEP-NETCHECKER -s SERVERPOD/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-NETCHECKER -p tcp -j DNAT --to-destination SERVERPOD:8081
-A KUBE-SERVICES -d 10.96.0.81/32 -p tcp --dport 8081 -j KUBE-SVC-NETCHECKER
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp --dport 53 -j KUBE-SVC-DNS
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp --dport 53 -j KUBE-SVC-DNS
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-DNS ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-DNS -j KUBE-SEP-DNS
-A KUBE-SVC-NETCHECKER ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-NETCHECKER -j KUBE-SEP-NETCHECKER
COMMIT
`

// rules6 are the ip6tables rules of a node: the same roles without services.
const rules6 = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:FLANNEL-FWD - [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s fd00:10:244::/48 -j ACCEPT
-A FLANNEL-FWD -d fd00:10:244::/48 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s fd00:10:244::/48 ! -d fd00:10:244::/48 ! -o cni0 -j MASQUERADE --random-fully
COMMIT
`

// loadFirewall writes the whole rule set of node i, replacing what is there. The node's own pod
// network is that of node subnet: the same node, unless two nodes were given one network.
func (l *Lab) loadFirewall(i, subnet int) error {
	rules := strings.NewReplacer(
		"SUBNET", podCIDR(subnet).String(),
		"DNSPOD", l.DNSPod().Addr.String(),
		"SERVERPOD", l.ServerPod().Addr.String(),
	).Replace(rules4)
	if _, err := l.runInput(NodeName(i), rules, "iptables-restore", "-w"); err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	if !l.cfg.IPv6 {
		return nil
	}
	if _, err := l.runInput(NodeName(i), rules6, "ip6tables-restore", "-w"); err != nil {
		return fmt.Errorf("ip6tables: %w", err)
	}
	return nil
}
