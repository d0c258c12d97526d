package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"netchecker/mesh"
	"netchecker/probe"
)

// judgeService tells by the pattern of who fails in which way what is wrong with a service: the
// Service address against the endpoint itself, one protocol against the other, one node against all.
func (r *round) judgeService(s *service) {
	var virtual, direct []*serviceView
	for _, v := range s.views {
		if v.virtual {
			virtual = append(virtual, v)
		} else {
			direct = append(direct, v)
		}
	}
	if r.serviceEverywhere(s, virtual, direct) {
		return
	}
	bad := map[string][]int{} // node → agents with trouble
	for _, v := range s.views {
		for _, i := range slices.Concat(v.bad, v.waiting) {
			n := r.View.Agent(i).Node
			bad[n] = append(bad[n], i)
		}
	}
	nodes := make([]string, 0, len(bad))
	for n := range bad {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	if len(nodes) > 3 && len(nodes)*2 > r.serviceNodes(s) {
		c := r.serviceFinding(s, nodes, ScopeCluster, r.kindOf(s), CauseUnknown, fmt.Sprintf("%s fails on %d nodes (%s), in no pattern that names the cause.", title(s), len(nodes), enumerate(nodes)))
		if !anyView(s.views, func(v *serviceView) bool { return len(v.bad) > 0 }) {
			c.hold = serviceHoldWait
		}
		r.enter(c)
		return
	}
	type verdict struct {
		kind  Kind
		cause Cause
	}
	together := map[verdict][]string{} // nodes that fail alike are one matter
	var order []verdict
	for _, n := range nodes {
		if kind, cause, ok := r.nodeVerdict(s, n); ok {
			v := verdict{kind, cause}
			if together[v] == nil {
				order = append(order, v)
			}
			together[v] = append(together[v], n)
		}
	}
	for _, v := range order {
		r.sayNodes(s, together[v], v.kind, v.cause, virtual, direct)
	}
}

func (r *round) serviceNodes(s *service) int {
	var all []int
	for _, v := range s.views {
		all = append(all, v.agents...)
	}
	names, _ := r.nodesOf(all)
	return len(names)
}

func anyView(list []*serviceView, is func(*serviceView) bool) bool {
	return slices.ContainsFunc(list, is)
}

func everyView(list []*serviceView, is func(*serviceView) bool) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(v *serviceView) bool { return !is(v) })
}

// serviceEverywhere handles what fails, or is slow, for nearly everybody.
func (r *round) serviceEverywhere(s *service, virtual, direct []*serviceView) bool {
	all := func(v *serviceView) bool { return v.all() }
	none := func(v *serviceView) bool { return v.none() }
	slow := func(v *serviceView) bool { return 10*len(v.slow) >= 7*len(v.agents) && len(v.agents) > 1 }
	nodes := r.serviceNodes(s)
	tell := func(kind Kind, cause Cause, text string, args ...any) bool {
		r.enter(r.serviceFinding(s, nil, ScopeCluster, kind, cause, fmt.Sprintf(text, args...)))
		return true
	}
	if nodes < 2 {
		return false
	}
	where := addresses(direct)
	if where == "" {
		where = addresses(virtual)
	}
	switch {
	case everyView(direct, all) || len(direct) == 0 && everyView(virtual, all):
		return r.serviceDown(s, firstOf(append(slices.Clone(direct), virtual...)), where, tell)
	case everyView(virtual, all) && everyView(direct, none):
		v := virtual[0]
		if v.most(probe.CodeRefused) || v.most(probe.CodeHostUnreachable) {
			return tell(ServiceBroken, NoEndpoints, "Service %s (%s) has no ready endpoints: every node refuses it at once, while its pod answers directly. Check the pod's readiness and the Service's selector.", s.name, v.address)
		}
		return tell(ServiceBroken, ServiceRulesMissing, "The Service address of %s (%s) is dead on all nodes while its pod answers directly: kube-proxy (or its replacement) translates it nowhere. Check kube-proxy and what was rolled out last.", s.name, v.address)
	case s.dns && anyView(s.views, func(v *serviceView) bool { return v.tcp && v.all() }) && everyView(ofProtocol(s.views, false), none):
		return r.dnsBlocked(s, DNSTCPBlocked, direct, where)
	case s.dns && anyView(s.views, func(v *serviceView) bool { return !v.tcp && v.all() }) && everyView(ofProtocol(s.views, true), none):
		return r.dnsBlocked(s, DNSUDPBlocked, direct, where)
	case anyView(s.views, slow) && everyView(s.views, func(v *serviceView) bool { return slow(v) || v.late() || v.tcp }):
		return r.serviceSlow(s, where, tell)
	case everyView(direct, (*serviceView).late) || len(direct) == 0 && everyView(virtual, (*serviceView).late):
		tell(r.kindOf(s), CauseUnknown, "%s (%s) gives no node an answer in time while the mesh is fine, and it is not known yet whether it is slow or gone. Check the service itself.", title(s), where)
		r.found[len(r.found)-1].hold = serviceHoldWait
		return true
	}
	return false
}

type teller func(kind Kind, cause Cause, text string, args ...any) bool

