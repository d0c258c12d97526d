package server

import (
	"context"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/mesh/kube"
)

// goneRemember is how long a node stays known as deleted: as long as an agent could still name it.
const goneRemember = 24 * time.Hour

// goneBook tells deleted nodes from those that were never there. Its caller alone touches it.
type goneBook struct {
	seen map[string]bool
	gone map[string]time.Time
}

// update returns the nodes that are newly gone or back, and those whose end is so long ago that nobody
// need hear of it: their names may be given anew. Only a current list proves a node gone: one that was
// listed before, or that nothing but dead or left agents speak for.
func (b *goneBook) update(nodes map[string]kube.Node, current bool, roster *mesh.Roster, now time.Time) (gone, back, past []string) {
	for name := range nodes {
		b.seen[name] = true
		if _, was := b.gone[name]; was {
			back = append(back, name)
			delete(b.gone, name)
		}
	}
	if current {
		missing := func(name string) {
			_, exists := nodes[name]
			if _, known := b.gone[name]; !exists && !known {
				gone = append(gone, name)
				b.gone[name] = now
			}
		}
		for name := range b.seen {
			missing(name)
		}
		for _, name := range silentNodes(roster) {
			missing(name)
		}
	}
	for _, name := range gone {
		delete(b.seen, name)
	}
	for name, at := range b.gone {
		if now.Sub(at) > goneRemember {
			delete(b.gone, name)
			past = append(past, name)
		}
	}
	slices.Sort(gone)
	slices.Sort(back)
	return gone, back, past
}

// late are the nodes known as gone whose agents are silent only now: somebody deleted the node and let its
// machine run. Gossip has forgotten by then that it is gone, and would expect its agents for another day.
func (b *goneBook) late(roster *mesh.Roster, now time.Time) (nodes []string) {
	for _, name := range silentNodes(roster) {
		if at, known := b.gone[name]; known && at.Before(now) {
			nodes = append(nodes, name)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// leaveRemember is how long an agent that was told to go may be silent without anybody wondering: the
// time that its pod has to end, and that another has to come in its place. A pod that terminates for
// longer is on a node that is down, or nobody replaced it: its silence is a fault again.
const leaveRemember = 2 * time.Minute

// leave returns since when agents' pods are terminating, with those of before whose pods are gone while
// the roster still holds them: one that was killed could not say that it left.
func leave(before map[string]time.Time, pods []kube.Pod, roster *mesh.Roster, now time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	since := func(name string) time.Time {
		if at, ok := before[name]; ok {
			return at
		}
		return now
	}
	for i := range pods {
		if pods[i].Terminating {
			out[pods[i].Name] = since(pods[i].Name)
		}
	}
	if roster == nil {
		return out
	}
	for i := range roster.Agents {
		if name := roster.Agents[i].Name; !before[name].IsZero() {
			out[name] = before[name]
		}
	}
	return out
}

// silentNodes are the nodes of the roster none of whose agents is heard.
func silentNodes(roster *mesh.Roster) (out []string) {
	if roster == nil {
		return nil
	}
	heard := map[string]bool{}
	for _, m := range roster.Agents {
		heard[m.Node] = heard[m.Node] || m.Life == mesh.Alive
	}
	for name, alive := range heard {
		if !alive {
			out = append(out, name)
		}
	}
	return out
}

// expect adds to what gossip retains what Kubernetes still wants to be there: the agents of nodes
// that it lists, also when they left and nobody replaced them, and pods that should run but were
// never heard of, without an address and so without a path.
func (k *kubernetes) expect(roster *mesh.Roster) *mesh.Roster {
	facts := k.facts()
	out := &mesh.Roster{Version: roster.Version, Servers: roster.Servers, Agents: slices.Clone(roster.Agents)}
	zones := map[string]string{}
	if known := k.zones.Load(); known != nil {
		zones = *known
	}
	for i := range out.Agents {
		m := &out.Agents[i]
		if zone := zones[m.Node]; zone != "" {
			m.Zone = zone
		}
		k.last[m.Key] = *m
	}
	for key, m := range k.last {
		if _, there := roster.Find(key); there {
			continue
		}
		if f, listed := facts[key.Node]; listed && !f.Gone {
			out.Agents = append(out.Agents, m)
		} else {
			delete(k.last, key)
		}
	}
	for _, p := range k.owed() {
		out.Agents = append(out.Agents, mesh.Member{Agent: mesh.Agent{Name: p.Name, Key: p.Key, Zone: zones[p.Node]}, Life: mesh.Dead, Since: p.Running})
	}
	slices.SortFunc(out.Agents, func(a, b mesh.Member) int { return a.Key.Compare(b.Key) })
	return out
}

// owed are the pods whose rows are due and whose key nobody else holds, without those of old
// agents, which send none.
func (k *kubernetes) owed() (out []kube.Pod) {
	if k.cluster == nil {
		return nil
	}
	pods, err := k.cluster.Pods()
	if err != nil {
		return nil
	}
	now, held := time.Now(), map[mesh.Key]bool{}
	for i := range pods {
		p := &pods[i]
		if _, known := k.last[p.Key]; known || held[p.Key] {
			continue
		}
		if at := p.DueAt(); at.IsZero() || !now.After(at) {
			continue
		}
		if rec, err := k.store.Get(context.Background(), p.Name); err == nil && (rec == nil || rec.Network != "") {
			out, held[p.Key] = append(out, *p), true
		}
	}
	return out
}

// eventNodes is on how many nodes one finding is said: the others are in its text.
const eventNodes = 3

// record makes Events of a finding that opens or closes.
func (k *kubernetes) record(f diagnose.Finding) {
	nodes := f.Location.Nodes
	if f.Location.Culprit != "" {
		nodes = []string{f.Location.Culprit}
	}
	facts := k.facts()
	for _, node := range nodes[:min(len(nodes), eventNodes)] {
		if known, listed := facts[node]; !listed || known.Gone {
			continue
		}
		e := kube.Event{Node: node, Reason: "Finding", Topic: string(f.Kind), Warning: f.Severity != diagnose.Info, Text: f.Summary}
		if f.ClosedAt != nil {
			e.Reason, e.Warning, e.Text = "FindingClosed", false, "No longer: "+f.Summary
		}
		k.events.Record(e)
	}
}
