package deploy

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestHTTPS: whoever asks the server speaks HTTPS then, and no agent gets the server's key.
func TestHTTPS(t *testing.T) {
	o := script(t, nil, []string{"WEB_CONFIG_SECRET=web", "WEB_CONFIG_TLS=true", "MON_CA_SECRET=ca", "MON_AUTH_SECRET=reader"}).written(t)
	for name, template := range workloads(t, o) {
		container := &template.Spec.Containers[0]
		secret := mounted(t, template, "/etc/netchecker/web")
		if name == "netchecker-server" {
			for what, probe := range map[string]*corev1.Probe{"liveness": container.LivenessProbe, "readiness": container.ReadinessProbe} {
				if probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
					t.Errorf("the %s probe asks by %s", what, probe.HTTPGet.Scheme)
				}
			}
			if !slices.Contains(container.Args, "-web-config=/etc/netchecker/web/web.yml") || secret.SecretName != "web" || len(secret.Items) != 0 {
				t.Errorf("%s: args %q, Secret %+v", name, container.Args, secret)
			}
			if template.Annotations["prometheus.io/scheme"] != "https" {
				t.Errorf("annotations %v", template.Annotations)
			}
			continue
		}
		if container.ReadinessProbe.HTTPGet.Scheme == corev1.URISchemeHTTPS {
			t.Errorf("%s is asked by HTTPS, which agents do not speak", name)
		}
		if !slices.Contains(container.Args, "-server-ca=/etc/netchecker/web/ca.crt") || secret.SecretName != "web" ||
			!slices.Equal(secret.Items, []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}) {
			t.Errorf("%s: args %q, Secret %+v", name, container.Args, secret)
		}
	}
	endpoint := o["ServiceMonitor monitoring/netchecker-server"].(*monitoringv1.ServiceMonitor).Spec.Endpoints[0]
	if endpoint.Scheme == nil || endpoint.Scheme.String() != "https" || *endpoint.TLSConfig.ServerName != "netchecker-service" ||
		endpoint.TLSConfig.CA.Secret.Name != "ca" || endpoint.TLSConfig.CA.Secret.Key != "ca.crt" ||
		endpoint.BasicAuth.Username.Name != "reader" || endpoint.BasicAuth.Password.Key != "password" {
		t.Errorf("Prometheus scrapes by %+v", endpoint)
	}
	if e := o["PodMonitor monitoring/netchecker-agent"].(*monitoringv1.PodMonitor).Spec.PodMetricsEndpoints[0]; e.Scheme != nil {
		t.Errorf("agents are scraped by %s", *e.Scheme)
	}
}

// mounted is the Secret at a path of the first container.
func mounted(t *testing.T, template *corev1.PodTemplateSpec, path string) *corev1.SecretVolumeSource {
	t.Helper()
	for _, m := range template.Spec.Containers[0].VolumeMounts {
		for _, v := range template.Spec.Volumes {
			if m.MountPath == path && v.Name == m.Name && v.Secret != nil {
				return v.Secret
			}
		}
	}
	t.Fatalf("no Secret at %s", path)
	return nil
}

// TestPasswordAlone changes nothing for kubelets and agents, which are asked for none.
func TestPasswordAlone(t *testing.T) {
	plain, with := script(t, nil, nil).written(t), script(t, nil, []string{"WEB_CONFIG_SECRET=web"}).written(t)
	for _, name := range []string{"netchecker-agent", "netchecker-agent-hostnet"} {
		if !slices.Equal(argsOf(t, plain, name), argsOf(t, with, name)) {
			t.Errorf("%s: %q", name, argsOf(t, with, name))
		}
	}
	if p := workloads(t, with)["netchecker-server"].Spec.Containers[0].ReadinessProbe; p.HTTPGet.Scheme != corev1.URISchemeHTTP {
		t.Errorf("probed by %s", p.HTTPGet.Scheme)
	}
}

// TestWebConfigSecret: the script looks into the Secret, where there is one already, before it changes anything.
func TestWebConfigSecret(t *testing.T) {
	holding := func(keys map[string]string) cluster {
		c := cluster{"*'get secret web --ignore'*": "echo secret/web"}
		for key, text := range keys {
			c["*'get secret web '*'"+strings.ReplaceAll(key, ".", `\.`)+"}'*"] = "printf " + base64.StdEncoding.EncodeToString([]byte(text))
		}
		return c
	}
	tls := "# basic\ntls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n"
	for _, x := range []struct {
		why  string
		keys map[string]string
		tls  string
		want string // "" for what is taken
	}{
		{"HTTPS", map[string]string{"web.yml": tls, "ca.crt": "x"}, "true", ""},
		{"a password", map[string]string{"web.yml": "# tls_server_config:\nbasic_auth_users: {a: b}\n"}, "false", ""},
		{"no file", map[string]string{"web.yaml": tls}, "false", "Secret netchecker/web has no web.yml"},
		{"HTTPS that nobody told the kubelet", map[string]string{"web.yml": tls, "ca.crt": "x"}, "false", "WEB_CONFIG_TLS=false: web.yml in the Secret netchecker/web has a tls_server_config"},
		{"no HTTPS", map[string]string{"web.yml": "basic_auth_users: {a: b}\n"}, "true", "WEB_CONFIG_TLS=true: web.yml in the Secret netchecker/web has no tls_server_config"},
		{"nothing for agents to believe", map[string]string{"web.yml": tls}, "true", "Secret netchecker/web has no ca.crt"},
	} {
		r := script(t, holding(x.keys), []string{"WEB_CONFIG_SECRET=web", "WEB_CONFIG_TLS=" + x.tls})
		if x.want == "" && r.err != nil || x.want != "" && (r.err == nil || !strings.Contains(r.output, x.want)) {
			t.Errorf("%s: %v %q, want %q", x.why, r.err, r.output, x.want)
		}
		if x.want != "" && slices.ContainsFunc(r.calls, func(call string) bool { return strings.Contains(call, "apply") }) {
			t.Errorf("%s: something was applied: %q", x.why, r.calls)
		}
	}
	r := script(t, nil, []string{"WEB_CONFIG_SECRET=web", "WEB_CONFIG_TLS=true"})
	if r.err != nil || !strings.Contains(r.output, "no Secret netchecker/web yet: the pods wait for it") {
		t.Errorf("no Secret yet: %v %q", r.err, r.output)
	}
	if !strings.Contains(r.output, "curl 'https://netchecker-service:31081/metrics'") || !strings.Contains(r.output, "--cacert") {
		t.Errorf("hints: %q", r.output)
	}
}
