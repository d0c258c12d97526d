package diagnose

import (
	"fmt"
	"strings"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

const (
	// muteHold is how long an agent that others reach may be silent before somebody says so, and
	// doubtHold how long it may distrust itself.
	muteHold  = 20 * time.Second
	doubtHold = 5 * time.Minute
	// crowd is how many silent agents are one matter rather than so many.
	crowd = 4
	// silence is the slot of the finding that nobody reports.
	silence = "silence"
)

// allSilent handles the case that nobody reports: the server, or the way to it, is broken, and
// nothing is known of the network. A server that has just begun knows nothing either.
func (r *round) allSilent() bool {
	expected, nodes := 0, map[string]bool{}
	var last time.Time
	for i := range r.View.Len() {
		state, at := r.View.Reported(i)
		switch state {
		case mesh.ReportLeft:
			continue
		case mesh.Reporting:
			return false
		}
		if r.tracker.gate[i] {
			continue
		}
		expected++
		nodes[r.View.Agent(i).Node] = true
		if at.After(last) {
			last = at
		}
	}
	if expected == 0 || len(nodes) == 0 || !r.tracker.heard {
		return true
	}
	c := candidate{slot: silence, class: fine, hold: 2 * time.Second, proof: 1}
	c.Kind, c.Severity, c.Cause, c.Confidence = ServerUnreachable, Critical, ServerDown, 0.8
	c.Since = last
	c.Location = Location{Scope: ScopeCluster}
	c.Summary = fmt.Sprintf("No agent has reported since %s: the server cannot be reached (its pod's interface, its node, or the network "+
		"in front of it), so nothing is known of the network. Check the server's pod and node.", last.UTC().Format(time.RFC3339))
	c.Check = "kubectl get pods -o wide -l app=netchecker-server"
	r.found = append(r.found, c)
	return true
}

// agents finds what is wrong with single agents although their paths are well: no reports, doubt
// of their own, keys that do not match.
func (r *round) agents() {
	var mute []candidate
	for i := range r.View.Len() {
		if r.tracker.gate[i] {
			continue
		}
		m := r.View.Agent(i)
		state, last := r.View.Reported(i)
		row, _ := r.View.RowOf(i)
		switch {
		case (state == mesh.ReportStale || state == mesh.ReportAbsent) && r.reached(i):
			c := r.agent(m, NotReporting, muteHold)
			c.Since = last
			c.Summary = fmt.Sprintf("The %s agent of %s answers its peers but its reports do not arrive: check its log and the way from it to the server (Service address, keys, token).", m.Network, m.Node)
			mute = append(mute, c)
		case state == mesh.Reporting && row.Doubt != 0:
			c := r.agent(m, SelfDoubt, doubtHold)
			c.Severity = Info
			c.Summary = fmt.Sprintf("The %s agent of %s does not trust its own measurements (%s): what it says of bad paths is left out. Check the CPU of %s and the agent's limits.", m.Network, m.Node, row.Doubt, m.Node)
			r.found = append(r.found, c)
		}
	}
	if len(mute) < crowd {
		r.found = append(r.found, mute...)
		return
	}
	c := candidate{slot: "mute", class: fine, hold: muteHold, proof: 1}
	c.Kind, c.Severity, c.Cause, c.Confidence = ServerUnreachable, Warning, NotReporting, 0.6
	c.Location = Location{Scope: ScopeCluster}
	var names []string
	for i := range mute {
		c.Location.Nodes = append(c.Location.Nodes, mute[i].Location.Nodes...)
		if i < 5 {
			names = append(names, mute[i].Location.Nodes[0])
		}
	}
	c.Location.Nodes = sortedSet(c.Location.Nodes)
	c.Summary = fmt.Sprintf("%d agents answer their peers but their reports do not arrive at the server (%s, …): check the server's load, its Service and the agents' keys.", len(mute), strings.Join(sortedSet(names), ", "))
	r.found = append(r.found, c)
}

func (r *round) agent(m *mesh.Member, cause Cause, hold time.Duration) candidate {
	c := candidate{slot: "agent\x00" + string(cause) + "\x00" + m.Key.String(), class: fine, hold: hold, proof: 1, nodes: []string{m.Node}}
	c.Kind, c.Severity, c.Cause, c.Confidence = AgentUnhealthy, Warning, cause, 0.8
	c.Location = Location{Scope: ScopeAgent, Nodes: []string{m.Node}, Culprit: m.Node, Network: m.Network.String()}
	return c
}

// reached reports whether agents of other nodes reach an agent.
func (r *round) reached(i int) bool {
	ok, bad := 0, 0
	for _, p := range r.pictures {
		all := make([]int, 0, len(p.nodes))
		for n := range p.nodes {
			if int32(n) != p.nodeOf[i] {
				all = append(all, n)
			}
		}
		for _, n := range spread(all, 16) {
			for _, from := range p.nodes[n].agent {
				if from < 0 || !p.speaks[from] {
					continue
				}
				if path, known := p.view.PathBetween(int(from), i, p.family); known {
					switch path.State {
					case probe.OK:
						ok++
					case probe.Failing:
						bad++
					}
				}
			}
		}
	}
	return ok > 0 && ok > 2*bad
}
