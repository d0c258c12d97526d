package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/probe"
)

// oldReport is what the original agent posts.
func oldReport(pod, node string, interval int) string {
	return fmt.Sprintf(`{"report_interval":%d,"nodename":%q,"podname":%q,"hostdate":"2026-01-01T01:02:03.5+01:00","uptime":12345,`+
		`"nslookup":{"netchecker-service":["10.96.0.81"]},"ips":{"eth0":["10.244.1.2/24"],"lo":["127.0.0.1/8"]},`+
		`"network_probes":[{"URL":"http://netchecker-service:8081/api/v1/ping","ConnectionResult":1,"HTTPCode":200,"Total":7,`+
		`"ContentTransfer":1,"TCPConnection":2,"DNSLookup":3,"Connect":4,"ServerProcessing":5}],"zero_extender":[0,0,0],"new_field":{"x":[1]}}`,
		interval, node, pod)
}

func TestAnOldAgentsReportComesBackAsItWasWithTheServersTime(t *testing.T) {
	f := serve(t, nil)
	status, body, header := f.do(http.MethodPost, "/api/v1/agents/netchecker-agent-x1", []byte(oldReport("netchecker-agent-x1", "node1", 60)))
	if status != http.StatusOK || body != "" || header.Get("Content-Length") != "0" {
		t.Fatalf("POST: %d %q, Content-Length %q", status, body, header.Get("Content-Length"))
	}
	want := `{"report_interval":60,"nodename":"node1","podname":"netchecker-agent-x1","hostdate":"2026-01-01T01:02:03.5+01:00",` +
		`"last_updated":"2026-01-01T00:00:00Z","nslookup":{"netchecker-service":["10.96.0.81"]},` +
		`"network_probes":[{"URL":"http://netchecker-service:8081/api/v1/ping","ConnectionResult":1,"HTTPCode":200,"Total":7,` +
		`"ContentTransfer":1,"TCPConnection":2,"DNSLookup":3,"Connect":4,"ServerProcessing":5}],` +
		`"ips":{"eth0":["10.244.1.2/24"],"lo":["127.0.0.1/8"]},"uptime":12345}`
	if status, body := f.get("/api/v1/agents/netchecker-agent-x1"); status != http.StatusOK || body != want {
		t.Errorf("GET: %d\n%s\nwant\n%s", status, body, want)
	}
	for _, path := range []string{"/api/v1/agents/", "/api/v1/agents"} {
		if status, body := f.get(path); status != http.StatusOK || body != `{"netchecker-agent-x1":`+want+`}` {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
}

func TestTheClientsOwnLastUpdatedIsIgnored(t *testing.T) {
	f := serve(t, nil)
	f.post("/api/v1/agents/a", `{"podname":"a","last_updated":"2099-01-01T00:00:00Z"}`)
	_, body := f.get("/api/v1/agents/a")
	mustContain(t, body, `"last_updated":"2026-01-01T00:00:00Z"`)
}

func TestUnknownAgentIs404AndNoAgentsAreAnEmptyObject(t *testing.T) {
	f := serve(t, nil)
	if status, body := f.get("/api/v1/agents/nobody"); status != http.StatusNotFound {
		t.Errorf("%d %s", status, body)
	}
	if status, body := f.get("/api/v1/agents/"); status != http.StatusOK || body != "{}" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := f.get("/api/v1/ping"); status != http.StatusOK || body != "" {
		t.Errorf("ping: %d %q", status, body)
	}
}

// pods is a Kubernetes of fixed pods.
type pods struct {
	list []api.ExpectedPod
	err  error
}

func (p *pods) Expected(time.Time) ([]api.ExpectedPod, error) { return slices.Clone(p.list), p.err }

func TestConnectivityCheckAnswersLetterByLetter(t *testing.T) {
	kube := &pods{list: []api.ExpectedPod{{Name: "a", Due: true}, {Name: "b", Due: true}, {Name: "young"}}}
	f := serve(t, func(c *api.Config) { c.Expected = kube })
	check := func(what string, wantStatus int, want string) {
		t.Helper()
		status, body, header := f.do(http.MethodGet, "/api/v1/connectivity_check", nil)
		if status != wantStatus || body != want || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s\nwant %d %s", what, status, body, wantStatus, want)
		}
	}
	f.pass(71 * time.Second) // before that a restarted server cannot know
	const bad = `{"Message":"Connectivity check fails. Reason: there are absent or outdated pods; look up the payload",`
	check("nobody reported", 400, bad+`"Absent":["a","b"],"Outdated":[]}`)
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	f.pass(61 * time.Second)
	check("b is absent", 400, bad+`"Absent":["b"],"Outdated":[]}`)
	f.post("/api/v1/agents/b", oldReport("b", "n2", 60))
	check("both reported", 200, `{"Message":"All 2 pods successfully reported back to the server","Absent":null,"Outdated":null}`)
	f.pass(59 * time.Second)
	check("a is two intervals old to the second", 200, `{"Message":"All 2 pods successfully reported back to the server","Absent":null,"Outdated":null}`)
	f.pass(time.Second)
	check("a is older", 400, bad+`"Absent":[],"Outdated":["a"]}`)
	f.pass(1000 * time.Hour)
	check("an expected agent is outdated for ever, never forgotten", 400, bad+`"Absent":[],"Outdated":["a","b"]}`)
	f.post("/api/v1/agents/young", oldReport("young", "n3", 60))
	f.post("/api/v1/agents/b", oldReport("b", "n2", 60))
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	check("who is not due yet but reported counts", 200, `{"Message":"All 3 pods successfully reported back to the server","Absent":null,"Outdated":null}`)
	kube.err = errors.New("connection refused")
	check("nobody knows", 500, `{"error":"Error occurred while checking the agents. Details: connection refused"}`+"\n")
	if status, body := f.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d %s", status, body)
	}
}

