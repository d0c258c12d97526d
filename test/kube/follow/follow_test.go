// Package follow_test holds mesh/kube against a real API server: what it follows, what it makes of
// each permission that is missing, and what it says while the API server is away.
package follow_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"netchecker/mesh/kube"
	"netchecker/test/kube/controlplane"
)

var plane *controlplane.Plane

func TestMain(m *testing.M) {
	kube.RouteLogs(slog.New(slog.DiscardHandler))
	os.Exit(controlplane.Main(m, &plane))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// output is a log that tests read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) count(text string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Count(o.text.String(), text)
}

// eventually waits for what is to come.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// account makes a namespace whose account "server" may do what the rules say in the whole cluster,
// and returns the access of that account.
func account(t *testing.T, namespace string, rules ...rbacv1.PolicyRule) *kube.Access {
	t.Helper()
	ctx := t.Context()
	admin, err := kubernetes.NewForConfig(plane.Admin())
	must(t, err)
	must(t, plane.Namespace(ctx, namespace))
	must(t, plane.ServiceAccount(ctx, namespace, "server"))
	_, err = admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Rules: rules}, metav1.CreateOptions{})
	must(t, err)
	_, err = admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: namespace},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "server"}}}, metav1.CreateOptions{})
	must(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, plane.KubeconfigAs(ctx, namespace, "server", file))
	access, err := kube.Connect(file, "netchecker-test")
	must(t, err)
	return access
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// shipped are the rules of the shipped role for what is followed.
func shipped() []rbacv1.PolicyRule {
	all := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{rule("", "pods", all...), rule("", "nodes", all...), rule("", "services", all...), rule("discovery.k8s.io", "endpointslices", all...),
		rule("authentication.k8s.io", "tokenreviews", "create"), rule("", "events", "create")}
}

// follow runs a Cluster until the test ends.
func follow(t *testing.T, access *kube.Access) (*kube.Cluster, *output) {
	t.Helper()
	said := &output{}
	c := access.Follow(slog.New(slog.NewTextHandler(said, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(said.text.String())
		}
	})
	return c, said
}

func agent(t *testing.T, namespace, name, node string, ips ...string) {
	t.Helper()
	_, err := plane.Pod(t.Context(), controlplane.Pod{Namespace: namespace, Name: name, Node: node,
		Labels: map[string]string{"app": "netchecker-agent"}, IPs: ips})
	must(t, err)
}

func pods(c *kube.Cluster) int {
	list, err := c.Pods()
	if err != nil {
		return -1
	}
	return len(list)
}

