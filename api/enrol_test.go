package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
)

var (
	master      = []byte("a master secret that servers share")
	otherMaster = []byte("the master secret that comes next")
	ringKeys    = api.NewKeys([]byte("gossip key 16 by"))
)

// reviewer stands for Kubernetes: it knows tokens by their text.
type reviewer struct {
	mu     sync.Mutex
	tokens map[string]api.TokenHolder
	err    error
	asked  int
}

const account = "netcheck/netchecker-agent"

func newReviewer(agents ...mesh.Agent) *reviewer {
	r := &reviewer{tokens: map[string]api.TokenHolder{}}
	for _, a := range agents {
		r.tokens["token-"+a.Name] = api.TokenHolder{ServiceAccount: account, Pod: a.Name, UID: "uid-" + a.Name, Node: a.Node}
	}
	return r
}

func (r *reviewer) Review(_ context.Context, token, audience string) (api.TokenHolder, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.err != nil {
		return api.TokenHolder{}, r.err
	}
	holder, good := r.tokens[token]
	if !good || audience != "netchecker" {
		return holder, fmt.Errorf("%w: unknown", api.ErrTokenRefused)
	}
	return holder, nil
}

func (r *reviewer) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *reviewer) askedNow() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// serveKubernetes starts a server that enrols with r.
func serveKubernetes(t testing.TB, r api.Reviewer, change func(*api.Config), masters ...[]byte) *face {
	t.Helper()
	m, err := api.NewMasters(masters...)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, func(c *api.Config) {
		c.Auth, c.MeshKeys = api.AuthKubernetes, ringKeys
		c.Enrolment = api.Enrolment{Masters: m, Reviewer: r, Accounts: []string{account}}
		if change != nil {
			change(c)
		}
	})
}

// askEnrol posts one request as a member of the mesh does.
func askEnrol(f *face, keys *api.Keys, name string, r *api.EnrolRequest) (int, string, *api.EnrolAnswer) {
	body, err := json.Marshal(r)
	if err != nil {
		f.t.Fatal(err)
	}
	status, text := f.post("/api/v1/agents/"+name+"/enrol", string(body), api.SignatureHeader, keys.Sign(api.ForEnrol, name, 1, 0, body).String())
	out := &api.EnrolAnswer{}
	if status == 200 {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			f.t.Fatal(err)
		}
	}
	return status, text, out
}

// claim asks for the key and makes the request with the claim.
func claim(f *face, name string, c api.EnrolClaim) (*api.EnrolRequest, func(*api.EnrolAnswer) (*api.EnrolGrant, error)) {
	f.t.Helper()
	ask := api.NewChallenge()
	status, text, shown := askEnrol(f, ringKeys, name, ask)
	if status != 200 {
		f.t.Fatalf("challenge: %d %s", status, text)
	}
	if err := api.CheckServerKey(ringKeys, name, ask, shown); err != nil {
		f.t.Fatal(err)
	}
	r, open, err := api.SealClaim(name, shown, c)
	if err != nil {
		f.t.Fatal(err)
	}
	return r, open
}

func claimOf(a mesh.Agent) api.EnrolClaim {
	return api.EnrolClaim{Token: "token-" + a.Name, Node: a.Node, Network: a.Network.String()}
}

// granted is an agent with a key of its own.
type granted struct {
	keys *api.Keys
	id   api.Identity
}

func enrol(f *face, a mesh.Agent) granted {
	f.t.Helper()
	r, open := claim(f, a.Name, claimOf(a))
	status, text, answer := askEnrol(f, ringKeys, a.Name, r)
	if status != 200 {
		f.t.Fatalf("claim: %d %s", status, text)
	}
	grant, err := open(answer)
	if err != nil {
		f.t.Fatal(err)
	}
	return granted{api.NewKeys(grant.Secret), api.Identity{Name: a.Name, Agent: a.Key, UID: grant.UID}}
}

// header signs as the agent does.
func (g granted) header(p api.Purpose, boot, sequence uint64, body []byte) string {
	s := g.keys.Sign(p, g.id.Name, boot, sequence, body)
	s.Agent, s.UID = g.id.Agent, g.id.UID
	return s.String()
}

func (g granted) post(f *face, c *cluster, row *mesh.Row) (int, string) {
	body := c.encode(row, true)
	return f.post(rowPath(row.Source), string(body), api.SignatureHeader, g.header(api.ForRow, row.Source.Boot, row.Sequence, body))
}

