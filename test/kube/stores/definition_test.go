package stores

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store/storetest"
)

// definition is the file of the manifests.
func definition(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/base/crd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const crdName = "crd/agents.network-checker.ext"

// defined waits until objects can be made.
func defined(t *testing.T) {
	t.Helper()
	kubectl(t, "", "wait", "--for=condition=Established", "--timeout=60s", crdName)
}

// olderDefinition is that of a server which knew less: no network, no uptime, nothing nullable.
const olderDefinition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: agents.network-checker.ext}
spec:
  group: network-checker.ext
  scope: Namespaced
  names: {plural: agents, singular: agent, kind: Agent}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                report_interval: {type: integer}
                nodename: {type: string}
                podname: {type: string}
                hostdate: {type: string}
                last_updated: {type: string}
                nslookup: {type: object, additionalProperties: {type: array, items: {type: string}}}
                ips: {type: object, additionalProperties: {type: array, items: {type: string}}}
                network_probes: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// withDefinition begins with the definition given, or with none, and leaves none behind: the next store
// makes its own.
func withDefinition(t *testing.T, text string) {
	t.Helper()
	kubectl(t, "", "delete", crdName, "--ignore-not-found", "--wait=true")
	if text != "" {
		kubectl(t, text, "apply", "-f", "-")
		defined(t)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		out, err := plane.Kubectl(ctx, "", "delete", crdName, "--ignore-not-found", "--wait=true")
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestTheServerMakesTheDefinitionAndUpdatesAnOlderOne(t *testing.T) {
	ns := namespace(t)
	withDefinition(t, "")
	k, _ := openKube(t, plane.Admin(), ns)
	storetest.Await(t, "a definition of its own", func() bool { return k.Behind() == nil })
	put(t, k, storetest.Report("a", 1))
	storetest.Settle(t, k)
	shut(t, k)
	if out := kubectl(t, "", "-n", ns, "get", "agents.network-checker.ext", "a"); !strings.Contains(out, "node-a") || !strings.Contains(out, "REPORTED") {
		t.Errorf("kubectl shows\n%s", out)
	}

	withDefinition(t, olderDefinition)
	kubectl(t, fmt.Sprintf(`{"apiVersion":"network-checker.ext/v1","kind":"Agent","metadata":{"name":"old","namespace":%q},
		"spec":{"report_interval":30,"nodename":"n1","podname":"old","last_updated":"2026-01-01T00:00:00Z","network_probes":[{"URL":"u","Total":5,"more":true}]}}`, ns), "create", "-f", "-")
	kubectl(t, fmt.Sprintf(`{"apiVersion":"network-checker.ext/v1","kind":"Agent","metadata":{"name":"bare","namespace":%q}}`, ns), "create", "-f", "-")
	k, _ = openKube(t, plane.Admin(), ns)
	storetest.Await(t, "the old objects", func() bool { return storetest.Names(t, k) == "bare old" })
	if rec, _ := k.Get(t.Context(), "old"); rec.NodeName != "n1" || rec.ReportInterval != 30 || rec.NetworkProbes[0].Total != 5 {
		t.Errorf("%+v", rec)
	}
	storetest.Await(t, "the new definition", func() bool {
		return strings.Contains(kubectl(t, "", "get", crdName, "-o", "yaml"), "authenticated")
	})
	put(t, k, storetest.Report("old", 7), storetest.Report("bare", 1))
	storetest.Settle(t, k)
	shut(t, k)
	k, _ = openKube(t, plane.Admin(), ns)
	storetest.Await(t, "what the older one would not have kept", func() bool {
		rec, _ := k.Get(t.Context(), "old")
		return rec != nil && rec.Uptime == 7 && rec.Network == "pod" && rec.Authenticated
	})
	shut(t, k)
}

// TestTheDefinitionOfTheOriginalIsMended: made before there were schemas, it keeps whatever comes.
func TestTheDefinitionOfTheOriginalIsMended(t *testing.T) {
	ns := namespace(t)
	withDefinition(t, olderDefinition)
	const key = "/registry/apiextensions.k8s.io/customresourcedefinitions/agents.network-checker.ext"
	client := etcdctl(t)
	answer, err := client.Get(t.Context(), key)
	if err != nil || len(answer.Kvs) != 1 {
		t.Fatalf("%v, %v", answer, err)
	}
	old := strings.Replace(string(answer.Kvs[0].Value), `"preserveUnknownFields":false`, `"preserveUnknownFields":true`, 1) // no API server makes it any more
	if old == string(answer.Kvs[0].Value) {
		t.Fatalf("the API server keeps %.200q", old)
	}
	if _, err := client.Put(t.Context(), key, old); err != nil {
		t.Fatal(err)
	}
	preserves := func() bool {
		return strings.Contains(kubectl(t, "", "get", crdName, "-o", "yaml"), "preserveUnknownFields: true")
	}
	storetest.Await(t, "the original's definition", preserves)
	k, _ := openKube(t, plane.Admin(), ns)
	storetest.Await(t, "it is mended", func() bool { return !preserves() })
	put(t, k, storetest.Report("a", 1))
	storetest.Settle(t, k)
	shut(t, k)
}

// TestApplyingTheDefinitionAgainChangesNothing: kubectl called it configured each time, for a field
// that the API server does not keep.
func TestApplyingTheDefinitionAgainChangesNothing(t *testing.T) {
	withDefinition(t, definition(t))
	again := func() {
		t.Helper()
		if out := kubectl(t, definition(t), "apply", "-f", "-"); !strings.Contains(out, "unchanged") {
			t.Errorf("kubectl says %q", out)
		}
	}
	again()
	k, _ := openKube(t, plane.Admin(), namespace(t))
	storetest.Await(t, "the server has looked at it", func() bool { return k.Behind() == nil })
	shut(t, k)
	again()
}

func TestANewerDefinitionIsLeftAlone(t *testing.T) {
	withDefinition(t, strings.Replace(definition(t), `network-checker.ext/schema: "1"`, `network-checker.ext/schema: "99"`, 1))
	k, _ := openKube(t, plane.Admin(), namespace(t))
	storetest.Await(t, "it works with it", func() bool { return k.Behind() == nil })
	shut(t, k)
	if out := kubectl(t, "", "get", crdName, "-o", "yaml"); !strings.Contains(out, `network-checker.ext/schema: "99"`) {
		t.Error("a newer definition was replaced by an older one")
	}
}

func TestAnOlderDefinitionThatTheServerMayNotTouchWorks(t *testing.T) {
	ns := namespace(t)
	withDefinition(t, olderDefinition)
	k, log := openKube(t, allowed(t, ns, verbs()...), ns)
	bare := &api.Record{Name: "bare", Report: api.Report{LastUpdated: time.Now().UTC()}}
	put(t, k, storetest.Report("a", 1), bare)
	storetest.Await(t, "it works", func() bool { return k.Behind() == nil })
	storetest.Settle(t, k)
	shut(t, k)
	if !strings.Contains(log.String(), "is left as it is") {
		t.Error(log)
	}
	k, _ = openKube(t, plane.Admin(), ns)
	storetest.Await(t, "both", func() bool { return storetest.Names(t, k) == "a bare" })
	shut(t, k)
}
