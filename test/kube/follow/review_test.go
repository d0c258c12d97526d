package follow_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/mesh/kube"
	"netchecker/test/kube/controlplane"
)

const audience = "netchecker"

// resigned changes the claims of a token and signs it with a key, by default the cluster's own.
func resigned(t *testing.T, token string, change func(claims map[string]any), key crypto.Signer) string {
	t.Helper()
	parts := strings.Split(token, ".")
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	claims := map[string]any{}
	must(t, json.Unmarshal(body, &claims))
	change(claims)
	body, err = json.Marshal(claims)
	must(t, err)
	if key == nil {
		key = clusterKey(t)
	}
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	if own, ok := key.(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(rand.Reader, own, sum[:])
		must(t, err)
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	} else {
		signature, err = key.Sign(rand.Reader, sum[:], crypto.SHA256)
		must(t, err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func clusterKey(t *testing.T) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile(plane.PKI.Path("sa.key"))
	must(t, err)
	block, _ := pem.Decode(text)
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return key.(crypto.Signer)
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	must(t, err)
	return key
}

func strangersKey(t *testing.T) crypto.Signer {
	t.Helper()
	if _, ok := clusterKey(t).(*rsa.PrivateKey); ok {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		return key
	}
	key, err := ecdsa.GenerateKey(clusterKey(t).(*ecdsa.PrivateKey).Curve, rand.Reader)
	must(t, err)
	return key
}

func TestTokensAreReviewedByTheRealAPIServer(t *testing.T) {
	ctx := t.Context()
	access := account(t, "tokens", shipped()...)
	must(t, plane.ServiceAccount(ctx, "tokens", "agent"))
	_, err := plane.Node(ctx, "tokens-node", nil)
	must(t, err)
	pod, err := plane.Pod(ctx, controlplane.Pod{Namespace: "tokens", Name: "netchecker-agent-1", Node: "tokens-node", ServiceAccount: "agent"})
	must(t, err)
	doomed, err := plane.Pod(ctx, controlplane.Pod{Namespace: "tokens", Name: "netchecker-agent-2", Node: "tokens-node", ServiceAccount: "agent"})
	must(t, err)
	good, err := plane.Token(ctx, "tokens", "agent", audience, pod, 0)
	must(t, err)
	other, err := plane.Token(ctx, "tokens", "agent", "vault", pod, 0)
	must(t, err)
	unbound, err := plane.Token(ctx, "tokens", "agent", audience, nil, 0)
	must(t, err)
	orphan, err := plane.Token(ctx, "tokens", "agent", audience, doomed, 0)
	must(t, err)
	must(t, client(t).CoreV1().Pods("tokens").Delete(ctx, doomed.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	past := func(claims map[string]any) {
		claims["iat"], claims["nbf"], claims["exp"] = time.Now().Add(-2*time.Hour).Unix(), time.Now().Add(-2*time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	}
	same := func(map[string]any) {}

	id, err := access.Review(ctx, good, audience)
	want := kube.Identity{Namespace: "tokens", ServiceAccount: "agent", Pod: pod.Name, PodUID: string(pod.UID), Node: "tokens-node"}
	if err != nil || id != want {
		t.Fatalf("%+v, %v, want %+v", id, err, want)
	}
	if _, err := access.Review(ctx, resigned(t, good, same, nil), audience); err != nil {
		t.Fatalf("signed anew with the cluster's key, which the cases below rely on: %v", err)
	}
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"expired":                  {resigned(t, good, past, nil), kube.ErrTokenExpired},
		"signed by a stranger":     {resigned(t, good, same, strangersKey(t)), kube.ErrTokenForged},
		"cut off":                  {good[:len(good)-20], kube.ErrTokenForged},
		"no token":                 {"hello", kube.ErrTokenForged},
		"of another audience":      {other, kube.ErrTokenAudience},
		"of no pod":                {unbound, kube.ErrTokenUnbound},
		"of a pod that is deleted": {orphan, kube.ErrTokenPod},
	} {
		if _, err := access.Review(ctx, c.token, audience); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, right := range []string{"tokenreviews", "pods"} {
		rest := shipped()
		for i := range rest {
			if rest[i].Resources[0] == right {
				rest = append(rest[:i], rest[i+1:]...)
				break
			}
		}
		if _, err := account(t, "tokens-no-"+right, rest...).Review(ctx, good, audience); !errors.Is(err, kube.ErrReviewForbidden) {
			t.Errorf("without leave for %s: %v", right, err)
		}
	}
	plane.API.Kill()
	_, err = access.Review(ctx, good, audience)
	must(t, plane.API.Start(context.Background()))
	if !errors.Is(err, kube.ErrUnreachable) {
		t.Errorf("with no API server: %v", err)
	}
}