func TestAnEnrolledAgentIsKnownByEveryServerAlsoWithoutKubernetes(t *testing.T) {
	c := newCluster(t, 2)
	a := c.agents[0]
	r := newReviewer(a)
	first := serveKubernetes(t, r, nil, master)
	key := enrol(first, a)
	if status, body := key.post(first, c, c.row(a, nil)); status != 200 {
		t.Fatalf("row: %d %s", status, body)
	}
	r.fail(errors.New("connection refused"))
	restarted := serveKubernetes(t, r, nil, master)
	if status, body := key.post(restarted, c, c.row(a, nil)); status != 200 {
		t.Errorf("after a restart without Kubernetes: %d %s", status, body)
	}
	body := []byte(`{"nodename":"node1","network":"pod"}`)
	if status, text := restarted.post("/api/v1/agents/"+a.Name, string(body), api.SignatureHeader, key.header(api.ForReport, a.Boot, 1, body)); status != 200 {
		t.Errorf("report: %d %s", status, text)
	}
	if rec, _ := restarted.store.Get(t.Context(), a.Name); rec == nil || !rec.Authenticated {
		t.Errorf("record %+v, want an authenticated one", rec)
	}
	r.fail(nil)
	if again := enrol(first, a); again.id != key.id {
		t.Errorf("enrolled anew as %+v, was %+v", again.id, key.id)
	}
	other := serveKubernetes(t, r, nil, otherMaster)
	status, text := key.post(other, c, c.row(a, nil))
	wantError(t, status, text, 401, "not signed with its key")
	rotated := serveKubernetes(t, r, nil, otherMaster, master)
	if status, text := key.post(rotated, c, c.row(a, nil)); status != 200 {
		t.Errorf("with the master as the previous one: %d %s", status, text)
	}
}

func TestAClaimIsBelievedOnlyAsFarAsItsTokenGoes(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.agents[0], c.agents[2]
	r := newReviewer(a, b)
	hold := func(token string, change func(*api.TokenHolder)) {
		h := r.tokens["token-"+a.Name]
		change(&h)
		r.tokens[token] = h
	}
	hold("unbound", func(h *api.TokenHolder) { h.Pod, h.UID = "", "" })
	hold("stranger", func(h *api.TokenHolder) { h.ServiceAccount = "default/default" })
	hold("elsewhere", func(h *api.TokenHolder) { h.Node = "node2" })
	hold("oldest", func(h *api.TokenHolder) { h.Node = "" })
	hold("no uid", func(h *api.TokenHolder) { h.UID = "" })
	pods := expected{{Name: a.Name, Key: a.Key, Due: true}}
	f := serveKubernetes(t, r, func(c *api.Config) { c.Expected = &pods }, master)
	for _, x := range []struct {
		name, agent string
		claim       api.EnrolClaim
		status      int
		words       []string
	}{
		{"forged or expired", a.Name, api.EnrolClaim{Token: "x", Node: "node1", Network: "pod"}, 403, []string{"token refused"}},
		{"of another pod", a.Name, api.EnrolClaim{Token: "token-" + b.Name, Node: "node1", Network: "pod"}, 403, []string{"of pod", b.Name}},
		{"bound to no pod", a.Name, api.EnrolClaim{Token: "unbound", Node: "node1", Network: "pod"}, 403, []string{"bound to no pod"}},
		{"of another service account", a.Name, api.EnrolClaim{Token: "stranger", Node: "node1", Network: "pod"}, 403, []string{"default/default", account}},
		{"of another node", a.Name, api.EnrolClaim{Token: "elsewhere", Node: "node1", Network: "pod"}, 403, []string{`of node "node2", not "node1"`}},
		{"another node claimed", a.Name, api.EnrolClaim{Token: "token-" + a.Name, Node: "node2", Network: "pod"}, 403, []string{`of node "node1", not "node2"`}},
		{"another network claimed", a.Name, api.EnrolClaim{Token: "token-" + a.Name, Node: "node1", Network: "host"}, 403, []string{"its pod is node1/pod"}},
		{"a pod without uid", a.Name, api.EnrolClaim{Token: "no uid", Node: "node1", Network: "pod"}, 403, []string{"pod uid is empty"}},
		{"an old Kubernetes, another node claimed", a.Name, api.EnrolClaim{Token: "oldest", Node: "node2", Network: "pod"}, 403, []string{"its pod is node1/pod"}},
		{"an old Kubernetes", a.Name, api.EnrolClaim{Token: "oldest", Node: "node1", Network: "pod"}, 200, nil},
		{"no network", a.Name, api.EnrolClaim{Token: "token-" + a.Name, Node: "node1"}, 400, []string{"want pod or host"}},
		{"a bad node", a.Name, api.EnrolClaim{Token: "token-" + a.Name, Node: "a b", Network: "pod"}, 400, []string{"not allowed"}},
		{"a pod not heard of yet", b.Name, claimOf(b), 200, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			request, _ := claim(f, x.agent, x.claim)
			status, text, _ := askEnrol(f, ringKeys, x.agent, request)
			if x.status == 200 {
				if status != 200 {
					t.Errorf("%d %s", status, text)
				}
				return
			}
			wantError(t, status, text, x.status, x.words...)
			if strings.Contains(text+f.log.String(), "token-") {
				t.Error("the token was told")
			}
		})
	}
	want := api.Enrolments{Enabled: true, Granted: 2}
	want.Refused[api.EnrolToken], want.Refused[api.EnrolIdentity], want.Refused[api.EnrolMalformed] = 1, 8, 2
	if e := f.server.Enrolments(); e != want {
		t.Errorf("counted %+v, want %+v", e, want)
	}
	r.fail(errors.New("connection refused"))
	request, _ := claim(f, a.Name, claimOf(a))
	status, text, _ := askEnrol(f, ringKeys, a.Name, request)
	wantError(t, status, text, 503, "Kubernetes cannot be asked", "connection refused")
	want.Refused[api.EnrolUnreviewed] = 1
	if e := f.server.Enrolments(); e != want {
		t.Errorf("counted %+v, want %+v", e, want)
	}
}

