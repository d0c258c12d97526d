package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

const (
	// serviceHold is how long a service must fail before it is said, where probes fail at once for want of
	// a way: of paths that broke with it agents have told by then.
	serviceHold = 3 * time.Second
	// serviceHoldLate is the same where the probes waited for answers in vain, as those of paths did.
	serviceHoldLate = time.Second
	// serviceHoldTold is the same where the service itself is heard: it is slow, refuses or answers wrongly.
	// It may do so for a moment.
	serviceHoldTold = 2 * time.Second
	// serviceHoldBare is serviceHold where no pattern is to be seen yet.
	serviceHoldBare = 5 * time.Second
	// serviceHoldWait is serviceHold where it is not known yet whether answers come. Probes end long before.
	serviceHoldWait = 15 * time.Second
)

// service is what all agents say of one thing they depend on, which is reached in several ways.
type service struct {
	// name is what all ways have in common: "dns", "server", or the target's own name.
	name  string
	dns   bool
	views []*serviceView
}

// services finds services that fail although the network that leads to them is well.
func (r *round) services() {
	before := len(r.found)
	r.asked = r.collect(r.cutOff())
	for _, s := range r.asked {
		r.judgeService(s)
	}
	r.found = append(r.found[:before], mergeRules(r.found[before:])...)
}

// mergeRules makes one finding of several services whose addresses the same nodes do not translate:
// then it is the translation and not a service.
func mergeRules(list []candidate) (out []candidate) {
	for _, c := range list {
		at := slices.IndexFunc(out, func(o candidate) bool {
			return o.Cause == ServiceRulesMissing && c.Cause == ServiceRulesMissing && slices.Equal(o.nodes, c.nodes)
		})
		if at < 0 {
			out = append(out, c)
			continue
		}
		o := &out[at]
		for _, fact := range c.Evidence { // that the chain is empty each of them says
			if !slices.Contains(o.Evidence, fact) {
				o.Evidence = append(o.Evidence, fact)
			}
		}
		o.variant += " " + c.variant
		o.weight += c.weight
		who := "No node translates"
		switch {
		case len(o.nodes) == 1:
			who = o.nodes[0] + " does not translate"
		case len(o.nodes) > 1:
			who = enumerate(o.nodes) + " do not translate"
		}
		o.Summary = fmt.Sprintf("%s Service addresses while the pods behind them answer directly: kube-proxy (or its replacement) is dead or its rules were flushed. Check kube-proxy%s.", who, onNodes(o.nodes))
	}
	return out
}

func onNodes(nodes []string) string {
	if len(nodes) == 0 {
		return " on all nodes and what was rolled out last"
	}
	return " on " + enumerate(nodes)
}

// collect gathers what agents say of each service, without the nodes for which a finding of the
// network explains it already.
func (r *round) collect(cut *cutNodes) []*service {
	where := r.endsOf(cut)
	byName := map[string]*service{}
	views := map[string]*serviceView{}
	starved, most := r.starved()
	for i := range r.View.Len() {
		state, _ := r.View.Reported(i)
		row, _ := r.View.RowOf(i)
		if state != mesh.Reporting || row.Doubt != 0 || r.tracker.gate[i] {
			continue
		}
		blind := most || starved[r.View.Agent(i).Node]
		for k := range row.Services {
			s := &row.Services[k]
			if blind && !heard(s) {
				continue
			}
			v := views[s.Name]
			if v == nil {
				v = newServiceView(s)
				views[s.Name] = v
				name := component(s)
				if byName[name] == nil {
					byName[name] = &service{name: name, dns: isDNS(s)}
				}
				byName[name].views = append(byName[name].views, v)
			}
			v.add(r, i, s, cut, where[component(s)])
		}
	}
	var list []*service
	for _, s := range byName {
		slices.SortFunc(s.views, func(a, b *serviceView) int { return strings.Compare(a.target, b.target) })
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *service) int { return strings.Compare(a.name, b.name) })
	return list
}

// starved are the nodes of agents that doubt themselves: who shares the processors of one cannot be
// believed either, and too few are left who would tell of broken paths there. most says that so many agents
// doubt that what the others find is no picture of the network. Then silence of a service says nothing, but
// what is heard of it still does.
func (r *round) starved() (nodes map[string]bool, most bool) {
	nodes = map[string]bool{}
	reporting, doubting := 0, 0
	for i := range r.View.Len() {
		if state, _ := r.View.Reported(i); state != mesh.Reporting {
			continue
		}
		reporting++
		if row, _ := r.View.RowOf(i); row.Doubt != 0 {
			doubting++
			nodes[r.View.Agent(i).Node] = true
		}
	}
	return nodes, 3*doubting > reporting
}

// endsOf are the nodes on which each component has endpoints, as far as addresses tell; nothing while
// nobody is cut off.
func (r *round) endsOf(cut *cutNodes) map[string]ends {
	all := map[string]ends{}
	if cut.none() {
		return all
	}
	asked := map[string]bool{}
	for i := range r.View.Len() {
		row, _ := r.View.RowOf(i)
		if row == nil {
			continue
		}
		for k := range row.Services {
			s := &row.Services[k]
			if asked[s.Address] {
				continue
			}
			asked[s.Address] = true
			name := component(s)
			e, known := all[name]
			e.hidden = (e.hidden || !known) && isVirtual(s)
			if node := cut.home(s.Address); node != "" && !slices.Contains(e.homes, node) {
				e.homes = append(e.homes, node)
			}
			all[name] = e
		}
	}
	return all
}

// isVirtual reports whether a target is a Service address, which every node translates itself.
func isVirtual(s *probe.Service) bool {
	return hasToken(s.Name, "vip", "clusterip", "service", "svc", "nodeport")
}

func isDNS(s *probe.Service) bool {
	return s.Kind == probe.ServiceDNSUDP || s.Kind == probe.ServiceDNSTCP
}

func hasToken(name string, tokens ...string) bool {
	for _, part := range splitName(name) {
		if slices.Contains(tokens, part) {
			return true
		}
	}
	return false
}

func splitName(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
}

// component is the part of a target's name that its ways have in common.
func component(s *probe.Service) string {
	if isDNS(s) && !hasToken(s.Name, "resolver", "upstream", "node") {
		return "dns"
	}
	var kept []string
	for _, part := range splitName(s.Name) {
		if slices.Contains([]string{"vip", "clusterip", "service", "svc", "endpoint", "ep", "direct", "pod", "nodeport", "udp", "tcp"}, part) || isNumber(part) {
			break
		}
		kept = append(kept, part)
	}
	if len(kept) == 0 {
		return s.Name
	}
	return strings.Join(kept, "-")
}

func isNumber(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// nodesOf are the names of agents' nodes, and the networks they are on.
func (r *round) nodesOf(agents []int) (names []string, networks [mesh.Networks]bool) {
	for _, i := range agents {
		m := r.View.Agent(i)
		names = append(names, m.Node)
		networks[m.Network] = true
	}
	return sortedSet(names), networks
}

// firstOf is the first element, or the zero value.
func firstOf[T any](list []T) (out T) {
	if len(list) > 0 {
		return list[0]
	}
	return out
}

// commonest is the key with the highest count, the first in order among equals.
func commonest(counts map[string]int) (best string) {
	most := 0
	for key, n := range counts {
		if n > most || n == most && cmp.Less(key, best) {
			best, most = key, n
		}
	}
	return best
}
