package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"netchecker/probe"
)

// Where DNS and we are to be found.
const (
	dnsNamespace = "kube-system"
	dnsLabels    = "k8s-app=kube-dns"
	ownService   = "netchecker-service"
	// dnsQuery is a name that every cluster has.
	dnsQuery = "kubernetes.default.svc.cluster.local"
	// maxEndpoints bounds the endpoints of one Service that every agent probes: they are replicas.
	maxEndpoints = 8
)

// Target is a service for the agents to probe, in the words of package service.
type Target struct{ Name, Kind, Address, Query string }

// place is a port of an address.
type place struct {
	address netip.Addr
	port    int32
	tcp     bool
}

// ways are the ports of a Service or of an EndpointSlice.
type ways []place

func trimService(obj runtime.Object) runtime.Object {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return obj
	}
	out := &corev1.Service{ObjectMeta: trimMeta(&s.ObjectMeta)}
	out.Spec.ClusterIPs, out.Spec.Ports = s.Spec.ClusterIPs, s.Spec.Ports
	return out
}

func readService(obj any) (string, ways) {
	s := obj.(*corev1.Service)
	var out ways
	for _, text := range s.Spec.ClusterIPs { // "None" of a headless one is no address
		address, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		for _, p := range s.Spec.Ports {
			out = append(out, place{address, p.Port, p.Protocol != corev1.ProtocolUDP})
		}
	}
	return s.Namespace + "/" + s.Name, out
}

func trimSlice(obj runtime.Object) runtime.Object {
	s, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj
	}
	out := &discoveryv1.EndpointSlice{ObjectMeta: trimMeta(&s.ObjectMeta), AddressType: s.AddressType, Ports: s.Ports}
	for _, e := range s.Endpoints {
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: e.Conditions})
	}
	return out
}

// readSlice leaves out endpoints that are not ready: nobody is sent there.
func readSlice(obj any) (string, ways) {
	s := obj.(*discoveryv1.EndpointSlice)
	var out ways
	for _, e := range s.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
			continue
		}
		address, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			continue // a slice of names
		}
		for _, p := range s.Ports {
			if p.Port != nil {
				out = append(out, place{address, *p.Port, p.Protocol == nil || *p.Protocol != corev1.ProtocolUDP})
			}
		}
	}
	return s.Namespace + "/" + s.Name, out
}

// dnsTargets are the ways to DNS among places: port 53 of a Service, or what it leads to.
func dnsTargets(name string, list ways, ports func(int32) bool) (out []Target) {
	for i, p := range list {
		if !ports(p.port) {
			continue
		}
		kind, suffix := probe.ServiceDNSUDP, "udp"
		if p.tcp {
			kind, suffix = probe.ServiceDNSTCP, "tcp"
		}
		out = append(out, Target{Name: fmt.Sprintf("%s-%s", numbered(name, list, i), suffix), Kind: kind,
			Address: netip.AddrPortFrom(p.address, uint16(p.port)).String(), Query: dnsQuery})
	}
	return out
}

// serverTargets are the ways to the server.
func serverTargets(name string, list ways) (out []Target) {
	for i, p := range list {
		if p.tcp {
			out = append(out, Target{Name: numbered(name, list, i), Kind: probe.ServiceHTTP,
				Address: "http://" + netip.AddrPortFrom(p.address, uint16(p.port)).String() + "/api/v1/ping"})
		}
	}
	return out
}

// numbered names the i-th place by its address among them, plainly while there is only one.
func numbered(name string, list ways, i int) string {
	var seen []netip.Addr
	for _, p := range list {
		if !slices.Contains(seen, p.address) {
			seen = append(seen, p.address)
		}
	}
	if len(seen) == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, slices.Index(seen, list[i].address)+1)
}

// joined lists the places of all objects in an order that stays, at most of so many addresses, each once.
func joined(objects map[string]ways, prefix string) (out ways) {
	for name, list := range objects {
		if strings.HasPrefix(name, prefix) {
			out = append(out, list...)
		}
	}
	slices.SortFunc(out, func(a, b place) int {
		return cmp.Or(a.address.Compare(b.address), cmp.Compare(a.port, b.port), compareBool(a.tcp, b.tcp))
	})
	out = slices.Compact(out)
	addresses := 0
	for i := range out {
		if i == 0 || out[i].address != out[i-1].address {
			addresses++
		}
		if addresses > maxEndpoints {
			return out[:i]
		}
	}
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// targets are all ways to DNS and to the server.
func targets(services, slices map[string]ways, namespace string) []Target {
	dns := func(p int32) bool { return p == 53 }
	// Behind the Service other ports may answer DNS (5353 of OpenShift): those that take both kinds;
	// CoreDNS's metrics take TCP alone.
	behind := joined(slices, dnsNamespace+"/")
	udp := map[int32]bool{}
	for _, p := range behind {
		udp[p.port] = udp[p.port] || !p.tcp
	}
	out := dnsTargets("dns-vip", joined(services, dnsNamespace+"/"), dns)
	out = append(out, dnsTargets("dns-endpoint", behind, func(p int32) bool { return udp[p] })...)
	out = append(out, serverTargets("server-vip", joined(services, namespace+"/"))...)
	return append(out, serverTargets("server-endpoint", joined(slices, namespace+"/"))...)
}
