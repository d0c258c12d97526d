package api_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
)

// TestNodesAndAgentsAreAnnotated with what Kubernetes says of them, which decides nothing.
func TestNodesAndAgentsAreAnnotated(t *testing.T) {
	c := newCluster(t, 4)
	facts, leaving := map[string]diagnose.NodeFacts(nil), map[string]bool(nil)
	var stale error
	f := serve(t, func(cfg *api.Config) {
		cfg.Nodes, cfg.Leaving = func() map[string]diagnose.NodeFacts { return facts }, func() map[string]bool { return leaving }
		cfg.PodsStale = func(time.Time) error { return stale }
	})
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		if status, body := f.post(rowPath(a), string(c.encode(c.row(a, nil), true))); status != 200 {
			t.Fatal(status, body)
		}
	}
	type node struct {
		Name               string
		Schedulable, Ready *bool
		Agents             map[string]struct{ Terminating *bool }
	}
	ask := func() (state string, nodes []node) {
		t.Helper()
		var out struct {
			State string
			Nodes []node
		}
		_, body := f.get("/api/v1/matrix")
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			t.Fatal(err)
		}
		return out.State, out.Nodes
	}
	_, plain := f.get("/api/v1/matrix?format=text")
	if _, nodes := ask(); nodes[0].Schedulable != nil || nodes[0].Ready != nil || nodes[0].Agents["pod"].Terminating != nil || strings.Contains(plain, "AGENTS") {
		t.Errorf("nobody knows, and yet %+v, %s", nodes[0], plain)
	}
	facts = map[string]diagnose.NodeFacts{"node1": {}, "node2": {Cordoned: true}, "node3": {Cordoned: true, NotReady: true}, "node4": {Gone: true}}
	leaving = map[string]bool{testAgent(2, mesh.Pod).Name: true}
	state, nodes := ask()
	for i, want := range [][2]bool{{true, true}, {false, true}, {false, false}} {
		if n := nodes[i]; n.Schedulable == nil || n.Ready == nil || *n.Schedulable != want[0] || *n.Ready != want[1] {
			t.Errorf("%s: %v %v, want %v", n.Name, n.Schedulable, n.Ready, want)
		}
	}
	if nodes[3].Ready != nil || nodes[1].Agents["pod"].Terminating == nil || nodes[1].Agents["host"].Terminating != nil || state != "ok" {
		t.Errorf("%s: %+v", state, nodes)
	}
	_, text := f.get("/api/v1/matrix?format=text")
	mustContain(t, text, "node2                    cordoned: takes no new pods\nnode2/pod                terminating\n",
		"node3                    cordoned: takes no new pods; not ready, says Kubernetes\n")
	stale = errors.New("pods are those of an hour ago")
	if _, _, header := f.do("GET", "/api/v1/matrix", nil); header.Get(api.KubernetesErrorHeader) != stale.Error() {
		t.Errorf("an old copy is not called one: %v", header)
	}
}
