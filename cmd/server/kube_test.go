package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/mesh/kube"
)

func member(node string, life mesh.Life) mesh.Member {
	return mesh.Member{Agent: mesh.Agent{Name: "netchecker-agent-" + node, Key: mesh.Key{Node: node}}, Life: life}
}

func TestOnlyACurrentListProvesThatANodeIsGone(t *testing.T) {
	book := goneBook{seen: map[string]bool{}, gone: map[string]time.Time{}}
	now := time.Now()
	nodes := func(names ...string) map[string]kube.Node {
		out := map[string]kube.Node{}
		for _, n := range names {
			out[n] = kube.Node{}
		}
		return out
	}
	roster := &mesh.Roster{Agents: []mesh.Member{member("dead", mesh.Dead), member("new", mesh.Alive), member("node1", mesh.Left)}}
	for i, step := range []struct {
		nodes      map[string]kube.Node
		current    bool
		gone, back []string
	}{
		{nodes("node1", "node2"), false, nil, nil},             // a copy from before the API server went away
		{nodes("node1", "node2"), true, []string{"dead"}, nil}, // nobody speaks for it; "new" is only not listed yet
		{nodes("node1", "node2"), true, nil, nil},              // said once
		{nodes("node1"), false, nil, nil},                      // no proof
		{nodes("node1"), true, []string{"node2"}, nil},         // was listed before
		{nodes("node1", "node2", "dead"), true, nil, []string{"dead", "node2"}},
	} {
		gone, back, _ := book.update(step.nodes, step.current, roster, now)
		if !slices.Equal(gone, step.gone) || !slices.Equal(back, step.back) {
			t.Errorf("step %d: gone %v, back %v, want %v, %v", i, gone, back, step.gone, step.back)
		}
	}
	book.update(nodes("node1"), true, nil, now)
	_, _, past := book.update(nodes("node1"), true, nil, now.Add(goneRemember+time.Second))
	if slices.Sort(past); len(book.gone) != 0 || !slices.Equal(past, []string{"dead", "node2"}) {
		t.Errorf("remembered for ever: %v; agents are told no longer of %v", book.gone, past)
	}
}

// TestAMachineThatOutlivedItsNodeIsGoneToo has a node deleted while its agents go on for hours: gossip was told
// while it heard them, and has forgotten.
func TestAMachineThatOutlivedItsNodeIsGoneToo(t *testing.T) {
	book := goneBook{seen: map[string]bool{}, gone: map[string]time.Time{}}
	now := time.Now()
	listed := map[string]kube.Node{"node1": {}, "node2": {}}
	alive := &mesh.Roster{Agents: []mesh.Member{member("node1", mesh.Alive), member("node2", mesh.Alive)}}
	dead := &mesh.Roster{Agents: []mesh.Member{member("node1", mesh.Alive), member("node2", mesh.Dead)}}
	for i, step := range []struct {
		nodes       map[string]kube.Node
		current     bool
		roster      *mesh.Roster
		gone, again []string
	}{
		{listed, true, alive, nil, nil},
		{map[string]kube.Node{"node1": {}}, true, alive, []string{"node2"}, nil},
		{map[string]kube.Node{"node1": {}}, true, alive, nil, nil},
		{map[string]kube.Node{"node1": {}}, true, dead, nil, []string{"node2"}},
		{map[string]kube.Node{"node1": {}}, false, dead, nil, []string{"node2"}},
		{listed, true, dead, nil, nil}, // it is back
	} {
		now = now.Add(time.Hour)
		gone, _, _ := book.update(step.nodes, step.current, step.roster, now)
		if again := book.late(step.roster, now); !slices.Equal(gone, step.gone) || !slices.Equal(again, step.again) {
			t.Errorf("step %d: gone %v, again %v, want %v, %v", i, gone, again, step.gone, step.again)
		}
	}
}

