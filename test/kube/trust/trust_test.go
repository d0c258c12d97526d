// Package trust has agents enrol with tokens that a real API server made, and reviews.
package trust

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/api"
	"netchecker/api/client"
	"netchecker/api/store"
	"netchecker/cmd/server"
	"netchecker/mesh"
	"netchecker/mesh/kube"
	"netchecker/probe"
	"netchecker/test/kube/controlplane"
)

var plane *controlplane.Plane

func TestMain(m *testing.M) { os.Exit(controlplane.Main(m, &plane)) }

var (
	meshKeys = api.NewKeys([]byte("0123456789abcdef"))
	quiet    = slog.New(slog.DiscardHandler)
)

// place is a namespace with an agent's service account and two nodes.
type place struct {
	t         *testing.T
	namespace string
	server    *api.Server
	at        string
}

var count atomic.Int64

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, namespace: fmt.Sprintf("trust-%d", count.Add(1))}
	must(t, plane.Namespace(t.Context(), p.namespace))
	must(t, plane.ServiceAccount(t.Context(), p.namespace, "netchecker-agent"))
	for _, node := range []string{"node1", "node2"} {
		_, err := plane.Node(t.Context(), p.namespace+"-"+node, nil)
		must(t, err)
	}
	access, err := kube.Connect(plane.Kubeconfig, "test")
	must(t, err)
	masters, err := api.NewMasters([]byte("the master secret of one test"))
	must(t, err)
	p.server, err = api.New(api.Config{Store: store.NewMemory(), Matrix: mesh.NewMatrix(), Log: quiet, Auth: api.AuthKubernetes, MeshKeys: meshKeys,
		Enrolment: api.Enrolment{Masters: masters, Reviewer: server.Reviewer(access), Accounts: []string{p.namespace + "/netchecker-agent"}}})
	must(t, err)
	web := httptest.NewServer(p.server.Handler())
	t.Cleanup(web.Close)
	p.at = web.Listener.Addr().String()
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) node(n int) string { return fmt.Sprintf("%s-node%d", p.namespace, n) }

func (p *place) pod(name, account string, node int) *corev1.Pod {
	p.t.Helper()
	pod, err := plane.Pod(p.t.Context(), controlplane.Pod{Namespace: p.namespace, Name: name, Node: p.node(node), ServiceAccount: account,
		IPs: []string{"10.244.1.2"}})
	must(p.t, err)
	return pod
}

func (p *place) token(account, audience string, pod *corev1.Pod) string {
	p.t.Helper()
	token, err := plane.Token(p.t.Context(), p.namespace, account, audience, pod, 0)
	must(p.t, err)
	return token
}

// report enrols as the agent and posts a row: the error is what kept it from that.
func (p *place) report(name string, node int, token string) error {
	p.t.Helper()
	key := mesh.Key{Node: p.node(node)}
	self := mesh.Agent{Name: name, Key: key, IPv4: netip.MustParseAddr("10.244.1.2"), Boot: uint64(time.Now().UnixNano())}
	c := client.New(client.Config{Name: name, MeshKeys: meshKeys, Boot: self.Boot, Agent: key, Token: func() (string, error) { return token, nil }})
	defer c.Close()
	table, err := mesh.NewTable([]mesh.Dest{{Key: key}, {Key: mesh.Key{Node: "other"}}})
	must(p.t, err)
	row := mesh.NewRow(self, table)
	row.Sequence, row.Interval = 1, time.Second
	row.Set(1, &[probe.Kinds]probe.Status{{State: probe.OK}})
	row.Seal()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	_, _, err = c.PostRow(ctx, p.at, nil, 1, mesh.NewCodec().Encode(nil, row, true), 0)
	return err
}

func TestAnAgentEnrolsWithTheTokenOfItsPod(t *testing.T) {
	p := newPlace(t)
	pod := p.pod("agent-1", "netchecker-agent", 1)
	must(t, p.report("agent-1", 1, p.token("netchecker-agent", "netchecker", pod)))
	if p.server.Enrolments().Granted != 1 || p.server.Rows().Accepted != 1 {
		t.Errorf("enrolments %+v, rows %+v", p.server.Enrolments(), p.server.Rows())
	}
}

