// Package roles_test holds the shipped roles of the server against a real API server: they are
// enough for all that it does there, and each of their rights is for something.
package roles_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"netchecker/api/store"
	"netchecker/api/store/storetest"
	"netchecker/mesh/kube"
	"netchecker/test/kube/controlplane"
)

const (
	rolesFile = "../../../deploy/base/rbac.yaml"
	crdFile   = "../../../deploy/base/crd.yaml"
	account   = "netchecker-server"
	audience  = "netchecker"
	vip       = "10.96.0.53"
	endpoint  = "10.244.9.53"
	node      = "roles-node"
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

func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := plane.Kubectl(t.Context(), stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}

// shipped are the objects of the manifests, moved to a namespace of their own.
func shipped(t *testing.T, namespace string) (out []*unstructured.Unstructured) {
	t.Helper()
	file, err := os.Open(rolesFile)
	must(t, err)
	defer file.Close()
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(o)
		if err == io.EOF {
			return out
		}
		must(t, err)
		if o.GetNamespace() != "" {
			o.SetNamespace(namespace)
		} else {
			o.SetName(namespace)
			if o.GetKind() == "ClusterRoleBinding" {
				must(t, unstructured.SetNestedField(o.Object, namespace, "roleRef", "name"))
			}
		}
		if subjects, is, _ := unstructured.NestedSlice(o.Object, "subjects"); is {
			subjects[0].(map[string]any)["namespace"] = namespace
			must(t, unstructured.SetNestedSlice(o.Object, subjects, "subjects"))
		}
		out = append(out, o)
	}
}

// without takes one resource out of the rules of all roles and reports how many rules had it.
func without(t *testing.T, objects []*unstructured.Unstructured, resource string) (had int) {
	t.Helper()
	for _, o := range objects {
		rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
		rules = slices.DeleteFunc(rules, func(r any) bool {
			rule := r.(map[string]any)
			resources := rule["resources"].([]any)
			if at := slices.Index(resources, any(resource)); at >= 0 {
				had++
				rule["resources"] = slices.Delete(resources, at, at+1)
			}
			return len(rule["resources"].([]any)) == 0
		})
		if rules != nil {
			must(t, unstructured.SetNestedSlice(o.Object, rules, "rules"))
		}
	}
	return had
}

