package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

func (l *Lab) podEndpoint(short string, node, host int) Endpoint {
	e := Endpoint{Namespace: l.fullName(short), Node: node, NodeName: NodeName(node), Zone: l.zoneName(node),
		Addr: podAddr(node, host), MTU: l.podMTU(), cable: vethName(host)}
	if l.cfg.IPv6 {
		e.Addr6 = podAddr6(node, host)
	}
	return e
}

func (l *Lab) buildPods(i int) error {
	l.mu.Lock()
	l.lastPod[i-1] = firstPodHost
	l.pods[i-1] = l.podEndpoint(fmt.Sprintf("pod%d", i), i, firstPodHost)
	l.mu.Unlock()
	if err := l.addPod(fmt.Sprintf("pod%d", i), i, firstPodHost); err != nil {
		return err
	}
	if l.ServerPod().Node == i {
		if err := l.addPod("server", i, serverHost); err != nil {
			return err
		}
	}
	if l.DNSPod().Node == i {
		return l.addPod("dns", i, dnsHost)
	}
	return nil
}

// vethName is the node's end of a pod's cable.
func vethName(host int) string { return fmt.Sprintf("veth%d", host) }

// addPod makes a pod's namespace and plugs it into the node's bridge, as the CNI plugins do.
func (l *Lab) addPod(short string, node, host int) error {
	n, err := l.space(NodeName(node))
	if err != nil {
		return err
	}
	s, err := l.addSpace(short)
	if err != nil {
		return err
	}
	if err := s.sysctls(commonSysctls); err != nil {
		return err
	}
	cable := veth{a: n, aName: vethName(host), b: s, bName: "eth0", mtu: l.podMTU()}
	if err := cable.add(); err != nil {
		return err
	}
	if err := l.plugPod(n, host); err != nil {
		return err
	}
	if err := s.addAddrs("eth0", podAddr(node, host).String()+"/24"); err != nil {
		return err
	}
	if err := s.addDefault("eth0", podAddr(node, 1).String()); err != nil {
		return err
	}
	if !l.cfg.IPv6 {
		return nil
	}
	return errors.Join(
		s.addAddrs("eth0", podAddr6(node, host).String()+"/64"),
		s.addDefault("eth0", podAddr6(node, 1).String()))
}

// plugPod joins the node's end of the cable to the bridge; hairpin lets a pod reach itself
// through a service.
func (l *Lab) plugPod(n *space, host int) error {
	if err := n.enslave(vethName(host), bridgeName); err != nil {
		return err
	}
	port, err := n.nl.LinkByName(vethName(host))
	if err != nil {
		return err
	}
	return n.nl.LinkSetHairpin(port, true)
}

// ReplacePod starts the next pod of node i, with a new namespace and the next address, and makes
// it the one that Pod returns. The old pod stays until RemovePod, as in a DaemonSet rollout with
// surge.
func (l *Lab) ReplacePod(i int) (Endpoint, error) {
	if i < 1 || i > l.cfg.Nodes {
		return Endpoint{}, fmt.Errorf("lab %q has no node %d", l.cfg.Name, i)
	}
	if err := l.begin(); err != nil {
		return Endpoint{}, err
	}
	defer l.work.Done()
	l.mu.Lock()
	l.lastPod[i-1]++
	for l.lastPod[i-1] == serverHost || l.lastPod[i-1] == dnsHost {
		l.lastPod[i-1]++
	}
	host := l.lastPod[i-1]
	l.mu.Unlock()
	if host > 254 {
		return Endpoint{}, fmt.Errorf("replace pod of %s: subnet is used up", NodeName(i))
	}
	short := fmt.Sprintf("pod%d-%d", i, host)
	if err := l.addPod(short, i, host); err != nil {
		return Endpoint{}, fmt.Errorf("replace pod of %s: %w", NodeName(i), err)
	}
	e := l.podEndpoint(short, i, host)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods[i-1] = e
	return e, nil
}

// RemovePod kills the processes of a pod and removes its namespace and its cable.
func (l *Lab) RemovePod(e Endpoint) error {
	if err := l.begin(); err != nil {
		return err
	}
	defer l.work.Done()
	s, err := l.space(e.Namespace)
	if err != nil {
		return err
	}
	n, err := l.space(e.NodeName)
	if err != nil {
		return err
	}
	l.killProcesses(e.Namespace)
	if port, err := n.nl.LinkByName(e.cable); err == nil {
		if err := n.nl.LinkDel(port); err != nil {
			return fmt.Errorf("remove %s: %w", e.Namespace, err)
		}
	} else if !errors.As(err, new(netlink.LinkNotFoundError)) {
		return fmt.Errorf("remove %s: %w", e.Namespace, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.spaces, e.Namespace[len(l.fullName("")):])
	return s.remove()
}