func TestTokensThatDoNotProveItAreRefused(t *testing.T) {
	p := newPlace(t)
	must(t, plane.ServiceAccount(t.Context(), p.namespace, "other"))
	agent, second, foreign := p.pod("agent-1", "netchecker-agent", 1), p.pod("agent-2", "netchecker-agent", 2), p.pod("stranger", "other", 1)
	gone := p.pod("gone", "netchecker-agent", 1)
	good, ofGone := p.token("netchecker-agent", "netchecker", agent), p.token("netchecker-agent", "netchecker", gone)
	must(t, plane.Client().CoreV1().Pods(p.namespace).Delete(t.Context(), "gone", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	p.pod("gone", "netchecker-agent", 1) // another pod of that name
	parts := strings.Split(good, ".")
	for _, x := range []struct {
		name, agent string
		node        int
		token, want string
	}{
		{"another audience", "agent-1", 1, p.token("netchecker-agent", "vault", agent), "another audience"},
		{"for the API server", "agent-1", 1, p.token("netchecker-agent", "", agent), "another audience"},
		{"bound to no pod", "agent-1", 1, p.token("netchecker-agent", "netchecker", nil), "not bound to a pod"},
		{"of another pod", "agent-1", 1, p.token("netchecker-agent", "netchecker", second), `of pod "agent-2"`},
		{"of another service account", "stranger", 1, p.token("other", "netchecker", foreign), "other"},
		{"another node claimed", "agent-1", 2, good, "of node"},
		{"of a pod that is gone", "gone", 1, ofGone, "pod of the token does not run"},
		{"expired", "agent-1", 1, expired(t, good), "token has expired"},
		{"forged", "agent-1", 1, parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), "not made by this cluster"},
		{"garbage", "agent-1", 1, "garbage", "not made by this cluster"},
	} {
		t.Run(x.name, func(t *testing.T) {
			err := p.report(x.agent, x.node, x.token)
			if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "status 403") {
				t.Errorf("%v, want status 403 and %q", err, x.want)
			}
			if err != nil && strings.Contains(err.Error(), x.token) && x.token != "garbage" {
				t.Error("the error tells the token")
			}
		})
	}
	if e := p.server.Enrolments(); e.Granted != 0 || e.Refused[api.EnrolToken] != 7 || e.Refused[api.EnrolIdentity] != 3 || p.server.Rows().Accepted != 0 {
		t.Errorf("enrolments %+v, rows %+v", e, p.server.Rows())
	}
}

// expired is a token that this cluster made, but long ago: Kubernetes makes none for less than ten minutes.
func expired(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	claims := map[string]any{}
	must(t, json.Unmarshal(text, &claims))
	for _, name := range []string{"exp", "iat", "nbf"} {
		claims[name] = int64(claims[name].(float64)) - 24*3600
	}
	text, err = json.Marshal(claims)
	must(t, err)
	file, err := os.ReadFile(plane.PKI.Path("sa.key"))
	must(t, err)
	block, _ := pem.Decode(file)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(text)
	hash := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA256, hash[:])
	must(t, err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestAKnownAgentIsTakenWhileTheAPIServerIsDown(t *testing.T) {
	p := newPlace(t)
	pod := p.pod("agent-1", "netchecker-agent", 1)
	token := p.token("netchecker-agent", "netchecker", pod)
	key := mesh.Key{Node: p.node(1)}
	c := client.New(client.Config{Name: "agent-1", MeshKeys: meshKeys, Boot: 1, Agent: key, Token: func() (string, error) { return token, nil }})
	defer c.Close()
	post := func(sequence uint64) error {
		_, err := c.PostReport(t.Context(), p.at, nil, sequence, []byte(`{"nodename":"`+key.Node+`"}`))
		return err
	}
	must(t, post(1))
	plane.API.Kill()
	t.Cleanup(func() { must(t, plane.API.Start(context.Background())) })
	must(t, post(2))
	if err := p.report("agent-1", 1, token); err == nil || !strings.Contains(err.Error(), "Kubernetes cannot be asked") {
		t.Errorf("an agent that has no key yet: %v", err)
	}
}
