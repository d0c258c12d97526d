package lab

import "fmt"

// Nodes returns the number of nodes.
func (l *Lab) Nodes() int { return l.cfg.Nodes }

// Config returns the configuration with its defaults filled in.
func (l *Lab) Config() Config { return l.cfg }

// Node returns the host network of node i, which starts at 1.
func (l *Lab) Node(i int) Endpoint {
	e := Endpoint{Namespace: l.fullName(NodeName(i)), Node: i, NodeName: NodeName(i), Zone: l.zoneName(i),
		Addr: nodeAddr(i), MTU: NodeMTU}
	if l.cfg.IPv6 {
		e.Addr6 = nodeAddr6(i)
	}
	return e
}

// Pod returns the present pod of node i.
func (l *Lab) Pod(i int) Endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods[i-1]
}

// ServerPod returns the pod behind ServerVIP, on node 1. It holds no server.
func (l *Lab) ServerPod() Endpoint { return l.podEndpoint("server", 1, serverHost) }

// DNSPod returns the pod behind DNSVIP, on node 2 where there is one.
func (l *Lab) DNSPod() Endpoint { return l.podEndpoint("dns", min(2, l.cfg.Nodes), dnsHost) }

// Fabric returns the namespace of switches, gateway and external host; Addr is the gateway's.
func (l *Lab) Fabric() Endpoint {
	return Endpoint{Namespace: l.fullName("fabric"), Addr: addr4(192, 0, 2, 254), MTU: NodeMTU}
}

// zone of a node: contiguous blocks, the first ones larger ({1,2,3} and {4,5}).
func zone(i, nodes, zones int) int { return (i-1)*zones/nodes + 1 }

func (l *Lab) zoneName(i int) string { return fmt.Sprintf("zone%d", zone(i, l.cfg.Nodes, l.cfg.Zones)) }

func (l *Lab) fullName(short string) string { return "nc-" + l.cfg.Name + "-" + short }
