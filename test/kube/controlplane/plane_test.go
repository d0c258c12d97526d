package controlplane_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"netchecker/test/kube/controlplane"
	"netchecker/test/kube/programs"
)

var plane *controlplane.Plane

func TestMain(m *testing.M) {
	if os.Getenv(asVictim) != "" {
		os.Exit(victim())
	}
	os.Exit(controlplane.Main(m, &plane))
}

func TestTheServerHasTheVersionThatItWasBuiltFrom(t *testing.T) {
	v, err := plane.Client().Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v.GitVersion != programs.Version {
		t.Errorf("version %s, want %s", v.GitVersion, programs.Version)
	}
}

func TestATokenIsForItsAudienceAndBoundToItsPod(t *testing.T) {
	ctx := t.Context()
	must(t, plane.Namespace(ctx, "tokens"))
	if _, err := plane.Node(ctx, "token-node", nil, "192.0.2.11"); err != nil {
		t.Fatal(err)
	}
	pod, err := plane.Pod(ctx, controlplane.Pod{Namespace: "tokens", Name: "agent", Node: "token-node", IPs: []string{"10.244.1.2"}})
	if err != nil {
		t.Fatal(err)
	}
	if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP != "10.244.1.2" {
		t.Errorf("pod status %+v", pod.Status)
	}
	token, err := plane.Token(ctx, "tokens", "default", "netchecker", pod, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	review := func(audience string) authenticationv1.TokenReviewStatus {
		answer, err := plane.Client().AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status
	}
	got := review("netchecker")
	if !got.Authenticated || got.User.Username != "system:serviceaccount:tokens:default" {
		t.Errorf("review says %+v", got)
	}
	for key, want := range map[string]string{"authentication.kubernetes.io/pod-name": "agent", "authentication.kubernetes.io/node-name": "token-node"} {
		if values := got.User.Extra[key]; len(values) != 1 || values[0] != want {
			t.Errorf("%s is %q, want %q", key, values, want)
		}
	}
	if got := review("another"); got.Authenticated {
		t.Errorf("the token is taken for another audience: %+v", got)
	}
}

func TestAServiceAccountMayDoNothingByItself(t *testing.T) {
	ctx := t.Context()
	must(t, plane.Namespace(ctx, "rights"))
	config, err := plane.As(ctx, "rights", "default")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Pods("rights").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing pods: %v, want forbidden", err)
	}
}

func TestEtcdAndTheServerComeBackWithTheirDataAfterKill(t *testing.T) {
	ctx := t.Context()
	must(t, plane.Namespace(ctx, "kept"))
	plane.API.Kill()
	if _, err := plane.Client().CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{}); err == nil {
		t.Error("a killed API server answers")
	}
	plane.Etcd.Kill()
	must(t, plane.Etcd.Start(ctx))
	must(t, plane.API.Start(ctx))
	if _, err := plane.Client().CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestKubectlSpeaksToTheServer(t *testing.T) {
	if out, err := plane.Kubectl(t.Context(), "", "get", "--raw", "/readyz"); err != nil || out != "ok" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := plane.Kubectl(t.Context(), "", "get", "nonsense"); err == nil {
		t.Error("no error for a resource that does not exist")
	}
}

func TestTheFilesForEtcdExist(t *testing.T) {
	for _, file := range []string{plane.EtcdTLS.CA, plane.EtcdTLS.Cert, plane.EtcdTLS.Key, plane.Kubeconfig} {
		if !filepath.IsAbs(file) {
			t.Errorf("%s is not absolute", file)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
