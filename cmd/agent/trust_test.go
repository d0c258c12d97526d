package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/api"
	"netchecker/cmd/agent"
	"netchecker/cmd/server"
	"netchecker/mesh"
)

// kubernetes reviews the tokens of the test's agents, until it is broken.
type kubernetes struct {
	mu     sync.Mutex
	pods   map[string]api.TokenHolder
	broken bool
}

// Review implements api.Reviewer.
func (k *kubernetes) Review(_ context.Context, token, audience string) (api.TokenHolder, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pod, known := k.pods[token]
	switch {
	case k.broken:
		return pod, errors.New("connection refused")
	case !known || audience != api.TokenAudience:
		return pod, api.ErrTokenRefused
	}
	return pod, nil
}

func (k *kubernetes) setBroken(broken bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = broken
}

// secretMount is a mounted Secret: the kubelet puts a new directory beside the old and swaps a link.
type secretMount struct {
	dir     string
	version int
}

func (m *secretMount) put(t *testing.T, files map[string]string) {
	t.Helper()
	m.version++
	version := fmt.Sprintf("..%d", m.version)
	if err := os.Mkdir(filepath.Join(m.dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.dir, version, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Symlink("..data/"+name, filepath.Join(m.dir, name)) // the first time
	}
	os.Symlink(version, filepath.Join(m.dir, "..tmp"))
	if err := os.Rename(filepath.Join(m.dir, "..tmp"), filepath.Join(m.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func (m *secretMount) file(name string) string { return filepath.Join(m.dir, name) }

// trusted is a mesh whose agents enrol, in this process.
type trusted struct {
	t    *testing.T
	kube *kubernetes
	keys secretMount
	log  *slog.Logger
	said *syncBuffer

	agents errgroup.Group
	ctx    context.Context
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const (
	firstKey  = "MDEyMzQ1Njc4OWFiY2RlZg==\n"
	secondKey = "ZmVkY2JhOTg3NjU0MzIxMA==\n"
	masterKey = "the master secret of one test\n"
)

func newTrusted(t *testing.T) *trusted {
	ctx, cancel := context.WithCancel(t.Context())
	m := &trusted{t: t, kube: &kubernetes{pods: map[string]api.TokenHolder{}}, keys: secretMount{dir: t.TempDir()}, ctx: ctx, said: &syncBuffer{}}
	m.log = slog.New(slog.NewTextHandler(m.said, nil))
	m.keys.put(t, map[string]string{"gossip-key": firstKey, "master-key": masterKey})
	t.Cleanup(func() {
		cancel()
		if err := m.agents.Wait(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return m
}

// endpoint is where the server with the number listens.
func endpoint(number byte) string { return loopback(number).String() + ":18081" }

// server starts the server with the number and returns what kills it: no farewell, no leave.
func (m *trusted) server(number byte, change func(*server.Config)) (stop func()) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.ctx)
	cfg := server.Default
	cfg.Endpoint, cfg.Node, cfg.Pod = endpoint(number), "node1", fmt.Sprintf("server-%d", number)
	cfg.IPv4, cfg.GossipPort, cfg.BindAdvertised = loopback(number), 18096, true
	cfg.MasterFile, cfg.GossipKeyFile, cfg.Log = m.keys.file("master-key"), m.keys.file("gossip-key"), m.log
	cfg.Reviewer, cfg.AgentAccounts = m.kube, []string{"netcheck/agent"}
	cfg.Join = []string{loopback(11).String() + ":18096"}
	if change != nil {
		change(&cfg)
	}
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	cfg.Listening = func(a net.Addr) { listening <- a }
	m.agents.Go(func() error {
		err := server.Run(ctx, cfg)
		ended <- err
		return err
	})
	select {
	case <-listening:
	case err := <-ended:
		m.t.Fatalf("server %d: %v", number, err)
	}
	return func() {
		cancel()
		<-ended
	}
}

// agent starts the agent with the number: two of them make a node.
func (m *trusted) agent(number int, change func(*agent.Config)) {
	m.t.Helper()
	cfg := agent.Default
	cfg.Node, cfg.Network = fmt.Sprintf("node%d", 1+number/2), mesh.Network(number%2)
	cfg.Pod = fmt.Sprintf("agent-%d", number)
	cfg.IPv4, cfg.MTU = loopback(byte(11+number)), 1500
	cfg.ProbePort, cfg.GossipPort, cfg.BindAdvertised = 18095, 18096, true
	cfg.Join, cfg.ServerEndpoint = []string{loopback(11).String() + ":18096"}, endpoint(8)
	cfg.TokenFile, cfg.GossipKeyFile, cfg.Log = filepath.Join(m.t.TempDir(), "token"), m.keys.file("gossip-key"), m.log
	cfg.LameDuck, cfg.ReportInterval = 100*time.Millisecond, time.Second
	token := "token of " + cfg.Pod
	if err := os.WriteFile(cfg.TokenFile, []byte(token+"\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.kube.mu.Lock()
	m.kube.pods[token] = api.TokenHolder{ServiceAccount: "netcheck/agent", Pod: cfg.Pod, UID: "uid-" + cfg.Pod, Node: cfg.Node}
	m.kube.mu.Unlock()
	if change != nil {
		change(&cfg)
	}
	m.agents.Go(func() error { return agent.Run(m.ctx, cfg) })
}

// whole waits until a server shows all paths of the agents ok and has a report of each.
func (m *trusted) whole(number byte, agents int) {
	m.t.Helper()
	at := "http://" + endpoint(number)
	get(m.t, at+"/api/v1/matrix", func(_ int, body []byte) bool {
		state, total, ok, _ := counts(body)
		return state == "ok" && total == agents*(agents-1) && ok == total
	})
	get(m.t, at+"/api/v1/connectivity_check", func(status int, body []byte) bool {
		return status == 200 && strings.Contains(string(body), fmt.Sprintf("All %d pods", agents))
	})
}

func TestTwoServersAnswerAlikeAndOneMayDie(t *testing.T) {
	m := newTrusted(t)
	stopFirst := m.server(8, nil)
	m.server(9, nil)
	for i := range 4 {
		m.agent(i, nil)
	}
	m.whole(8, 4)
	m.whole(9, 4)

	m.kube.setBroken(true) // all agents are known from now on, or not at all
	stopFirst()
	for range 20 { // nothing is lost meanwhile, not for one reading
		time.Sleep(250 * time.Millisecond)
		res, err := http.Get("http://" + endpoint(9) + "/api/v1/matrix")
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		body.ReadFrom(res.Body)
		res.Body.Close()
		if state, total, ok, _ := counts(body.Bytes()); state != "ok" || total != 12 || ok != 12 {
			t.Errorf("%s, %d of %d paths ok while one of two servers is away", state, ok, total)
		}
	}
	m.whole(9, 4)
	m.server(8, nil)
	m.whole(8, 4)
	if got := strings.Count(m.said.String(), "msg=\"agent enrolled\""); got < 4 || got > 8 {
		t.Errorf("%d enrolments of 4 agents at 2 servers: %s", got, m.said.String())
	}
}

func TestTheGossipKeyIsReplacedWithoutARestart(t *testing.T) {
	m := newTrusted(t)
	m.server(8, nil)
	for i := range 4 {
		m.agent(i, nil)
	}
	m.whole(8, 4)
	master := "the next master secret\n" + masterKey
	for _, ring := range []string{firstKey + secondKey, secondKey + firstKey, secondKey} {
		m.keys.put(t, map[string]string{"gossip-key": ring, "master-key": master})
		time.Sleep(12 * time.Second) // everybody looks every 10 s
		m.whole(8, 4)
	}
	// They would get along with the first key as well, had they missed the change. Who comes now knows
	// the second only, for gossip, for probes and for its enrolment.
	m.agent(4, nil)
	m.agent(5, nil)
	m.whole(8, 6)
	m.agent(6, func(c *agent.Config) {
		c.GossipKeyFile = filepath.Join(t.TempDir(), "old")
		if err := os.WriteFile(c.GossipKeyFile, []byte(firstKey), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); !strings.Contains(m.said.String(), "another gossip keyring"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("an agent with the old key alone: %s", m.said.String())
		}
	}
	m.whole(8, 6)
}

func TestAnAgentThatMayNotEnrolSaysWhyAndReportsNothing(t *testing.T) {
	m := newTrusted(t)
	m.server(8, nil)
	m.agent(0, nil)
	m.agent(1, func(c *agent.Config) { // it claims to be on another node than its token says
		c.Node = "node2"
	})
	get(t, "http://"+endpoint(8)+"/api/v1/agents/", func(_ int, body []byte) bool {
		var all map[string]any
		return json.Unmarshal(body, &all) == nil && len(all) == 1 && all["agent-0"] != nil
	})
	for deadline := time.Now().Add(time.Minute); !strings.Contains(m.said.String(), `of node \"node1\", not \"node2\"`); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(m.said.String())
		}
	}
	if strings.Contains(m.said.String(), "token of agent") {
		t.Errorf("a token was told: %s", m.said.String())
	}
}
