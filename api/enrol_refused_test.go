package api_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
)

func TestStrangersDoNotEnrolAndCostNothing(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	r := newReviewer(a)
	f := serveKubernetes(t, r, nil, master)
	path := "/api/v1/agents/" + a.Name + "/enrol"
	sign := func(body string) string { return ringKeys.Sign(api.ForEnrol, a.Name, 1, 0, []byte(body)).String() }
	for _, x := range []struct {
		name, body, header string
		status             int
		words              []string
	}{
		{"no signature", `{}`, "", 401, []string{"signature"}},
		{"another mesh", `{}`, api.NewKeys(otherSecret).Sign(api.ForEnrol, a.Name, 1, 0, []byte(`{}`)).String(), 403, []string{"gossip keyring"}},
		{"a relay's signature", `{}`, ringKeys.Sign(api.ForRelay, a.Name, 1, 0, []byte(`{}`)).String(), 403, []string{"gossip keyring"}},
		{"garbage", `?`, sign(`?`), 400, []string{"invalid character"}},
		{"nothing", `{}`, sign(`{}`), 403, []string{"ticket of 0 bytes"}},
		{"a short challenge", `{"challenge":"AAAA"}`, sign(`{"challenge":"AAAA"}`), 400, []string{"challenge of 3 bytes, want 32"}},
		{"a huge body", strings.Repeat(" ", api.MaxEnrol+1), sign(""), 413, []string{"more than 16384 bytes"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			status, text := f.post(path, x.body, api.SignatureHeader, x.header)
			wantError(t, status, text, x.status, x.words...)
		})
	}
	status, text := f.post("/api/v1/agents/a%2Fb/enrol", "{}")
	wantError(t, status, text, 400, "agent name")
	for _, other := range []*face{serve(t, nil), serveSecret(t, secret)} {
		status, text := other.post(path, "{}", api.SignatureHeader, sign("{}"))
		wantError(t, status, text, 404, "enrols nobody")
	}
	if r.askedNow() != 0 {
		t.Error("Kubernetes was asked")
	}
}

func TestAFloodOfClaimsIsBounded(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	r := newReviewer(a)
	f := serveKubernetes(t, r, nil, master)
	full := 0
	for range 200 {
		request, _ := claim(f, a.Name, claimOf(a))
		status, text, _ := askEnrol(f, ringKeys, a.Name, request)
		if status == 503 {
			full++
			mustContain(t, text, "enrolments a second, come again in")
		}
	}
	if e := f.server.Enrolments(); e.Refused[api.EnrolBusy] != 100 || e.Waiting != 100 {
		t.Errorf("counted %+v, want 100 that wait", e)
	}
	request, _ := claim(f, a.Name, claimOf(a))
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	status, _, header := f.do("POST", "/api/v1/agents/"+a.Name+"/enrol", body, api.SignatureHeader, ringKeys.Sign(api.ForEnrol, a.Name, 1, 0, body).String())
	if after := header.Get("Retry-After"); status != 503 || after != "3" { // the 101st of 50 a second
		t.Errorf("%d, Retry-After %q, want 503 and 3", status, after)
	}
	f.pass(3 * time.Second)
	if status, text, _ := askEnrol(f, ringKeys, a.Name, request); status != 200 {
		t.Errorf("after the wait: %d %s", status, text)
	}
	if asked := r.askedNow(); full != 100 || asked != 101 { // the clock stands still
		t.Errorf("%d refused, Kubernetes was asked %d times, want 100 and 101", full, asked)
	}
	if strings.Contains(f.log.String(), "level=WARN") {
		t.Errorf("a crowd is nothing to warn of: %s", f.log.String())
	}
}

