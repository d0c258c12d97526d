// Package lab is a Kubernetes-like cluster network made of Linux network namespaces.
//
// A fabric namespace holds one bridge per rack, a gateway (192.0.2.254) and a host off the
// cluster (203.0.113.1). Node I is a namespace with eth0 192.0.2.I, cni0 10.244.I.1/24 and the
// vxlan device flannel.1; its pod is a namespace with 10.244.I.2 behind cni0. Routes, permanent
// neighbours, FDB entries and iptables rules are those that flannel, kube-proxy and docker write,
// so that a [Fault] can be injected by its real mechanism and a program under test meets what it
// would meet on a cluster. With [Config.IPv6] there is a second family, routed between the nodes
// without an overlay (2001:db8:2::I, pods fd00:10:244:I::2), as flannel's host-gw backend does.
//
// Everything lives in its own namespaces; the machine's own network is not touched. Several labs
// can exist at once: their namespaces are named nc-<lab>-node3 and so on, and what a killed lab
// left behind is removed by the next [Start]. All of it needs root, the programs sh, ip, bridge,
// iptables and nft, and the kernel module br_netfilter, which is loaded if it is missing.
//
// The lab starts no agent and no server: it has places for them ([Lab.Command] runs a program in
// a namespace without any privilege), and a DNS server of its own in the DNS pod.
package lab
