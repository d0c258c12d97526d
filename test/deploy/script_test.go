package deploy

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestShellcheck(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "shellcheck", root+"/deploy.sh").CombinedOutput()
	if err != nil {
		t.Errorf("%v (test/setup.sh installs it)\n%s", err, output)
	}
}

// TestBadValues: one line that names the variable, its value and what is allowed, and no call of kubectl.
func TestBadValues(t *testing.T) {
	for _, bad := range []struct{ env, want string }{
		{"NS=Net_Checker", "NS=Net_Checker: want the name of a namespace"},
		{"NS=" + strings.Repeat("a", 64), "want the name of a namespace"},
		{"NODE_PORT=0", "NODE_PORT=0: want a number from 1 to 65535"},
		{"NODE_PORT=08081", "NODE_PORT=08081: want a number"},
		{"NODE_PORT=31081; rm -rf /", "want a number"},
		{"SERVER_PORT=80", "SERVER_PORT=80: want a number from 1024 to 65535"},
		{"SERVER_PORT=http", "SERVER_PORT=http: want a number"},
		{"PROBE_PORT=8096", "GOSSIP_PORT=8096: PROBE_PORT has that"},
		{"SERVER_PORT=8096", "GOSSIP_PORT=8096: SERVER_PORT has that"},
		{"GOSSIP_PORT=99999", "GOSSIP_PORT=99999: want a number from 1024 to 65535"},
		{"AGENT_REPORT_INTERVAL=0", "AGENT_REPORT_INTERVAL=0: want a number from 1 to 86400"},
		{"AGENT_REPORT_INTERVAL=1m", "AGENT_REPORT_INTERVAL=1m: want a number"},
		{"PURGE=yes", "PURGE=yes: want true or false"},
		{"ALLOW_OLD_AGENTS=1", "ALLOW_OLD_AGENTS=1: want true or false"},
		{"SERVER_IMAGE_NAME=Netchecker", "SERVER_IMAGE_NAME=Netchecker: want the name of an image"},
		{"AGENT_IMAGE_NAME=agent ", "want the name of an image"},
		{"IMAGE_TAG=v 1", "IMAGE_TAG=v 1: want a tag"},
		{"AGENT_IMAGE_TAG=a\nb", "want a tag"},
		{"AUTH=tokens", "AUTH=tokens: want kubernetes or none"},
		{"EVIDENCE=all", "EVIDENCE=all: want basic or privileged"},
		{"USE_ETCD_ENDPOINT=https://a:2379", "USE_ETCD_ENDPOINT=https://a:2379: want true or false"},
		{"WEB_CONFIG_SECRET=a/b", "WEB_CONFIG_SECRET=a/b: want the name of a Secret"},
		{"WEB_CONFIG_TLS=yes", "WEB_CONFIG_TLS=yes: want true or false"},
		{"WEB_CONFIG_TLS=true", "WEB_CONFIG_TLS=true: want WEB_CONFIG_SECRET too"},
		{"MON_CA_SECRET=ca", "MON_CA_SECRET=ca: want WEB_CONFIG_TLS=true too"},
		{"MON_AUTH_SECRET=reader", "MON_AUTH_SECRET=reader: want WEB_CONFIG_SECRET too"},
		{"DATA_VOLUME=/srv", "DATA_VOLUME=/srv: want pvc:NAME or hostpath:/FOLDER"},
		{"DATA_VOLUME=hostpath:/srv", "want SERVER_NODE too"},
		{"SERVER_REPLICAS=10", "SERVER_REPLICAS=10: want a number from 1 to 9"},
		{"SERVER_ARGS=report-ttl=60", "SERVER_ARGS: report-ttl=60: want flags"},
		{"MON_LABELS=release", "MON_LABELS=release: want NAME=VALUE"},
		{"MON_NS=a/b", "MON_NS=a/b: want the name of a namespace"},
	} {
		r := script(t, nil, []string{bad.env})
		if r.err == nil || !strings.HasPrefix(r.output, "deploy.sh: ") || !strings.Contains(r.output, bad.want) {
			t.Errorf("%s: %v %q, want %q", bad.env, r.err, r.output, bad.want)
		}
		if strings.Count(strings.ReplaceAll(r.output, bad.env, ""), "\n") > 1 && !strings.Contains(bad.env, "\n") {
			t.Errorf("%s: more than one line: %q", bad.env, r.output)
		}
		if len(r.calls) > 0 {
			t.Errorf("%s: kubectl was called: %q", bad.env, r.calls)
		}
	}
	if r := script(t, nil, []string{"DATA_VOLUME=pvc:a", "SERVER_REPLICAS=2"}); !strings.Contains(r.output, "SERVER_REPLICAS=2: only one server") {
		t.Errorf("two servers with one volume: %q", r.output)
	}
	if r := script(t, nil, nil, "a", "b"); !strings.Contains(r.output, "2 arguments: want one at most") {
		t.Errorf("two arguments: %q", r.output)
	}
	if r := script(t, nil, []string{"KUBE_DIR=/proc/nowhere"}); r.err == nil || !strings.Contains(r.output, "KUBE_DIR=/proc/nowhere: cannot write there") {
		t.Errorf("no such folder: %q", r.output)
	}
	if r := script(t, nil, []string{"KUBE_USER=no-such-user"}); r.err == nil || !strings.Contains(r.output, "KUBE_USER=no-such-user: cannot") {
		t.Errorf("no such user: %q", r.output)
	}
}

