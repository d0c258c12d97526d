package diagnose

import (
	"net/netip"
	"net/url"
	"slices"
	"time"

	"netchecker/mesh"
)

// cutNodes are the nodes whose trouble with services is a consequence of a finding, if it began
// before the time given: what begins after the finding's paths are well again is another matter.
type cutNodes struct {
	view  *mesh.View
	nodes map[string]cutSpan
	pairs map[[2]string]time.Time // in order of name
	all   time.Time
	// pods are the addresses of pod agents by node, to tell where an endpoint lives.
	pods []podPlace
}

// cutSpan is since when a node is cut off, and until when that explains what begins to fail.
type cutSpan struct{ since, until time.Time }

type podPlace struct {
	addr netip.Addr
	node string
}

// consequences are the kinds that make services fail where they are.
var consequences = []Kind{NodeDown, NodeUnreachable, NodeRoutingBroken, OverlayBroken, ForwardingBroken, PodAttachmentBroken, PodEgressBlocked,
	PodIngressBlocked, PairBroken, OneWay, Partition, AddressConflict, FlowBlackhole, PartialLoss, PortBlocked, ProtocolBlocked, Unexplained, MTUBlackhole, HighLatency}

func (r *round) cutOff() *cutNodes {
	cut := &cutNodes{view: r.View, nodes: map[string]cutSpan{}, pairs: map[[2]string]time.Time{}}
	mark := func(f *Finding, until time.Time) {
		if f.Severity == Info || f.Cause == AgentPortBlocked || !slices.Contains(consequences, f.Kind) {
			return
		}
		if f.Location.Scope == ScopeCluster && until.After(cut.all) {
			cut.all = until
		}
		if nodes := f.Location.Nodes; f.Location.Scope == ScopePair && len(nodes) == 2 {
			if pair := [2]string{nodes[0], nodes[1]}; until.After(cut.pairs[pair]) {
				cut.pairs[pair] = until
			}
			return
		}
		for _, n := range f.Location.Nodes {
			at, known := cut.nodes[n]
			if until.After(at.until) {
				at.until = until
			}
			if !known || f.Since.Before(at.since) {
				at.since = f.Since
			}
			cut.nodes[n] = at
		}
	}
	for i := range r.found {
		mark(&r.found[i].Finding, r.Now.Add(time.Hour))
	}
	for _, k := range r.tracker.tracks { // services take longer to recover than paths
		if !k.opened.IsZero() && r.Now.Sub(k.seen) < 2*recovery {
			mark(&k.Finding, k.seen.Add(time.Second))
		}
	}
	for i := range r.View.Len() {
		if m := r.View.Agent(i); m.Primary().IsValid() {
			cut.pods = append(cut.pods, podPlace{m.Primary(), m.Node})
		}
	}
	return cut
}

// none reports whether nobody is cut off.
func (c *cutNodes) none() bool { return len(c.nodes)+len(c.pairs) == 0 && c.all.IsZero() }

// ends are where the endpoints of a service live.
type ends struct {
	homes []string
	// hidden says that nothing tells: only its Service addresses are known.
	hidden bool
}

// atOnce is how long after a node was cut off those who depend on what lives there notice it at the latest.
// The beginning of either is known to some seconds.
const atOnce = 15 * time.Second

// explains reports whether a service that began to fail for a node does so since one of the nodes on which
// it has endpoints is cut off, or the two from each other. Where nobody knows where they live, a node that
// was cut off in the same moments may have them.
func (c *cutNodes) explains(node string, at ends, began time.Time) bool {
	if began.Before(c.all) || began.Before(c.nodes[node].until) {
		return true
	}
	if at.hidden {
		for _, home := range c.nodes {
			if began.Before(home.until) && began.Sub(home.since).Abs() <= atOnce {
				return true
			}
		}
	}
	return slices.ContainsFunc(at.homes, func(home string) bool {
		return began.Before(c.nodes[home].until) || began.Before(c.pairs[[2]string{min(node, home), max(node, home)}])
	})
}

// home is the node on which an address lives: that of the agent whose address is nearest, if that is
// a matter of one subnet; "" when that is not known.
func (c *cutNodes) home(address string) string {
	addr, ok := addrOf(address)
	if !ok {
		return ""
	}
	best, node, tie := 0, "", false
	for _, p := range c.pods {
		bits := commonBits(addr, p.addr)
		switch {
		case bits > best:
			best, node, tie = bits, p.node, false
		case bits == best && p.node != node:
			tie = true
		}
	}
	if tie || best < addr.BitLen()*5/8 {
		return ""
	}
	return node
}

// addrOf is the address in host:port or a URL; false for names.
func addrOf(text string) (netip.Addr, bool) {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		text = u.Host
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr(), true
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil
}

func commonBits(a, b netip.Addr) int {
	if a.BitLen() != b.BitLen() {
		return 0
	}
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := 0
			for d&0x80 == 0 {
				d <<= 1
				n++
			}
			return 8*i + n
		}
	}
	return a.BitLen()
}
