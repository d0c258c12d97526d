package kube

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

// kubeconfig writes a kubeconfig file and returns its name.
func kubeconfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const goodConfig = `
apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: c1, user: u1, namespace: watching}
clusters:
- name: c1
  cluster: {server: "https://192.0.2.1:6443", insecure-skip-tls-verify: true}
users:
- name: u1
  user: {token: secret-token}
`

func TestAKubeconfigGivesTheServerAndTheNamespace(t *testing.T) {
	a, err := Connect(kubeconfig(t, goodConfig), "netchecker-server/1")
	if err != nil {
		t.Fatal(err)
	}
	if a.Namespace() != "watching" || a.Host() != "https://192.0.2.1:6443" {
		t.Errorf("namespace %q, host %q", a.Namespace(), a.Host())
	}
	rest := a.REST()
	if rest.UserAgent != "netchecker-server/1" || rest.ContentType != "" || rest.Timeout != 0 || rest.BearerToken != "secret-token" {
		t.Errorf("the store's access: agent %q, content type %q, time-out %v", rest.UserAgent, rest.ContentType, rest.Timeout)
	}
	if rest.Host = "other"; a.Host() == "other" {
		t.Error("who changes a copy changes the access")
	}
}

func TestAWrongKubeconfigIsOneLineThatNamesTheFileAndWhatIsWrong(t *testing.T) {
	replaced := func(old, new string) string { return strings.Replace(goodConfig, old, new, 1) }
	for name, c := range map[string]struct{ text, wants string }{
		"nothing in it":         {"", `current-context ""`},
		"no YAML":               {"{]", "yaml"},
		"another kind":          {"apiVersion: v1\nkind: Pod\n", `"Pod"`},
		"no such context":       {replaced("current-context: here", "current-context: gone"), `"gone"`},
		"no such cluster":       {replaced("cluster: c1, user", "cluster: c9, user"), `"c9" has no server`},
		"cluster with no URL":   {replaced("https://192.0.2.1:6443", ""), "no server"},
		"no such user":          {replaced("user: u1, namespace", "user: u9, namespace"), `"u9"`},
		"URL of no kind":        {replaced("https://192.0.2.1:6443", "https://a b:1"), "https://a b:1"},
		"CA that is not there":  {replaced("insecure-skip-tls-verify: true", "certificate-authority: /no/such/ca.crt"), "/no/such/ca.crt"},
		"CA that is no CA":      {replaced("insecure-skip-tls-verify: true", "certificate-authority-data: bm8gQ0E="), "PEM"},
		"key that is not there": {replaced("token: secret-token", "client-certificate: /no/such/client.crt, client-key: /no/such/client.key"), "/no/such/client"},
	} {
		t.Run(name, func(t *testing.T) {
			file := kubeconfig(t, c.text)
			_, err := Connect(file, "test")
			if err == nil {
				t.Fatal("it was taken")
			}
			if text := err.Error(); !strings.Contains(text, file) || !strings.Contains(text, c.wants) || strings.Contains(text, "\n") {
				t.Errorf("%s: want one line that names %s and %s", text, file, c.wants)
			}
		})
	}
	if _, err := Connect("/no/such/file", "test"); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestOutsideAPodThereIsNoCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Connect("", "test"); !errors.Is(err, ErrNoCluster) {
		t.Errorf("%v, want ErrNoCluster", err)
	}
}

func TestLogsOfClientGoAreDebugging(t *testing.T) {
	said := &bytes.Buffer{}
	level := &slog.LevelVar{}
	RouteLogs(slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: level})))
	t.Cleanup(klog.ClearLogger)
	klog.ErrorS(errors.New("refused"), "watch of pods")
	if said.Len() > 0 {
		t.Errorf("said without debugging: %s", said)
	}
	level.Set(slog.LevelDebug)
	klog.ErrorS(errors.New("refused"), "watch of pods")
	klog.V(2).InfoS("detail")
	if text := said.String(); !strings.Contains(text, `level=DEBUG msg="watch of pods" err=refused`) || strings.Contains(text, "detail") {
		t.Errorf("said with debugging: %s", text)
	}
}