// serviceDown says why a service fails for everybody, asked directly.
func (r *round) serviceDown(s *service, v *serviceView, where string, tell teller) bool {
	detail := commonest(v.details)
	switch {
	case s.dns && v.virtual && v.most(probe.CodeRefused):
		return tell(DNSFailing, DNSServerDown, "DNS at %s refuses every node at once: no DNS pod is ready behind the Service, or its process is dead. The network is fine. Check the coredns pods.", where)
	case s.dns && v.most(probe.CodeRefused):
		return tell(DNSFailing, DNSServerDown, "DNS at %s does not listen on port 53 (its process is dead): every node is refused, the network to it is fine. Check the coredns pods.", where)
	case s.dns && v.most(probe.CodeBadAnswer):
		return tell(DNSFailing, DNSServerError, "DNS at %s answers every node with an error (%s): the way to it is fine. Check coredns, its upstream and its connection to the API server.", where, strings.ToUpper(detail))
	case s.dns && (v.most(probe.CodeHung) || v.most(probe.CodeSlow)):
		return tell(DNSFailing, DNSServerSlow, "DNS at %s takes connections but answers too late for every node: it is the server (CPU limit, upstream), not the network.", where)
	case s.dns:
		for _, other := range s.views {
			if other.tcp && !other.virtual && (other.most(probe.CodeHung, probe.CodeSlow) || len(other.slow) > len(other.agents)/2) {
				return tell(DNSFailing, DNSServerSlow, "DNS at %s takes connections but answers too late for every node: it is the server (CPU limit, upstream), not the network.", where)
			}
		}
		return tell(DNSFailing, CauseUnknown, "DNS at %s answers nobody while the mesh is fine: its pods are gone, cut off or overloaded. Check the coredns pods and their node.", where)
	case s.name == "server":
		return tell(ServerUnreachable, ServerDown, "The server (%s) cannot be reached from any node while the mesh is fine: its process or its pod's interface is down. Check the pod on its node.", where)
	case v.most(probe.CodeBadAnswer):
		return tell(ServiceBroken, ServiceError, "%s (%s) answers every node with an error (%s). Check the service itself.", s.name, where, detail)
	case v.most(probe.CodeRefused):
		return tell(ServiceBroken, ServiceDown, "%s (%s) refuses connections from every node: it does not run. The network to it is fine.", s.name, where)
	}
	return tell(ServiceBroken, CauseUnknown, "%s (%s) cannot be reached from any node while the mesh is fine. Check the service and the way to it.", s.name, where)
}

func (r *round) serviceSlow(s *service, where string, tell teller) bool {
	if s.dns {
		return tell(DNSFailing, DNSServerSlow, "DNS at %s is slow (over 1 s) for every node while the network to it is not: it is the server (CPU limit, upstream). Check coredns.", where)
	}
	return tell(ServiceBroken, ServiceSlow, "%s (%s) is slow (over 1 s) for every node while the network to it is not. Check the service itself.", s.name, where)
}

func (r *round) countOn(agents []int, node string) (n int) {
	for _, i := range agents {
		if r.View.Agent(i).Node == node {
			n++
		}
	}
	return n
}

func (r *round) kindOf(s *service) Kind {
	switch {
	case s.dns:
		return DNSFailing
	case s.name == "server":
		return ServerUnreachable
	}
	return ServiceBroken
}

func title(s *service) string {
	if s.dns {
		return "DNS"
	}
	return s.name
}

// addresses lists where a service is asked.
func addresses(list []*serviceView) string {
	var out []string
	for _, v := range list {
		out = append(out, strings.TrimSuffix(v.address, "/api/v1/ping"))
	}
	return enumerate(sortedSet(out))
}

func (r *round) serviceFinding(s *service, nodes []string, scope Scope, kind Kind, cause Cause, text string) candidate {
	c := candidate{class: fine, nodes: nodes, slot: "service\x00" + s.name + "\x00" + strings.Join(nodes, "\x00")}
	if cause == ServiceRulesMissing { // of whatever services: it is one matter
		c.slot, c.variant = "rules\x00"+strings.Join(nodes, "\x00"), s.name
	} else if scope == ScopeCluster {
		c.slot = "service\x00" + s.name
	}
	c.Kind, c.Severity, c.Cause, c.Confidence, c.Summary = kind, Critical, cause, 0.8, text
	if cause != CauseUnknown {
		c.proof = 1
	} else {
		c.hold = serviceHoldBare
	}
	for _, v := range s.views {
		c.weight += len(v.troubled())
		c.hold = max(c.hold, v.hold())
	}
	c.Location = Location{Scope: scope, Nodes: nodes}
	c.Check = "kubectl get endpointslices,pods -A -o wide"
	if scope == ScopeNode {
		if len(nodes) == 1 {
			c.Location.Culprit = nodes[0]
		}
		c.Severity = Warning
		c.Check = "iptables -t nat -S KUBE-SERVICES; iptables -S; kubectl get pods -A -o wide -l k8s-app=kube-proxy"
	}
	for _, v := range s.views {
		troubled := v.troubled()
		if len(troubled) == 0 {
			continue
		}
		names, networks := r.nodesOf(troubled)
		who := ""
		for n := range mesh.Network(mesh.Networks) {
			if networks[n] != networks[1-n] && networks[n] {
				who = " (" + n.String() + " agents)"
			}
		}
		code := probe.CodeNone
		for k, n := range v.codes {
			if n > v.codes[code] {
				code = probe.Code(k)
			}
		}
		value := strings.TrimSpace(code.String() + " " + commonest(v.details))
		switch {
		case len(v.slow) > max(len(v.bad), len(v.waiting)):
			value = probe.CodeSlow.String()
		case len(v.waiting) > len(v.bad):
			value = "no answer yet"
		}
		c.Evidence = append(c.Evidence, Fact{Node: enumerate(names), Fact: v.target + " " + v.address + who, Value: value, Expected: "an answer"})
	}
	return c
}

// enter enters a candidate that belongs to no family.
func (r *round) enter(c candidate) { r.found = append(r.found, c) }
