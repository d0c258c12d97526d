package deploy

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestHelmRefusesBadValues: the error names the value.
func TestHelmRefusesBadValues(t *testing.T) {
	for _, bad := range []struct {
		want   []string
		values values
	}{
		{[]string{"sever"}, values{"sever": values{"port": 8081}}},
		{[]string{"/server", "nodport"}, values{"server": values{"nodport": 31081}}},
		{[]string{"/server/nodePort", "65,535"}, values{"server": values{"nodePort": 70000}}},
		{[]string{"/server/port", "1,024"}, values{"server": values{"port": 80}}},
		{[]string{"/agent/reportInterval"}, values{"agent": values{"reportInterval": "1m"}}},
		{[]string{"/agent/evidence", "basic"}, values{"agent": values{"evidence": "all"}}},
		{[]string{"/agent/args/0"}, values{"agent": values{"args": []any{"probe-rate=100"}}}},
		{[]string{"/auth", "kubernetes"}, values{"auth": "tokens"}},
		{[]string{"/images/server/name"}, values{"images": values{"server": values{"name": "Upper"}}}},
		{[]string{"/store/etcd/endpoints/0"}, values{"store": values{"etcd": values{"endpoints": []any{"192.0.2.1:2379"}}}}},
		{[]string{"/store/data/hostPath"}, values{"store": values{"data": values{"hostPath": "srv"}}}},
		{[]string{"/monitoring/create"}, values{"monitoring": values{"create": "yes"}}},
		{[]string{"/monitoring/dashboards", "namspace"}, values{"monitoring": values{"dashboards": values{"namspace": "a"}}}},
		{[]string{"/monitoring/dashboards/labels"}, values{"monitoring": values{"dashboards": values{"labels": values{"grafana_dashboard": 1}}}}},
		{[]string{"server.node"}, values{"store": values{"data": values{"hostPath": "/srv"}}}},
		{[]string{"not both"}, values{"store": values{"data": values{"hostPath": "/srv", "existingClaim": "a"}}, "server": values{"node": "n"}}},
		{[]string{"server.replicas"}, values{"store": values{"data": values{"existingClaim": "a"}}, "server": values{"replicas": 2}}},
		{[]string{"/server/webConfig/secretName"}, values{"server": values{"webConfig": values{"secretName": "a/b"}}}},
		{[]string{"server.webConfig.secretName"}, values{"server": values{"webConfig": values{"tls": true}}}},
		{[]string{"monitoring.caSecret"}, values{"server": values{"webConfig": values{"secretName": "web"}}, "monitoring": values{"caSecret": "ca"}}},
		{[]string{"monitoring.authSecret"}, values{"monitoring": values{"authSecret": "reader"}}},
		{[]string{"agent.gossipPort"}, values{"agent": values{"gossipPort": 8095}}},
		{[]string{"agent.gossipPort"}, values{"server": values{"port": 8096}}},
	} {
		_, err := helmed(t, "netchecker", bad.values)
		if err == nil {
			t.Errorf("%v is taken", bad.values)
			continue
		}
		for _, want := range bad.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", bad.values, err, want)
			}
		}
	}
}

