package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/client"
	"netchecker/mesh"
)

var (
	master      = []byte("a master secret that servers share")
	otherMaster = []byte("the master secret that comes next")
)

// kubernetes stands for the API server: one good token, until it is broken.
type kubernetes struct {
	broken atomic.Bool
	asked  atomic.Int32
}

func (k *kubernetes) Review(_ context.Context, token, _ string) (api.TokenHolder, error) {
	k.asked.Add(1)
	if k.broken.Load() {
		return api.TokenHolder{}, errors.New("connection refused")
	}
	if token != "good token" {
		return api.TokenHolder{}, fmt.Errorf("%w: has expired", api.ErrTokenRefused)
	}
	return api.TokenHolder{ServiceAccount: "ns/agent", Pod: "agent-pod-1", UID: "uid-1", Node: "node1"}, nil
}

// newKube is a whole server on 127.0.0.1 that enrols.
func newKube(t *testing.T, k *kubernetes, masters ...[]byte) (*api.Server, *api.Masters, string) {
	t.Helper()
	m, err := api.NewMasters(masters...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Config{Store: &memory{}, Matrix: mesh.NewMatrix(), Auth: api.AuthKubernetes, MeshKeys: keys, Log: quiet,
		Enrolment: api.Enrolment{Masters: m, Reviewer: k, Accounts: []string{"ns/agent"}}})
	if err != nil {
		t.Fatal(err)
	}
	return s, m, listen(t, s.Handler())
}

// newAgent is a client that enrols with the token in text, and its log.
func newAgent(t *testing.T, token *atomic.Pointer[string]) (*client.Client, *lines) {
	t.Helper()
	log := &lines{}
	return newClient(t, func(c *client.Config) {
		c.Keys, c.Agent = nil, mesh.Key{Node: "node1"}
		c.Token = func() (string, error) { return *token.Load(), nil }
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	}), log
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), word)
}

func tokenOf(text string) *atomic.Pointer[string] {
	p := &atomic.Pointer[string]{}
	p.Store(&text)
	return p
}