func TestThreeHundredNodesAddedAtOnceARenamedOneAndTheAPIServersRestart(t *testing.T) {
	ctx, admin := t.Context(), client(t)
	c, said := follow(t, account(t, "crowd", shipped()...))
	zone := func(i int) map[string]string {
		return map[string]string{"topology.kubernetes.io/zone": fmt.Sprint("z", i%3)}
	}
	began := time.Now()
	for i := range 300 {
		name := fmt.Sprintf("crowd-%d", i)
		_, err := plane.Node(ctx, name, zone(i), fmt.Sprintf("fd00::%x", i+1))
		must(t, err)
		agent(t, "crowd", "netchecker-agent-"+name, name, fmt.Sprintf("fd01::%x", i+1), fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
	}
	t.Logf("300 nodes and pods made in %v", time.Since(began).Round(time.Millisecond))
	eventually(t, "all pods and nodes", func() bool {
		nodes, current, _ := c.Nodes()
		return current && pods(c) == 300 && nodes["crowd-299"].Zone == "z2" && !nodes["crowd-299"].NotReady
	})
	stranger, err := plane.Pod(ctx, controlplane.Pod{Namespace: "crowd", Name: "other", Node: "crowd-1", Labels: map[string]string{"app": "netchecker-server"}})
	must(t, err)

	// A renamed node is one that goes and one that comes.
	must(t, admin.CoreV1().Nodes().Delete(ctx, "crowd-7", metav1.DeleteOptions{}))
	_, err = plane.Node(ctx, "crowd-seven", zone(1))
	must(t, err)
	eventually(t, "the renamed node", func() bool {
		nodes, current, _ := c.Nodes()
		_, old := nodes["crowd-7"]
		return current && !old && nodes["crowd-seven"].Zone == "z1"
	})
	_, err = admin.CoreV1().Nodes().Patch(ctx, "crowd-3", "application/merge-patch+json", []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	must(t, err)
	eventually(t, "the cordon", func() bool { nodes, _, _ := c.Nodes(); return nodes["crowd-3"].Cordoned })

	plane.API.Kill()
	eventually(t, "the copy is called old", func() bool { return c.PodsStale(time.Now()) != nil })
	nodes, current, err := c.Nodes()
	if pods(c) != 300 || err != nil || current && c.PodsStale(time.Now()) == nil || len(nodes) < 300 {
		t.Errorf("while the API server is away: %d pods, %d nodes, %v; want what was known", pods(c), len(nodes), err)
	}
	must(t, plane.API.Start(context.Background()))
	must(t, admin.CoreV1().Pods("crowd").Delete(ctx, "netchecker-agent-crowd-7", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	eventually(t, "what changed since, and the copy is current", func() bool {
		_, current, _ := c.Nodes()
		return pods(c) == 299 && current && c.PodsStale(time.Now()) == nil
	})
	if said.count("pods are the last known") < 1 || said.count("pods are current") < 1 {
		t.Error("the log does not say that the API server was away and came back")
	}
	must(t, admin.CoreV1().Pods("crowd").Delete(ctx, stranger.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
}

func client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	admin, err := kubernetes.NewForConfig(plane.Admin())
	must(t, err)
	return admin
}

func TestEachVerbThatIsMissingCostsWhatItIsForAndIsSaidOnce(t *testing.T) {
	for _, c := range []struct {
		name                string
		rules               []rbacv1.PolicyRule
		pods, nodes         bool
		says, saysNothingOf string
	}{
		{"shipped", shipped(), true, true, "", "forbidden"},
		{"podsonly", []rbacv1.PolicyRule{rule("", "pods", "get", "list", "watch")}, true, false, "list of nodes is forbidden: zones", "list of pods"},
		{"oldrole", []rbacv1.PolicyRule{rule("", "pods", "get", "list")}, true, false, "watch of pods is forbidden", "list of pods"},
		{"watchonly", []rbacv1.PolicyRule{rule("", "pods", "watch")}, true, false, "list of nodes is forbidden", "list of pods"},
		{"nothing", nil, false, false, "list of pods is forbidden: which agents should exist cannot be known", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster, said := follow(t, account(t, "verbs-"+c.name, c.rules...))
			agent(t, "verbs-"+c.name, "netchecker-agent-1", "verbs-node")
			if c.pods {
				eventually(t, "the pod", func() bool { return pods(cluster) == 1 })
				agent(t, "verbs-"+c.name, "netchecker-agent-2", "verbs-node")
				eventually(t, "the next pod", func() bool { return pods(cluster) == 2 })
				if err := cluster.PodsStale(time.Now()); err != nil {
					t.Errorf("pods: %v", err)
				}
			}
			eventually(t, "the log says "+c.says, func() bool { return c.says == "" || said.count(c.says) > 0 })
			if c.nodes {
				eventually(t, "nodes", func() bool { _, current, _ := cluster.Nodes(); return current })
			} else if _, current, err := cluster.Nodes(); current || err == nil {
				t.Errorf("nodes are known: current %t, %v", current, err)
			}
			if !c.pods {
				if _, err := cluster.Pods(); err == nil || !strings.Contains(err.Error(), "forbidden") {
					t.Errorf("pods: %v, want why nobody knows", err)
				}
			}
			time.Sleep(3 * time.Second) // several tries of those that are refused
			if n := said.count(c.says); c.says != "" && n != 1 {
				t.Errorf("said %d times: %s", n, c.says)
			}
			if c.saysNothingOf != "" && said.count(c.saysNothingOf) > 0 {
				t.Errorf("the log speaks of %q", c.saysNothingOf)
			}
		})
	}
}