// expected is a list of pods that Kubernetes tells.
type expected []api.ExpectedPod

func (e *expected) Expected(time.Time) ([]api.ExpectedPod, error) { return *e, nil }

func TestWhatIsSealedIsForOneServerOneNameAndOnce(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.agents[0], c.agents[2]
	r := newReviewer(a, b)
	f := serveKubernetes(t, r, nil, master)
	request, open := claim(f, a.Name, claimOf(a))
	status, text, _ := askEnrol(f, ringKeys, b.Name, request)
	wantError(t, status, text, 403, "none that a server of this mesh made for this agent")
	status, text, answer := askEnrol(f, ringKeys, a.Name, request)
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if _, err := open(answer); err != nil {
		t.Error(err)
	}
	status, _, again := askEnrol(f, ringKeys, a.Name, request) // it says nothing new, and Kubernetes is not asked
	if status != 200 || !bytes.Equal(again.Sealed, answer.Sealed) {
		t.Errorf("the very claim once more: %d, another answer: %v", status, !bytes.Equal(again.Sealed, answer.Sealed))
	}
	altered := *request
	altered.Sealed = flip(request.Sealed, len(request.Sealed)-1)
	status, text, _ = askEnrol(f, ringKeys, a.Name, &altered)
	wantError(t, status, text, 403, "used before")

	late, _ := claim(f, a.Name, claimOf(a))
	f.pass(2 * time.Minute)
	status, text, _ = askEnrol(f, ringKeys, a.Name, late)
	wantError(t, status, text, 403, "made 2m0s ago")

	swapped, _ := claim(f, a.Name, claimOf(a))
	other, _ := claim(f, a.Name, claimOf(a))
	swapped.Ticket = other.Ticket
	status, text, _ = askEnrol(f, ringKeys, a.Name, swapped)
	wantError(t, status, text, 403, "sealed to a key that is none of this server's")

	stranger := serveKubernetes(t, r, nil, otherMaster)
	foreign, _ := claim(stranger, a.Name, claimOf(a))
	status, text, _ = askEnrol(f, ringKeys, a.Name, foreign)
	wantError(t, status, text, 403, "none that a server of this mesh made")

	request, open = claim(f, a.Name, claimOf(a))
	_, _, answer = askEnrol(f, ringKeys, a.Name, request)
	_, otherOpen := claim(f, a.Name, claimOf(a))
	if _, err := otherOpen(answer); err == nil {
		t.Error("a grant was opened by who had not asked for it")
	}
	for i := range answer.Sealed {
		bad := &api.EnrolAnswer{Sealed: flip(answer.Sealed, i)}
		if _, err := open(bad); err == nil {
			t.Fatalf("a grant altered at byte %d was opened", i)
		}
	}
	if r.askedNow() != 2 {
		t.Errorf("Kubernetes was asked %d times, want 2", r.askedNow())
	}
}

func TestTwoServersWithOneMasterOpenWhatWasSealedForTheOther(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	r := newReviewer(a)
	one, two := serveKubernetes(t, r, nil, master), serveKubernetes(t, r, nil, otherMaster, master)
	two.pass(-50 * time.Second) // their clocks differ
	request, open := claim(one, a.Name, claimOf(a))
	status, text, answer := askEnrol(two, ringKeys, a.Name, request)
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if _, err := open(answer); err != nil {
		t.Error(err)
	}
	request, _ = claim(one, a.Name, claimOf(a))
	two.pass(-30 * time.Second)
	status, text, _ = askEnrol(two, ringKeys, a.Name, request)
	wantError(t, status, text, 403, "ticket: made")
}