func TestVanishedPodsRecordsAreRemovedAndOnlyThose(t *testing.T) {
	kube := &pods{list: []api.ExpectedPod{{Name: "stays", Due: true}, {Name: "goes", Due: true}}}
	f := serve(t, func(c *api.Config) { c.Expected = kube })
	for _, name := range []string{"stays", "goes", "early"} {
		f.post("/api/v1/agents/"+name, oldReport(name, "n1", 60))
	}
	if _, body := f.get("/api/v1/agents/"); len(keys(t, body)) != 2 {
		t.Errorf("a pod that Kubernetes does not list is listed: %s", body)
	}
	kube.list = kube.list[:1]
	if got := keys(t, second(f.get("/api/v1/agents/"))); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("listed %v", got)
	}
	f.pass(2 * time.Minute)
	f.post("/api/v1/agents/early", oldReport("early", "n1", 60)) // its pod is not in the list yet
	kube.err = errors.New("timeout")
	if err := f.server.Sweep(context.Background()); err == nil {
		t.Error("a sweep without knowledge says nothing")
	}
	if _, err := f.server.AgentSeries(context.Background()); !errors.Is(err, api.ErrPodsUnknown) {
		t.Errorf("series without knowledge: %v", err)
	}
	kube.err = nil
	if err := f.server.Sweep(context.Background()); err != nil {
		t.Error(err)
	}
	all, _ := f.store.All(context.Background())
	if len(all) != 2 || all[0].Name != "early" || all[1].Name != "stays" {
		t.Errorf("left: %v", all)
	}
}

func second(_ int, s string) string { return s }

func keys(t *testing.T, body string) (out []string) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func TestWithoutKubernetesTheRosterAndRecentReportsAreExpected(t *testing.T) {
	f := serve(t, func(c *api.Config) { c.ReportTTL = 10 * time.Minute })
	c := newCluster(t, 1)
	f.setRoster(c.registry.Roster())
	if status, body := f.get("/api/v1/connectivity_check"); status != 200 {
		t.Errorf("agents are new for two intervals: %d %s", status, body)
	}
	f.post("/api/v1/agents/netchecker-agent-old", oldReport("netchecker-agent-old", "node9", 30))
	f.pass(121 * time.Second)
	status, body := f.get("/api/v1/connectivity_check")
	mustContain(t, body, `"Absent":["agent-host-1","agent-pod-1"],"Outdated":["netchecker-agent-old"]`)
	if status != 400 {
		t.Errorf("status %d", status)
	}
	f.post("/api/v1/agents/agent-host-1", oldReport("agent-host-1", "node1", 60))
	f.post("/api/v1/agents/agent-pod-1", oldReport("agent-pod-1", "node1", 60))
	f.pass(10 * time.Minute)
	status, body = f.get("/api/v1/connectivity_check")
	if status != 400 {
		t.Errorf("status %d", status)
	}
	mustContain(t, body, `"Absent":[],"Outdated":["agent-host-1","agent-pod-1"]`)
	c.registry.Left("agent-pod-1", f.clock())
	f.setRoster(c.registry.Roster())
	_, body = f.get("/api/v1/connectivity_check")
	mustContain(t, body, `"Outdated":["agent-host-1"]`)
}

func TestAReplacedPodIsNotOutdated(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 1)
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		f.post("/api/v1/agents/"+a.Name, fmt.Sprintf(`{"report_interval":60,"nodename":%q,"podname":%q,"network":%q}`, a.Node, a.Name, a.Network))
	}
	f.pass(time.Minute)
	fresh := c.agents[0]
	fresh.Name, fresh.Boot = "agent-pod-1-new", 2000
	c.registry.Alive(fresh, f.clock())
	c.registry.Left(c.agents[0].Name, f.clock())
	f.setRoster(c.registry.Roster())
	f.post("/api/v1/agents/agent-host-1", `{"report_interval":60,"nodename":"node1","podname":"agent-host-1","network":"host"}`)
	f.post("/api/v1/agents/agent-pod-1-new", `{"report_interval":60,"nodename":"node1","podname":"agent-pod-1-new","network":"pod"}`)
	f.pass(115 * time.Second)
	if status, body := f.get("/api/v1/connectivity_check"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if got := keys(t, second(f.get("/api/v1/agents/"))); !slices.Equal(got, []string{"agent-host-1", "agent-pod-1-new"}) {
		t.Errorf("listed %v", got)
	}
}

func TestMatrixTrueAlsoChecksThePaths(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 2)
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		if status, body := f.post(rowPath(a), string(c.encode(c.row(a, nil), true))); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, body := f.get("/api/v1/connectivity_check?matrix=true"); status != 200 {
		t.Errorf("healthy: %d %s", status, body)
	}
	f.post(rowPath(c.agents[0]), string(c.encode(c.row(c.agents[0], func(mesh.Key) [probe.Kinds]probe.Status { return lost(time.Second) }), false)))
	status, body := f.get("/api/v1/connectivity_check?matrix=true")
	if want := `{"Message":"Connectivity check fails. Reason: 3 paths are failing; look up /api/v1/matrix","Absent":null,"Outdated":null}`; status != 400 || body != want {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := f.get("/api/v1/connectivity_check"); status != 200 {
		t.Errorf("without matrix=true: %d", status)
	}
	status, body = f.get("/api/v1/connectivity_check?matrix=maybe")
	mustContain(t, body, `"error"`, "true or false")
	if status != 400 {
		t.Errorf("status %d", status)
	}
}