func TestAnAgentEnrolsOnceForAllServers(t *testing.T) {
	k := &kubernetes{}
	s1, _, one := newKube(t, k, master)
	s2, _, two := newKube(t, k, master)
	c, log := newAgent(t, tokenOf("good token"))
	for seq := range uint64(3) {
		if _, _, err := post(t, c, one, nil, 1+seq); err != nil {
			t.Fatal(err)
		}
	}
	k.broken.Store(true) // from now on it must do without
	if _, _, err := post(t, c, two, nil, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PostReport(t.Context(), two, nil, 1, []byte(`{"nodename":"node1"}`)); err != nil {
		t.Fatal(err)
	}
	if k.asked.Load() != 1 || s1.Rows().Accepted != 3 || s2.Rows().Accepted != 1 || s2.Reports().Accepted != 1 {
		t.Errorf("asked %d times, %d and %d rows, %d reports", k.asked.Load(), s1.Rows().Accepted, s2.Rows().Accepted, s2.Reports().Accepted)
	}
	if log.count("enrolled") != 1 {
		t.Errorf("log: %s", log.b.String())
	}
}

func TestManyMessagesAtOnceEnrolOnce(t *testing.T) {
	k := &kubernetes{}
	_, _, at := newKube(t, k, master)
	c, _ := newAgent(t, tokenOf("good token"))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := c.PostReport(t.Context(), at, nil, uint64(1+i), []byte(`{"nodename":"node1"}`)); err != nil && !strings.Contains(err.Error(), "taken before") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if k.asked.Load() != 1 {
		t.Errorf("asked %d times", k.asked.Load())
	}
}

func TestAServerThatDoesNotKnowTheKeyMakesTheAgentEnrolAnew(t *testing.T) {
	k := &kubernetes{}
	s, m, at := newKube(t, k, master)
	c, _ := newAgent(t, tokenOf("good token"))
	if _, _, err := post(t, c, at, nil, 1); err != nil {
		t.Fatal(err)
	}
	for i, masters := range [][][]byte{{master, otherMaster}, {otherMaster, master}} {
		if err := m.Replace(masters...); err != nil {
			t.Fatal(err)
		}
		if _, _, err := post(t, c, at, nil, 2+uint64(i)); err != nil || k.asked.Load() != 1 {
			t.Fatalf("rotation, step %d: %v, asked %d times", i, err, k.asked.Load())
		}
	}
	if err := m.Replace(otherMaster); err != nil {
		t.Fatal(err)
	}
	_, _, err := post(t, c, at, nil, 4)
	if err == nil || !strings.Contains(err.Error(), "not signed with its key") || k.asked.Load() != 1 {
		t.Errorf("right after a grant the server is not asked again: %v, asked %d times", err, k.asked.Load())
	}
	c.ForgetEnrolment(at)
	if _, _, err := post(t, c, at, nil, 5); err != nil {
		t.Error(err)
	}
	if k.asked.Load() != 2 || s.Rows().Accepted != 4 {
		t.Errorf("asked %d times, %d rows", k.asked.Load(), s.Rows().Accepted)
	}
}

func TestWhatKeepsAnAgentFromEnrollingIsSaidOnceAndTriedAgain(t *testing.T) {
	k := &kubernetes{}
	_, _, at := newKube(t, k, master)
	token := tokenOf("old token")
	c, log := newAgent(t, token)
	for seq := range uint64(5) {
		if _, _, err := post(t, c, at, nil, 1+seq); err == nil || !strings.Contains(err.Error(), "has expired") || strings.Contains(err.Error(), "old token") {
			t.Errorf("row %d: %v", seq, err)
		}
	}
	if k.asked.Load() != 1 || log.count("not enrolled") != 1 {
		t.Errorf("asked %d times: %s", k.asked.Load(), log.b.String())
	}
	k.broken.Store(true)
	c.ForgetEnrolment(at)
	if _, _, err := post(t, c, at, nil, 6); err == nil || !strings.Contains(err.Error(), "Kubernetes cannot be asked") {
		t.Error(err)
	}
	k.broken.Store(false)
	fresh := "good token" // the kubelet rotated it
	token.Store(&fresh)
	deadline := time.Now().Add(time.Minute)
	for seq := uint64(7); ; seq++ { // by itself, after the wait
		if _, _, err := post(t, c, at, nil, seq); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if log.count("not enrolled") != 2 || log.count("msg=enrolled") != 1 {
		t.Errorf("log: %s", log.b.String())
	}
}

func TestEnrolmentGoesThroughAPeerThatLearnsNothing(t *testing.T) {
	k := &kubernetes{}
	s, _, at := newKube(t, k, master)
	c, _ := newAgent(t, tokenOf("good token"))
	var seen bytes.Buffer
	relay, _ := newPeer(t, "node2", at)
	peer := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(&seen, "%s %v %s\n", r.URL, r.Header, body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		relay.ServeHTTP(w, r)
	}))
	breakWay(t, c, at, false)
	if _, way, err := post(t, c, at, []string{peer}, 1); err != nil || way.Via != peer {
		t.Fatalf("%v, %v", way, err)
	}
	if s.Rows().Relayed != 1 || s.Enrolments().Granted != 1 || relay.Stats().Done != 3 {
		t.Errorf("rows %+v, enrolments %+v, relay %+v", s.Rows(), s.Enrolments(), relay.Stats())
	}
	if text := seen.String(); strings.Contains(text, "good token") || strings.Count(text, "purpose=enrol") != 2 {
		t.Errorf("the peer saw %s", text)
	}
}