func TestAPodThatWasTerminatingLeavesUntilTheRosterForgetsIt(t *testing.T) {
	pod := func(name string, terminating bool) kube.Pod { return kube.Pod{Name: name, Terminating: terminating} }
	roster := &mesh.Roster{Agents: []mesh.Member{member("1", mesh.Dead), member("2", mesh.Alive)}}
	one, two := "netchecker-agent-1", "netchecker-agent-2"
	now := time.Now()
	leaving := leave(nil, []kube.Pod{pod(one, true), pod(two, false)}, roster, now)
	if leaving[one].IsZero() || !leaving[two].IsZero() {
		t.Errorf("while it terminates: %v", leaving)
	}
	later := now.Add(time.Minute)
	if leaving = leave(leaving, []kube.Pod{pod(two, false)}, roster, later); !leaving[one].Equal(now) || !leaving[two].IsZero() {
		t.Errorf("killed, and still known to gossip: %v, want it since %v", leaving, now)
	}
	roster.Agents = roster.Agents[1:]
	if leaving = leave(leaving, []kube.Pod{pod(two, false)}, roster, later); len(leaving) != 0 {
		t.Errorf("forgotten by all: %v", leaving)
	}
}

// Pods of a dead node terminate for ever: that must not hide for ever that it is dead.
func TestAnAgentDoesNotLeaveForLong(t *testing.T) {
	k := &kubernetes{}
	leaving := map[string]time.Time{"lately": time.Now(), "long ago": time.Now().Add(-leaveRemember - time.Second)}
	k.leaving.Store(&leaving)
	if got := k.leavers(); len(got) != 1 || !got["lately"] {
		t.Errorf("leaving %v, want only the one of lately", got)
	}
}

func TestANodeThatIsStillListedStaysExpected(t *testing.T) {
	k := &kubernetes{moved: make(chan struct{}, 1), last: map[mesh.Key]mesh.Member{}}
	both := &mesh.Roster{Agents: []mesh.Member{member("node1", mesh.Alive), member("node2", mesh.Left)}}
	none := &mesh.Roster{}
	listed := func(names ...string) {
		facts, zones := map[string]diagnose.NodeFacts{}, map[string]string{}
		for _, n := range names {
			facts[n], zones[n] = diagnose.NodeFacts{}, "z-"+n
		}
		k.nodes.Store(&facts)
		k.zones.Store(&zones)
	}
	if got := k.expect(both); len(got.Agents) != 2 || len(k.expect(none).Agents) != 0 {
		t.Errorf("without Kubernetes the roster is what gossip says: %+v", got)
	}
	listed("node1", "node2")
	if got := k.expect(both); got.Agents[0].Zone != "z-node1" || both.Agents[0].Zone != "" {
		t.Errorf("zone %q, in the shared roster %q", got.Agents[0].Zone, both.Agents[0].Zone)
	}
	for range 2 {
		got := k.expect(none)
		if len(got.Agents) != 2 || got.Agents[1].Node != "node2" || got.Agents[1].Life != mesh.Left {
			t.Fatalf("after gossip forgot them: %+v", got.Agents)
		}
	}
	listed("node1")
	if got := k.expect(none); len(got.Agents) != 1 || got.Agents[0].Node != "node1" {
		t.Errorf("after node2 was deleted: %+v", got.Agents)
	}
}

func TestAnswersSayThatThePodsAreTheLastKnown(t *testing.T) {
	var stale error
	face, err := api.New(api.Config{Store: store.NewMemory(), Matrix: mesh.NewMatrix(), Auth: api.AuthNone, Log: slog.New(slog.DiscardHandler),
		PodsStale: func(time.Time) error { return stale }})
	if err != nil {
		t.Fatal(err)
	}
	handler := face.Handler()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil))
		return w
	}
	for _, path := range []string{"/api/v1/agents/", "/api/v1/connectivity_check"} {
		if said := get(path).Header().Get(api.KubernetesErrorHeader); said != "" {
			t.Errorf("%s with a current list: %q", path, said)
		}
	}
	stale = errors.New("pods are those of 10:00 (5m0s ago): connection refused")
	for _, path := range []string{"/api/v1/agents/", "/api/v1/connectivity_check"} {
		if said := get(path).Header().Get(api.KubernetesErrorHeader); said != stale.Error() {
			t.Errorf("%s: %q", path, said)
		}
	}
	if w := get("/readyz"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), stale.Error()) {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}
}
