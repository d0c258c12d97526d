// Package deploy tests what an operator installs with: deploy.sh, the Kustomize base, the Helm chart
// and the alert rules. It is a module of its own, since what renders and judges manifests (Helm,
// Kustomize, the types of Kubernetes) must not become a requirement of the product, and it needs no
// cluster: what a cluster says of the same files is tested in test/kube.
package deploy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	root  = "../../deploy"
	chart = root + "/helm/netchecker"
)

// objects are manifests by "kind namespace/name".
type objects map[string]runtime.Object

// strict knows every type in the manifests and takes no field that is not one of it.
func strict() runtime.Decoder {
	s := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(s))
	utilruntime.Must(apiextensionsv1.AddToScheme(s))
	utilruntime.Must(monitoringv1.AddToScheme(s))
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
}

// parse reads all documents of a YAML stream.
func parse(t *testing.T, what string, stream []byte) objects {
	t.Helper()
	out, decoder := objects{}, strict()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if onlyComments(doc) {
			continue
		}
		object, kind, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", what, err, doc)
		}
		m, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%s %s/%s", kind.Kind, m.GetNamespace(), m.GetName())
		if out[key] != nil {
			t.Errorf("%s: %s is there twice", what, key)
		}
		out[key] = object
	}
}

func onlyComments(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && string(line) != "---" {
			return false
		}
	}
	return true
}

// kustomized renders a folder as kubectl apply -k does.
func kustomized(t *testing.T, folder string) objects {
	t.Helper()
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := m.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, folder, stream)
}

// helmed renders the chart as helm template does, or returns why it will not.
func helmed(t *testing.T, namespace string, values map[string]any) (objects, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: "netchecker", Namespace: namespace, Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.RenderWithContext(t.Context(), c, rendered)
	if err != nil {
		return nil, err
	}
	out := objects{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			maps.Copy(out, parse(t, name, []byte(text)))
		}
	}
	return out, nil
}

// cluster is what the kubectl of a test answers: a pattern of its arguments, as bash's case has
// them, to what it prints.
type cluster map[string]string

// run is one run of deploy.sh.
type run struct {
	folder string   // KUBE_DIR
	calls  []string // of kubectl, in order
	stdin  string   // what kubectl got
	output string   // of the script
	err    error
}

// script runs deploy.sh with a kubectl that answers as c says and does nothing.
func script(t *testing.T, c cluster, env []string, args ...string) run {
	t.Helper()
	bin, r := t.TempDir(), run{folder: t.TempDir()}
	calls, stdin := filepath.Join(bin, "calls"), filepath.Join(bin, "stdin")
	var answers []string
	for pattern, answer := range c {
		answers = append(answers, pattern+") "+answer+" ;;\n")
	}
	fake := "#!/bin/bash\necho \"$*\" >>" + calls + "\nif [[ $* == *'-f -'* ]]; then cat >>" + stdin + "; fi\n" +
		"case \"$*\" in\n" + strings.Join(answers, "") + "esac\n"
	if err := os.WriteFile(filepath.Join(bin, "kubectl"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(root + "/deploy.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = bin
	cmd.Env = append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "KUBE_DIR=" + r.folder}, env...)
	output, err := cmd.CombinedOutput()
	r.output, r.err = string(output), err
	r.calls = strings.FieldsFunc(read(calls), func(c rune) bool { return c == '\n' })
	r.stdin = read(stdin)
	return r
}

func read(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(content)
}

// written parses what a run of the script wrote.
func (r run) written(t *testing.T) objects {
	t.Helper()
	if r.err != nil {
		t.Fatalf("deploy.sh: %v\n%s", r.err, r.output)
	}
	names, err := filepath.Glob(filepath.Join(r.folder, "*.yml"))
	if err != nil || len(names) == 0 {
		t.Fatal("nothing written", err)
	}
	out := objects{}
	for _, name := range names {
		maps.Copy(out, parse(t, name, []byte(read(name))))
	}
	return out
}

// plain is an object as JSON, without the labels that say who installed it.
func plain(t *testing.T, o runtime.Object) map[string]any {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if labels, ok := out["metadata"].(map[string]any)["labels"].(map[string]any); ok {
		delete(labels, "helm.sh/chart")
		delete(labels, "app.kubernetes.io/managed-by")
	}
	return out
}
