package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/test/kube/cluster"
)

// matrix is what a test reads of GET /api/v1/matrix.
type matrix struct {
	State string
	Nodes []struct {
		Name   string
		Agents map[string]struct {
			Name, Address, State string
			Services             []service
		}
	}
	Pairs []pair
	// Findings as they are, for messages.
	Findings []json.RawMessage
}

type service struct {
	Name, Kind, Address, State, Error string
}

type pair struct {
	Source, Destination, Path, State string
	Probes                           map[string]struct{ State, Error string }
}

func (p pair) String() string {
	var why []string
	for _, name := range []string{"udp", "mtu", "tcp"} {
		if s := p.Probes[name]; s.State != "ok" {
			why = append(why, strings.TrimSpace(name+" "+s.State+" "+s.Error))
		}
	}
	return fmt.Sprintf("%s %s>%s %s (%s)", p.Path, p.Source, p.Destination, p.State, strings.Join(why, ", "))
}

// get asks the server through the node port of the first node that answers: the API should not
// depend on which of them a fault has.
func (w *world) get(ctx context.Context, path string) (status int, body string, err error) {
	for _, n := range w.Nodes {
		if status, body, err = w.getVia(ctx, n, path); err == nil {
			return status, body, nil
		}
	}
	return status, body, err
}

// getVia asks through the node port of one node.
func (w *world) getVia(ctx context.Context, n *cluster.Node, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return fetch(ctx, w.HTTP(), fmt.Sprintf("http://%s:%d%s", n.Address, w.port, path))
}

func fetch(ctx context.Context, client *http.Client, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// matrix reads every path.
func (w *world) matrix(ctx context.Context) (*matrix, error) {
	status, body, err := w.get(ctx, "/api/v1/matrix?state=all")
	if err != nil {
		return nil, err
	}
	if status != 200 {
		return nil, fmt.Errorf("matrix: %d: %s", status, body)
	}
	m := &matrix{}
	return m, json.Unmarshal([]byte(body), m)
}

// awaitAllOK waits until every path there should be is there and ok, every service, and nothing is
// found.
func (w *world) awaitAllOK(t *testing.T) time.Duration {
	t.Helper()
	return await(t, "all paths ok", func() error {
		m, err := w.matrix(t.Context())
		if err != nil {
			return err
		}
		if err := w.exactly(m, nothingIsWrong); err != nil {
			return err
		}
		if bad := m.services(func(s service) bool { return s.State != "ok" }); len(bad) > 0 {
			return fmt.Errorf("services: %q", bad)
		}
		if len(m.Findings) > 0 {
			return fmt.Errorf("findings: %s", m.Findings)
		}
		if m.State != "ok" {
			return fmt.Errorf("state %s", m.State)
		}
		return nil
	})
}

// expectation returns the states that a path may have; none means ok.
type expectation func(p pair) []string

func nothingIsWrong(pair) []string { return nil }

// exactly compares all paths of all nodes with the expectation.
func (w *world) exactly(m *matrix, want expectation) error {
	n := len(w.Nodes)
	var wrong []string
	for _, p := range m.Pairs {
		allowed := want(p)
		if len(allowed) == 0 {
			allowed = []string{"ok"}
		}
		if !slices.Contains(allowed, p.State) {
			wrong = append(wrong, fmt.Sprintf("%s, want %s", p, strings.Join(allowed, " or ")))
		}
	}
	if got, all := len(m.Pairs), 4*n*n-2*n; got != all {
		wrong = append(wrong, fmt.Sprintf("%d paths, want %d", got, all))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d differences: %s", len(wrong), strings.Join(wrong[:min(12, len(wrong))], "; "))
}

// services lists "node/network name" of what the filter takes.
func (m *matrix) services(take func(service) bool) (out []string) {
	for _, n := range m.Nodes {
		for network, a := range n.Agents {
			for _, s := range a.Services {
				if take(s) {
					out = append(out, fmt.Sprintf("%s/%s %s", n.Name, network, s.Name))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// pods lists pods of netchecker by their label app.
func (w *world) pods(t *testing.T, app string) []corev1.Pod {
	t.Helper()
	list, err := w.Client().CoreV1().Pods("netchecker").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// serverNode is the node that the server runs on.
func (w *world) serverNode(t *testing.T) *cluster.Node {
	t.Helper()
	for _, p := range w.pods(t, "netchecker-server") {
		for _, n := range w.Nodes {
			if p.DeletionTimestamp == nil && n.Name == p.Spec.NodeName {
				return n
			}
		}
	}
	t.Fatal("the server runs on no node")
	return nil
}

// victim is a node that has neither the server nor CoreDNS: what a fault does there is the fault's
// own doing.
func (w *world) victim(t *testing.T) *cluster.Node {
	t.Helper()
	busy := map[string]bool{w.serverNode(t).Name: true}
	list, err := w.Client().CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Items {
		busy[p.Spec.NodeName] = true
	}
	for _, n := range slices.Backward(w.Nodes) {
		if !busy[n.Name] {
			return n
		}
	}
	t.Fatal("every node is busy")
	return nil
}