func TestWhoStandsBetweenIsNotShownTheToken(t *testing.T) {
	k := &kubernetes{}
	_, _, at := newKube(t, k, master)
	own, err := api.NewMasters(otherMaster)
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := api.New(api.Config{Store: &memory{}, Matrix: mesh.NewMatrix(), Auth: api.AuthKubernetes, Log: quiet,
		MeshKeys: api.NewKeys([]byte("a keyring of somebody else's")), Enrolment: api.Enrolment{Masters: own, Reviewer: k}})
	if err != nil {
		t.Fatal(err)
	}
	honest := func(body []byte) *api.EnrolAnswer { // what the server says to a challenge
		r, err := http.NewRequest("POST", "http://"+at+"/api/v1/agents/agent-pod-1/enrol", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(api.SignatureHeader, keys.Sign(api.ForEnrol, "agent-pod-1", 1000, 0, body).String())
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		a := &api.EnrolAnswer{}
		if err := json.NewDecoder(resp.Body).Decode(a); err != nil || len(a.Key) == 0 {
			t.Fatalf("%+v, %v", a, err)
		}
		return a
	}
	challenge, err := json.Marshal(api.NewChallenge())
	if err != nil {
		t.Fatal(err)
	}
	old := honest(challenge)
	between := func(answer func(body []byte) *api.EnrolAnswer) string {
		return listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if bytes.Contains(body, []byte("sealed")) {
				t.Error("a claim was shown")
			}
			json.NewEncoder(w).Encode(answer(body))
		}))
	}
	for name, x := range map[string]struct{ at, err string }{
		"a key of his own": {between(func(body []byte) *api.EnrolAnswer {
			a := honest(body)
			a.Key = bytes.Repeat([]byte{9}, 32)
			return a
		}), "somebody stands between"},
		"an answer to an earlier challenge": {between(func([]byte) *api.EnrolAnswer { return old }), "somebody stands between"},
		"no proof": {between(func(body []byte) *api.EnrolAnswer {
			a := honest(body)
			a.Proof = ""
			return a
		}), "server's key: signature"},
		"no key":            {between(func([]byte) *api.EnrolAnswer { return &api.EnrolAnswer{} }), "server's key: 0 bytes"},
		"a server of his":   {listen(t, impostor.Handler()), "another gossip keyring"},
		"nothing but noise": {listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("noise")) })), "invalid character"},
	} {
		c, _ := newAgent(t, tokenOf("good token"))
		if _, _, err := post(t, c, x.at, nil, 1); err == nil || !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s: %v, want %q", name, err, x.err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if k.asked.Load() != 0 {
		t.Error("a token was shown")
	}
}

func TestAServerThatEnrolsNobodyGetsUnsignedMessages(t *testing.T) {
	s, err := api.New(api.Config{Store: &memory{}, Matrix: mesh.NewMatrix(), Auth: api.AuthNone, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	at := listen(t, s.Handler())
	c, log := newAgent(t, tokenOf("good token"))
	for seq := range uint64(3) {
		if _, _, err := post(t, c, at, nil, 1+seq); err != nil {
			t.Fatal(err)
		}
	}
	if s.Rows().Accepted != 3 || log.count("enrols nobody") != 1 {
		t.Errorf("%d rows: %s", s.Rows().Accepted, log.b.String())
	}
	_, secret := newServer(t)
	if _, _, err := post(t, c, secret, nil, 4); err == nil || !strings.Contains(err.Error(), "-auth secret") {
		t.Errorf("a server that wants a secret: %v", err)
	}
}

// TestAnAgentComesAgainWhenItIsTold, however it asked.
func TestAnAgentComesAgainWhenItIsTold(t *testing.T) {
	const wait = 3 * time.Second
	k := &kubernetes{}
	s, _, _ := newKube(t, k, master)
	var mu sync.Mutex
	var claims []time.Time
	busy := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		if bytes.Contains(body, []byte("sealed")) {
			if claims = append(claims, time.Now()); len(claims) == 1 {
				w.Header().Set("Retry-After", "3")
				http.Error(w, `{"error":"come again in 3s"}`, http.StatusServiceUnavailable)
				return
			}
		}
		s.Handler().ServeHTTP(w, r)
	}))
	seq := uint64(0)
	for _, relayed := range []bool{false, true} {
		claims = nil
		c, _ := newAgent(t, tokenOf("good token"))
		var peers []string
		if relayed {
			_, peer := newPeer(t, "node2", busy)
			peers = []string{peer}
			breakWay(t, c, busy, false)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			seq++
			_, _, err := post(t, c, busy, peers, seq)
			if err == nil {
				break
			}
			if !strings.Contains(err.Error(), "come again in 3s") || time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if len(claims) != 2 || claims[1].Sub(claims[0]) < wait {
			t.Errorf("relayed %v: claims at %v, want 2, %v apart", relayed, claims, wait)
		}
	}
}