// TestHelmParts: what can be left out or replaced is.
func TestHelmParts(t *testing.T) {
	o, err := helmed(t, "netchecker", values{"crd": values{"create": false}, "networkPolicy": values{"create": false}, "keys": values{"existingSecret": "mine"},
		"priorityClass": values{"create": false, "name": "system-node-critical"}, "images": values{"pullPolicy": "Never", "pullSecrets": []any{"registry"}},
		"agent":  values{"nodeSelector": values{"pool": "a"}, "resources": values{"limits": values{"memory": "1Gi"}}},
		"server": values{"resources": values{"limits": values{"memory": "4Gi"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for key := range o {
		if slices.Contains([]string{"CustomResourceDefinition", "NetworkPolicy", "Secret", "PriorityClass"}, strings.Fields(key)[0]) {
			t.Errorf("%s is made", key)
		}
	}
	for name, template := range workloads(t, o) {
		spec := template.Spec
		if spec.PriorityClassName != "system-node-critical" || spec.ImagePullSecrets[0].Name != "registry" || spec.Containers[0].ImagePullPolicy != corev1.PullNever {
			t.Errorf("%s: %q %v %s", name, spec.PriorityClassName, spec.ImagePullSecrets, spec.Containers[0].ImagePullPolicy)
		}
		for _, volume := range spec.Volumes {
			if volume.Secret != nil && volume.Secret.SecretName != "mine" {
				t.Errorf("%s: Secret %s", name, volume.Secret.SecretName)
			}
		}
		memory, want := spec.Containers[0].Resources.Limits.Memory().String(), "1Gi"
		if name == "netchecker-server" {
			want = "4Gi"
		} else if spec.NodeSelector["pool"] != "a" || spec.NodeSelector["kubernetes.io/os"] != "linux" {
			t.Errorf("%s: nodes %v", name, spec.NodeSelector)
		}
		if memory != want {
			t.Errorf("%s: memory %s, want %s", name, memory, want)
		}
	}
}

// TestEveryValueIsSaid: a value that the chart takes is in docs/install.md, with a comment of its own in
// values.yaml.
func TestEveryValueIsSaid(t *testing.T) {
	var all values
	if err := yaml.Unmarshal([]byte(read(chart+"/values.yaml")), &all); err != nil {
		t.Fatal(err)
	}
	page, n := read("../../docs/install.md"), 0
	for path := range leaves("", all) {
		n++
		if !strings.Contains(page, "`"+path+"`") {
			t.Errorf("docs/install.md does not say %s", path)
		}
	}
	if n < 25 {
		t.Errorf("%d values only", n)
	}
	lines := strings.Split(read(chart+"/values.yaml"), "\n")
	for i, line := range lines {
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' && !strings.HasSuffix(text, ":") && !strings.HasPrefix(text, "requests") && !strings.HasPrefix(text, "limits") &&
			!strings.HasPrefix(strings.TrimSpace(lines[i-1]), "#") {
			t.Errorf("values.yaml:%d: %s has no comment", i+1, text)
		}
	}
}

// leaves yields the path of every value; resources count as one.
func leaves(path string, v any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		m, ok := v.(values)
		if !ok || len(m) == 0 || strings.HasSuffix(path, ".resources") {
			yield(path)
			return
		}
		for name, child := range m {
			for leaf := range leaves(strings.TrimPrefix(path+"."+name, "."), child) {
				if !yield(leaf) {
					return
				}
			}
		}
	}
}

// TestOneVersion: the tag of the images is the same wherever it is said.
func TestOneVersion(t *testing.T) {
	var meta struct{ AppVersion, Version string }
	if err := yaml.Unmarshal([]byte(read(chart+"/Chart.yaml")), &meta); err != nil {
		t.Fatal(err)
	}
	if "v"+meta.Version != meta.AppVersion {
		t.Errorf("chart %s of %s", meta.Version, meta.AppVersion)
	}
	for file, want := range map[string]string{"deploy.sh": "IMAGE_TAG=${IMAGE_TAG:-" + meta.AppVersion + "}", "base/server.yaml": "netchecker-server:" + meta.AppVersion + " ",
		"base/agent.yaml": "netchecker-agent:" + meta.AppVersion + " ", "base/agent-hostnet.yaml": "netchecker-agent:" + meta.AppVersion + " ", "Dockerfile": ":" + meta.AppVersion + " "} {
		if !strings.Contains(read(root+"/"+file), want) {
			t.Errorf("deploy/%s has no %q", file, want)
		}
	}
}

// TestHelmDashboards: they go where Grafana's sidecar looks, also without the Prometheus operator.
func TestHelmDashboards(t *testing.T) {
	o, err := helmed(t, "netchecker", values{"monitoring": values{"dashboards": values{"enabled": true, "namespace": "grafana", "labels": values{"dash": "yes"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range dashboardFiles(t) {
		name := filepath.Base(file)
		m, ok := o["ConfigMap grafana/netchecker-dashboard-"+strings.TrimSuffix(name, ".json")].(*corev1.ConfigMap)
		if !ok || m.Data["netchecker-"+name] != read(file) || m.Labels["dash"] != "yes" || m.Labels["grafana_dashboard"] != "" {
			t.Errorf("%s: made %v, labels %v", name, ok, m)
		}
	}
	for key := range o {
		if strings.HasPrefix(key, "ServiceMonitor") || strings.HasPrefix(key, "PrometheusRule") {
			t.Errorf("%s without being asked for", key)
		}
	}
}
