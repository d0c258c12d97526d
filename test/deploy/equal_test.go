package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// installs is one wish, said to the script and to Helm.
type install struct {
	name      string
	namespace string
	env       []string
	values    map[string]any
}

type values = map[string]any

// installs covers every value of the chart that changes what is made.
func installs() []install {
	return []install{
		{"as it comes", "netchecker", nil, nil},
		{"other names", "ops", []string{"NS=ops", "SERVER_IMAGE_NAME=r.example.org:5000/a/server", "AGENT_IMAGE_NAME=r.example.org/agent", "IMAGE_TAG=v9", "AGENT_IMAGE_TAG=v8",
			"MON_NS=prom", "MON_LABELS=release=kps,team=net", "MON_ACCOUNT=kps"},
			values{"images": values{"server": values{"name": "r.example.org:5000/a/server", "tag": "v9"}, "agent": values{"name": "r.example.org/agent", "tag": "v8"}},
				"monitoring": values{"namespace": "prom", "labels": values{"release": "kps", "team": "net"}, "serviceAccount": "kps"}}},
		{"other numbers", "netchecker", []string{"SERVER_PORT=9081", "NODE_PORT=32000", "PROBE_PORT=9095", "GOSSIP_PORT=9096", "AGENT_REPORT_INTERVAL=15", "SERVER_REPLICAS=2"},
			values{"server": values{"port": 9081, "nodePort": 32000, "replicas": 2}, "agent": values{"probePort": 9095, "gossipPort": 9096, "reportInterval": 15}}},
		{"flags", "netchecker", []string{"AUTH=none", "ALLOW_OLD_AGENTS=true", "SERVER_ARGS=-report-ttl=60 -diagnose", "AGENT_ARGS=-probeurls=https://example.org/it's;http://example.net", "EVIDENCE=privileged"},
			values{"auth": "none", "server": values{"allowOldAgents": true, "args": []any{"-report-ttl=60", "-diagnose"}},
				"agent": values{"args": []any{"-probeurls=https://example.org/it's;http://example.net"}, "evidence": "privileged"}}},
		{"etcd", "netchecker", []string{"USE_ETCD_ENDPOINT=true", "ETCD_ENDPOINT=https://192.0.2.1:2379,https://[2001:db8::1]:2379", "ETCD_SECRET=etcd-client", "DATA_VOLUME=pvc:history"},
			values{"store": values{"etcd": values{"endpoints": []any{"https://192.0.2.1:2379", "https://[2001:db8::1]:2379"}, "secret": "etcd-client"}, "data": values{"existingClaim": "history"}}}},
		{"HTTPS", "netchecker", []string{"WEB_CONFIG_SECRET=web", "WEB_CONFIG_TLS=true", "MON_CA_SECRET=netchecker-ca", "MON_AUTH_SECRET=netchecker-reader", "EVIDENCE=privileged"},
			values{"server": values{"webConfig": values{"secretName": "web", "tls": true}}, "agent": values{"evidence": "privileged"},
				"monitoring": values{"caSecret": "netchecker-ca", "authSecret": "netchecker-reader"}}},
		{"HTTPS with a certificate that everybody believes", "netchecker", []string{"WEB_CONFIG_SECRET=web", "WEB_CONFIG_TLS=true", "ETCD_SECRET=unused"},
			values{"server": values{"webConfig": values{"secretName": "web", "tls": true}}}},
		{"a password", "netchecker", []string{"WEB_CONFIG_SECRET=web", "MON_AUTH_SECRET=netchecker-reader"},
			values{"server": values{"webConfig": values{"secretName": "web"}}, "monitoring": values{"authSecret": "netchecker-reader"}}},
		{"a volume", "netchecker", []string{"DATA_VOLUME=pvc:reports"}, values{"store": values{"data": values{"existingClaim": "reports"}}}},
		{"a folder", "netchecker", []string{"DATA_VOLUME=hostpath:/srv/netchecker", "SERVER_NODE=node-3"},
			values{"store": values{"data": values{"hostPath": "/srv/netchecker"}}, "server": values{"node": "node-3"}}},
	}
}

func TestScriptAndHelmMakeTheSame(t *testing.T) {
	for _, in := range installs() {
		t.Run(in.name, func(t *testing.T) {
			scripted := script(t, nil, in.env).written(t)
			merged := values{"monitoring": values{}}
			maps.Copy(merged, in.values)
			merged["monitoring"].(values)["create"] = true
			merged["monitoring"].(values)["dashboards"] = values{"enabled": true}
			charted, err := helmed(t, in.namespace, merged)
			if err != nil {
				t.Fatal(err)
			}
			// Helm leaves the namespace to --create-namespace, the script makes the Secret once and in
			// no file.
			delete(scripted, "Namespace /"+in.namespace)
			if charted["Secret "+in.namespace+"/netchecker-keys"] == nil {
				t.Error("the chart makes no Secret")
			}
			delete(charted, "Secret "+in.namespace+"/netchecker-keys")
			same(t, scripted, charted)
		})
	}
}

func TestScriptAndKustomizeMakeTheSame(t *testing.T) {
	based := kustomized(t, root+"/base")
	maps.Copy(based, kustomized(t, root+"/monitoring"))
	same(t, script(t, nil, nil).written(t), based)
}

func same(t *testing.T, a, b objects) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))); diff != "" {
		t.Fatalf("not the same objects:\n%s", diff)
	}
	for key := range a {
		if diff := cmp.Diff(plain(t, a[key]), plain(t, b[key])); diff != "" {
			t.Errorf("%s:\n%s", key, diff)
		}
	}
}

// TestComparingSeesADifference keeps the comparison from being blind.
func TestComparingSeesADifference(t *testing.T) {
	a, b := script(t, nil, nil).written(t), script(t, nil, []string{"AGENT_REPORT_INTERVAL=61"}).written(t)
	key := "DaemonSet netchecker/netchecker-agent"
	if cmp.Equal(plain(t, a[key]), plain(t, b[key])) {
		t.Error("two report intervals look alike")
	}
}

// TestWithoutMonitoring: the chart's own default needs no Prometheus operator.
func TestWithoutMonitoring(t *testing.T) {
	charted, err := helmed(t, "netchecker", nil)
	if err != nil {
		t.Fatal(err)
	}
	for key := range charted {
		if slices.Contains([]string{"ServiceMonitor monitoring/netchecker-server", "PodMonitor monitoring/netchecker-agent", "PrometheusRule monitoring/netchecker"}, key) ||
			strings.HasPrefix(key, "ConfigMap") {
			t.Errorf("%s without being asked for", key)
		}
	}
}