// TestEtcdOnLocalhost: the pod's localhost is not the operator's.
func TestEtcdOnLocalhost(t *testing.T) {
	r := script(t, nil, []string{"USE_ETCD_ENDPOINT=true"})
	if _, err := exec.LookPath("etcdctl"); err != nil && !strings.Contains(r.output, "ETCD_ENDPOINT=https://localhost:2379: the server's pod cannot reach that") {
		t.Errorf("%q", r.output)
	}
	bin := t.TempDir()
	answer := "#!/bin/sh\necho '8211f1d0f64f3269, started, n1, https://192.0.2.1:2380, https://192.0.2.1:2379, false'\necho '91bc3c398fb3c146, started, n2, https://192.0.2.2:2380, https://192.0.2.2:2379, false'\n"
	if err := os.WriteFile(filepath.Join(bin, "etcdctl"), []byte(answer), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	r = script(t, nil, []string{"USE_ETCD_ENDPOINT=true"})
	args := argsOf(t, r.written(t), "netchecker-server")
	if !slices.Contains(args, "-etcd-endpoints=https://192.0.2.1:2379,https://192.0.2.2:2379") {
		t.Errorf("args %q", args)
	}
}

func argsOf(t *testing.T, o objects, workload string) []string {
	t.Helper()
	return workloads(t, o)[workload].Spec.Containers[0].Args
}

// TestDeploy reads the calls of a first run: nothing is deleted, and nothing else is asked of kubectl.
func TestDeploy(t *testing.T) {
	r := script(t, nil, nil)
	if r.err != nil {
		t.Fatalf("%v %s", r.err, r.output)
	}
	var changes []string
	for _, call := range r.calls {
		if !strings.Contains(call, "get ") {
			changes = append(changes, strings.ReplaceAll(call, r.folder+"/", ""))
		}
	}
	want := []string{"apply -f netchecker-ns.yml", "create -f -"}
	for _, name := range []string{"crd", "rbac", "priority", "networkpolicy", "server-dep", "server-svc", "mesh-svc", "agent-ds", "agent-hostnet-ds"} {
		want = append(want, "apply -f netchecker-"+name+".yml")
	}
	if !slices.Equal(changes, want) {
		t.Errorf("calls %q, want %q", changes, want)
	}
	for _, line := range []string{"no Prometheus operator, or no namespace monitoring", "DONE\n",
		"- get latest agents reports:\n  curl 'http://127.0.0.1:31081/api/v1/agents/' | python -mjson.tool\n",
		"- check connectivity with agents:\n  curl 'http://127.0.0.1:31081/api/v1/connectivity_check'\n",
		"- get agents metrics:\n  curl 'http://127.0.0.1:31081/metrics'\n"} {
		if !strings.Contains(r.output, line) {
			t.Errorf("output has no %q:\n%s", line, r.output)
		}
	}
	for _, name := range []string{"netchecker-server-dep.yml", "netchecker-server-svc.yml", "netchecker-agent-ds.yml", "netchecker-agent-hostnet-ds.yml", "netchecker-rbac.yml", "mon.yml"} {
		if read(filepath.Join(r.folder, name)) == "" {
			t.Errorf("no %s, which the original writes or wants", name)
		}
	}
}

func TestKeys(t *testing.T) {
	secret := func() *corev1.Secret {
		r := script(t, nil, []string{"NS=ops"})
		return parse(t, "stdin", []byte(r.stdin))["Secret ops/netchecker-keys"].(*corev1.Secret)
	}
	a, b := secret(), secret()
	for _, name := range []string{"gossip-key", "master-key"} {
		key, err := base64.StdEncoding.DecodeString(a.StringData[name])
		if err != nil || len(key) != 32 {
			t.Errorf("%s: %d bytes, %v", name, len(key), err)
		}
		if a.StringData[name] == b.StringData[name] {
			t.Errorf("%s is the same every time", name)
		}
	}
	if a.StringData["gossip-key"] == a.StringData["master-key"] {
		t.Error("agents know the master key")
	}
	r := script(t, cluster{"*'get secret netchecker-keys --ignore'*": "echo secret/netchecker-keys", "*'{.data.'*": "echo x"}, nil)
	if r.err != nil || r.stdin != "" {
		t.Errorf("a Secret that is there is not kept: %v %s", r.err, r.output)
	}
	r = script(t, cluster{"*'get secret netchecker-keys --ignore'*": "echo secret/netchecker-keys", "*'{.data.gossip-key}'*": "echo x"}, nil)
	if r.err == nil || !strings.Contains(r.output, "Secret netchecker/netchecker-keys has no master-key") {
		t.Errorf("half a Secret: %v %s", r.err, r.output)
	}
	for _, file := range []string{"netchecker-server-dep.yml", "netchecker-rbac.yml"} {
		if text := read(filepath.Join(r.folder, file)); strings.Contains(text, "stringData") {
			t.Errorf("%s holds keys", file)
		}
	}
}

// operator is a cluster with the Prometheus operator.
func operator() cluster {
	return cluster{"'get crd '*'.monitoring.coreos.com --ignore-not-found -o name'": "echo found", "'get namespace monitoring '*": "echo namespace/monitoring"}
}

func TestWithOperator(t *testing.T) {
	r := script(t, operator(), nil)
	if r.err != nil || !slices.Contains(r.calls, "apply -f "+r.folder+"/mon.yml") {
		t.Errorf("not applied: %v %q %s", r.err, r.calls, r.output)
	}
	if slices.ContainsFunc(r.calls, func(c string) bool { return strings.Contains(c, "delete") }) {
		t.Errorf("something is deleted: %q", r.calls)
	}
}

func TestPurge(t *testing.T) {
	c := operator()
	c["*'rds-admin-binding --ignore'*"] = "echo 'cluster-admin system:serviceaccount:netchecker:default'"
	r := script(t, c, []string{"PURGE=true"})
	if r.err != nil {
		t.Fatalf("%v %s", r.err, r.output)
	}
	deleted := regexp.MustCompile(`delete .*-f .*/([a-z-]+\.yml)`)
	var files []string
	for _, call := range r.calls {
		if m := deleted.FindStringSubmatch(call); m != nil {
			files = append(files, m[1])
		} else if strings.Contains(call, "apply") || strings.Contains(call, "create") {
			t.Errorf("purging calls %q", call)
		}
	}
	written, err := filepath.Glob(filepath.Join(r.folder, "*.yml"))
	if err != nil || len(files) != len(written) || files[len(files)-1] != "netchecker-ns.yml" {
		t.Errorf("deletes %q of %q, %v", files, written, err)
	}
	for _, call := range []string{"-n netchecker delete --ignore-not-found secret netchecker-keys", "delete clusterrolebinding rds-admin-binding"} {
		if !slices.Contains(r.calls, call) {
			t.Errorf("no call %q in %q", call, r.calls)
		}
	}
	if strings.Contains(r.output, "Use the following commands") {
		t.Error("hints after a purge")
	}
}

// TestForeignNamespace: one that was there before is neither changed nor deleted.
func TestForeignNamespace(t *testing.T) {
	for _, purge := range []string{"false", "true"} {
		r := script(t, cluster{"'get namespace ops '*": "printf ops//"}, []string{"PURGE=" + purge}, "ops")
		if r.err != nil || slices.ContainsFunc(r.calls, func(c string) bool { return strings.Contains(c, "netchecker-ns.yml") }) {
			t.Errorf("PURGE=%s: %v %q", purge, r.err, r.calls)
		}
		r = script(t, cluster{"'get namespace ops '*": "printf ops/netchecker/privileged"}, []string{"PURGE=" + purge}, "ops")
		if r.err != nil || !slices.ContainsFunc(r.calls, func(c string) bool { return strings.Contains(c, "netchecker-ns.yml") }) {
			t.Errorf("PURGE=%s in our own: %v %q", purge, r.err, r.calls)
		}
	}
	r := script(t, cluster{"'get namespace ops '*": "printf ops//restricted"}, nil, "ops")
	if r.err == nil || !strings.Contains(r.output, "namespace ops enforces PodSecurity restricted") {
		t.Errorf("%v %s", r.err, r.output)
	}
}

// TestNoCluster: without an answer nothing is written or changed.
func TestNoCluster(t *testing.T) {
	r := script(t, cluster{"'get nodes'": "echo refused >&2; exit 1"}, nil)
	if r.err == nil || !strings.Contains(r.output, "kubectl get nodes: failed, so nothing was changed") || len(r.calls) != 1 {
		t.Errorf("%v %q %s", r.err, r.calls, r.output)
	}
}

// TestKubectlFails: whatever fails ends the script, which says so in its exit status.
func TestKubectlFails(t *testing.T) {
	for _, pattern := range []string{"*'get namespace'*", "*netchecker-ns.yml", "*'get secret'*", "'create -f -'", "*netchecker-rbac.yml", "*agent-ds.yml", "'get crd'*"} {
		r := script(t, cluster{pattern: "echo forbidden >&2; exit 1"}, nil)
		if r.err == nil || strings.Contains(r.output, "DONE") {
			t.Errorf("%s failed and the script went on: %s", pattern, r.output)
		}
	}
}

// TestEveryVariableIsSaid holds the help and docs/install.md against the code.
func TestEveryVariableIsSaid(t *testing.T) {
	text, help := read(root+"/deploy.sh"), script(t, nil, nil, "--help").output
	defaults := regexp.MustCompile(`(?m)^([A-Z_]+)=\$\{(?:1:-\$\{)?[A-Z_]+:-([^}]*)\}`).FindAllStringSubmatch(text, -1)
	if len(defaults) < 20 {
		t.Fatalf("%d variables only", len(defaults))
	}
	if !strings.HasPrefix(help, "Deploys ") {
		t.Errorf("--help begins with %.40q", help)
	}
	page := read("../../docs/install.md")
	for _, d := range defaults {
		if !strings.Contains(help, d[1]) {
			t.Errorf("--help does not say %s", d[1])
		}
		if !strings.Contains(page, "`"+d[1]+"`") {
			t.Errorf("docs/install.md does not say %s", d[1])
		}
	}
}