func TestWithoutRoomForBodiesAnAgentIsToldToComeAgain(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	f := serveKubernetes(t, newReviewer(a), nil, master)
	f.server.TakeBodyBudget()
	status, text, header := f.do("POST", "/api/v1/agents/"+a.Name+"/enrol", []byte("{}"), api.SignatureHeader, ringKeys.Sign(api.ForEnrol, a.Name, 1, 0, []byte("{}")).String())
	wantError(t, status, text, 503, "too many large bodies")
	if after := header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
	// Whoever sends a body may be a stranger: the turns of agents are not put off for it.
	if e := f.server.Enrolments(); e.Refused[api.EnrolBusy] != 1 || e.Refused[api.EnrolMalformed] != 0 || e.Waiting != 0 {
		t.Errorf("counted %+v, want one that was busy, and nobody in the queue", e)
	}
	if strings.Contains(f.log.String(), "level=WARN") {
		t.Errorf("nothing is wrong with the agent: %s", f.log.String())
	}
}

func TestAProvenNameHoldsForNodeNetworkAndAddress(t *testing.T) {
	c := newCluster(t, 2)
	a := c.agents[0]
	f := serveKubernetes(t, newReviewer(a), func(c *api.Config) {
		c.AllowUnsigned = true
		c.PodAddrs = func(name string) []netip.Addr {
			if name == a.Name {
				return []netip.Addr{a.IPv4, netip.MustParseAddr("10.244.1.77")}
			}
			return nil
		}
	}, master)
	key := enrol(f, a)
	moved := a
	moved.Key = mesh.Key{Node: "node2", Network: mesh.Pod}
	status, text := key.post(f, c, c.row(moved, nil))
	wantError(t, status, text, 403, "says it is node2/pod, its key is of node1/pod")
	away := a
	away.IPv4 = netip.MustParseAddr("10.9.9.9")
	status, text = key.post(f, c, c.row(away, nil))
	wantError(t, status, text, 403, "says it is at 10.9.9.9")
	liar := key
	liar.id.Agent.Node = "node2"
	status, text = liar.post(f, c, c.row(moved, nil))
	wantError(t, status, text, 401, "not signed with its key")
	for _, report := range []string{`{"nodename":"node2"}`, `{"nodename":"node1","network":"host"}`, `{}`} {
		status, text = f.post("/api/v1/agents/"+a.Name, report, api.SignatureHeader, key.header(api.ForReport, a.Boot, 1, []byte(report)))
		wantError(t, status, text, 403, "its key is of node1/pod")
	}
	if status, text := key.post(f, c, c.row(a, nil)); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	status, text = f.post("/api/v1/agents/"+a.Name, `{"nodename":"node1"}`)
	wantError(t, status, text, 403, "are signed, this one is not")
	restarted := a
	restarted.Boot, restarted.IPv4 = 2000, netip.MustParseAddr("10.244.1.77")
	if status, text := key.post(f, c, c.row(restarted, nil)); status != 200 {
		t.Errorf("the same pod with another address at once: %d %s", status, text)
	}
	if got := f.server.Conflicts(); len(got) != 0 {
		t.Errorf("conflicts %v: a proven name has none", got)
	}
}

func TestASharedSecretProvesNoIdentity(t *testing.T) {
	f, c := serveSecret(t, secret), newCluster(t, 2)
	a := c.agents[0]
	row := c.row(a, nil)
	body := c.encode(row, true)
	s := api.NewKeys(secret).Sign(api.ForRow, a.Name, a.Boot, row.Sequence, body)
	s.Agent, s.UID = a.Key, "uid"
	if status, text := f.post(rowPath(a), string(body), api.SignatureHeader, s.String()); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	second := a
	second.IPv4 = netip.MustParseAddr("10.9.9.9")
	row = c.row(second, nil)
	body = c.encode(row, true)
	s = api.NewKeys(secret).Sign(api.ForRow, a.Name, a.Boot, row.Sequence, body)
	s.Agent, s.UID = a.Key, "uid"
	status, text := f.post(rowPath(a), string(body), api.SignatureHeader, s.String())
	wantError(t, status, text, 403, "address conflict")
}