// resources lists what the shipped roles name.
func resources(t *testing.T) []string {
	t.Helper()
	names := map[string]bool{}
	for _, o := range shipped(t, "any") {
		rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
		for _, r := range rules {
			for _, name := range r.(map[string]any)["resources"].([]any) {
				names[name.(string)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// access applies the roles less one resource and acts with what is left.
func access(t *testing.T, namespace, missing string) *kube.Access {
	t.Helper()
	must(t, plane.Namespace(t.Context(), namespace))
	objects := shipped(t, namespace)
	if had := without(t, objects, missing); missing != "" && had == 0 {
		t.Fatalf("no rule names %s", missing)
	}
	for _, o := range objects {
		text, err := json.Marshal(o)
		must(t, err)
		kubectl(t, string(text), "apply", "-f", "-")
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, plane.KubeconfigAs(t.Context(), namespace, account, file))
	a, err := kube.Connect(file, "netchecker-test")
	must(t, err)
	return a
}

// world is what a server finds: a node, its agent, DNS, and a definition older than the server's.
func world(t *testing.T, namespace string) (token string) {
	t.Helper()
	ctx := t.Context()
	if _, err := plane.Client().CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); err != nil {
		_, err = plane.Node(ctx, node, nil)
		must(t, err)
	}
	pod, err := plane.Pod(ctx, controlplane.Pod{Namespace: namespace, Name: "netchecker-agent-1", Node: node,
		ServiceAccount: "netchecker-agent", Labels: map[string]string{"app": "netchecker-agent"}, IPs: []string{"10.244.9.2"}})
	must(t, err)
	token, err = plane.Token(ctx, namespace, "netchecker-agent", audience, pod, 0)
	must(t, err)
	kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {clusterIP: %s, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-1, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns, k8s-app: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [%s], conditions: {ready: true}}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
`, vip, endpoint), "apply", "-f", "-")
	definition, err := os.ReadFile(crdFile)
	must(t, err)
	older := strings.Replace(string(definition), `network-checker.ext/schema: "1"`, `network-checker.ext/schema: "0"`, 1)
	if older == string(definition) {
		t.Fatal("the definition's number of its schema was not found")
	}
	kubectl(t, older, "apply", "-f", "-")
	kubectl(t, "", "wait", "--for=condition=Established", "--timeout=60s", "crd/agents.network-checker.ext")
	return token
}

// deeds is all that a server does with the API server, each with whether it was done by now.
func deeds(t *testing.T, a *kube.Access, namespace, token string) map[string]func() bool {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	cluster, recorder := a.Follow(log), a.Recorder("netchecker-server-1", log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- cluster.Run(ctx) }()
	go func() { done <- recorder.Run(ctx) }()
	reports, err := store.OpenKube(a.REST(), namespace, log)
	must(t, err)
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		must(t, <-done)
		_ = reports.Close() // without the right to write them there is something left unwritten
	})
	recorder.Record(kube.Event{Node: node, Reason: "Finding", Topic: namespace, Text: "of " + namespace})
	must(t, reports.Put(ctx, storetest.Report("a", 1)))
	target := func(address string) func() bool {
		return func() bool {
			list, _ := cluster.Services()
			return slices.ContainsFunc(list, func(s kube.Target) bool { return strings.HasPrefix(s.Address, address) })
		}
	}
	return map[string]func() bool{
		"agent pods are known":   func() bool { list, err := cluster.Pods(); return err == nil && len(list) == 1 },
		"nodes are known":        func() bool { _, current, _ := cluster.Nodes(); return current },
		"DNS is probed":          target(vip),
		"DNS servers are probed": target(endpoint),
		"agents enrol":           func() bool { _, err := a.Review(ctx, token, audience); return err == nil },
		"findings become Events": func() bool { return strings.Contains(kubectl(t, "", "get", "events"), "of "+namespace) },
		"reports are kept": func() bool {
			return strings.Contains(kubectl(t, "", "-n", namespace, "get", "agents.network-checker.ext"), "a ")
		},
		"the definition is renewed": func() bool {
			return strings.Contains(kubectl(t, "", "get", "crd/agents.network-checker.ext", "-o", "yaml"), `schema: "1"`)
		},
	}
}

// needed says what cannot be done without a resource.
var needed = map[string][]string{
	"":                          nil,
	"pods":                      {"agent pods are known", "agents enrol"},
	"nodes":                     {"nodes are known"},
	"services":                  {"DNS is probed"},
	"endpointslices":            {"DNS servers are probed"},
	"tokenreviews":              {"agents enrol"},
	"events":                    {"findings become Events"},
	"agents":                    {"reports are kept"},
	"customresourcedefinitions": {"the definition is renewed"},
}

func TestTheShippedRolesAreEnoughAndEachRightIsForSomething(t *testing.T) {
	if all := slices.Sorted(maps.Keys(needed)); !slices.Equal(all[1:], resources(t)) {
		t.Fatalf("the roles name %v, this test knows %v", resources(t), all[1:])
	}
	for missing, lost := range needed {
		t.Run("without "+cmp.Or(missing, "none"), func(t *testing.T) {
			namespace := "roles-" + cmp.Or(missing, "all")
			a := access(t, namespace, missing)
			todo := deeds(t, a, namespace, world(t, namespace))
			refused := map[string]func() bool{}
			for _, what := range lost {
				refused[what] = todo[what]
				delete(todo, what)
			}
			for deadline := time.Now().Add(time.Minute); len(todo) > 0; time.Sleep(50 * time.Millisecond) {
				maps.DeleteFunc(todo, func(_ string, isDone func() bool) bool { return isDone() })
				if time.Now().After(deadline) {
					t.Fatalf("never: %v", slices.Sorted(maps.Keys(todo)))
				}
			}
			// All else was done by now, and several tries of these were made.
			time.Sleep(2 * time.Second)
			for what, isDone := range refused {
				if isDone() {
					t.Errorf("%s although the roles do not name %s: it is in them for nothing", what, missing)
				}
			}
		})
	}
}
