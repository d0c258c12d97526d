package evidence

import (
	"net/netip"
	"slices"
)

// Interest is what a reading is for. On a node with thousands of routes and neighbours only those
// are kept that concern it.
type Interest struct {
	// Self are the agent's own addresses and that of the node's other agent.
	Self []netip.Addr
	// Peers are the other agents' addresses, host and pod, the most urgent (those of failing
	// paths) first: only the first MaxPeers are looked at.
	Peers []netip.Addr
	// Ports are those of the agent itself; the usual ports of overlays need not be named.
	Ports []uint16
}

// The limits of a snapshot, so that it fits into a row: entries of each kind.
const (
	MaxPeers        = 512 // both families of 128 nodes
	MaxLinks        = 64
	MaxAddrs        = 16 // of one link
	MaxRoutes       = 1024
	MaxRules        = 128
	MaxNeighbors    = 1024
	MaxFDB          = 1024
	MaxListeners    = 64
	MaxChains       = 128
	MaxDropRules    = 128
	maxLinksSeen    = 8192 // a pod has one; more than these are not even looked at
	maxTunnelEnds   = 8192 // entries that are looked at before the neighbours are known
	maxNextHopAddrs = 2048
)

// overlayPorts are where overlays and what they need listen, and what a node is asked at.
var overlayPorts = []uint16{
	53,    // DNS, and node-local caches of it
	179,   // BGP: calico, cilium
	4789,  // vxlan: the standard's; calico, docker swarm
	5473,  // calico typha
	6081,  // geneve: OVN, antrea
	8472,  // vxlan: the kernel's; flannel, cilium
	10250, // kubelet
	10256, // kube-proxy's health
	51820, // wireguard, and calico's and flannel's of IPv4
	51821, // wireguard of IPv6
	51871, // wireguard: cilium
}

// wanted answers quickly whether something concerns the peers.
type wanted struct {
	self   []netip.Addr
	peers  []netip.Addr        // in the caller's order
	sorted []netip.Addr        // self and peers
	known  map[netip.Addr]bool // the same
	ports  map[uint16]bool
	cut    int // peers beyond the limit
}

func want(i Interest) *wanted {
	w := &wanted{known: make(map[netip.Addr]bool, len(i.Self)+min(len(i.Peers), MaxPeers)), ports: map[uint16]bool{}}
	add := func(list *[]netip.Addr, a netip.Addr) {
		if a = a.Unmap().WithZone(""); a.IsValid() && !w.known[a] {
			w.known[a] = true
			*list = append(*list, a)
		}
	}
	for _, a := range i.Self {
		add(&w.self, a)
	}
	for n, a := range i.Peers {
		if len(w.peers) == MaxPeers {
			w.cut = len(i.Peers) - n
			break
		}
		add(&w.peers, a)
	}
	w.sorted = slices.Concat(w.self, w.peers)
	slices.SortFunc(w.sorted, netip.Addr.Compare)
	for _, list := range [][]uint16{overlayPorts, i.Ports} {
		for _, p := range list {
			w.ports[p] = true
		}
	}
	return w
}

// covers reports whether a prefix contains one of the addresses.
func (w *wanted) covers(p netip.Prefix) bool {
	p = p.Masked()
	at, _ := slices.BinarySearchFunc(w.sorted, p.Addr(), netip.Addr.Compare)
	return at < len(w.sorted) && p.Contains(w.sorted[at])
}

// coversPeer is covers without the agent's own addresses.
func (w *wanted) coversPeer(p netip.Prefix) bool {
	p = p.Masked()
	at, _ := slices.BinarySearchFunc(w.sorted, p.Addr(), netip.Addr.Compare)
	for ; at < len(w.sorted) && p.Contains(w.sorted[at]); at++ {
		if !slices.Contains(w.self, w.sorted[at]) {
			return true
		}
	}
	return false
}
