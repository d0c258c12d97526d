package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// unsigned is a token with these claims, as anybody could write one.
func unsigned(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + "." + part([]byte("signature"))
}

// reviewer answers every review with a status, and knows one pod.
func reviewer(status authenticationv1.TokenReviewStatus, fail error, pod *corev1.Pod) *Access {
	client := fake.NewClientset(pod)
	client.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status = status
		return true, review, fail
	})
	return &Access{reviews: client}
}

func agentPod(node string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "netchecker", Name: "netchecker-agent-x1", UID: "uid-1"},
		Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
}

func boundTo(pod, uid, node string) authenticationv1.TokenReviewStatus {
	extra := map[string]authenticationv1.ExtraValue{extraPod: {pod}, extraPodUID: {uid}, extraNode: {node}}
	if node == "" {
		delete(extra, extraNode)
	}
	return authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{"netchecker"},
		User: authenticationv1.UserInfo{Username: "system:serviceaccount:netchecker:agent", Extra: extra}}
}

func TestAReviewedTokenIsThatOfItsPodOnItsNode(t *testing.T) {
	for _, node := range []string{"node1", ""} {
		a := reviewer(boundTo("netchecker-agent-x1", "uid-1", node), nil, agentPod("node1", corev1.PodRunning))
		id, err := a.Review(context.Background(), unsigned(`{}`), "netchecker")
		want := Identity{"netchecker", "agent", "netchecker-agent-x1", "uid-1", "node1"}
		if err != nil || id != want {
			t.Errorf("token that names node %q: %+v, %v, want %+v", node, id, err, want)
		}
	}
}

func TestARefusedTokenSaysWhy(t *testing.T) {
	no := func(why string) authenticationv1.TokenReviewStatus {
		return authenticationv1.TokenReviewStatus{Error: why}
	}
	past := fmt.Sprintf(`{"exp":%d,"aud":["netchecker"]}`, time.Now().Add(-time.Hour).Unix())
	future := fmt.Sprintf(`{"exp":%d,"aud":"netchecker"}`, time.Now().Add(time.Hour).Unix())
	good := boundTo("netchecker-agent-x1", "uid-1", "node1")
	stranger := good
	stranger.User = authenticationv1.UserInfo{Username: "jane"}
	other := good
	other.Audiences = []string{"https://kubernetes.default.svc"}
	unaware := good
	unaware.Audiences = nil
	unbound := good
	unbound.User.Extra = nil
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "authentication.k8s.io", Resource: "tokenreviews"}, "", errors.New("no"))
	running := agentPod("node1", corev1.PodRunning)
	for name, c := range map[string]struct {
		token  string
		status authenticationv1.TokenReviewStatus
		fail   error
		pod    *corev1.Pod
		want   error
	}{
		"expired":              {unsigned(past), no("[invalid bearer token, service account token has expired]"), nil, running, ErrTokenExpired},
		"claims to be expired": {unsigned(past), no("invalid bearer token"), nil, running, ErrTokenForged},
		"forged":               {unsigned(future), no("invalid bearer token"), nil, running, ErrTokenForged},
		"no token at all":      {"abc", no("invalid bearer token"), nil, running, ErrTokenForged},
		"empty":                {"", good, nil, running, ErrTokenForged},
		"of another audience":  {unsigned(`{"aud":["vault"]}`), no(`[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["netchecker"]]`), nil, running, ErrTokenAudience},
		"vouched for another":  {unsigned(future), other, nil, running, ErrTokenAudience},
		"no word of audience":  {unsigned(future), unaware, nil, running, ErrTokenAudience},
		"of a person":          {unsigned(future), stranger, nil, running, ErrTokenUnbound},
		"of no pod":            {unsigned(future), unbound, nil, running, ErrTokenUnbound},
		"of another node":      {unsigned(future), good, nil, agentPod("node2", corev1.PodRunning), ErrTokenPod},
		"of an older pod":      {unsigned(future), boundTo("netchecker-agent-x1", "uid-0", "node1"), nil, running, ErrTokenPod},
		"of a pod that ended":  {unsigned(future), good, nil, agentPod("node1", corev1.PodFailed), ErrTokenPod},
		"of a deleted pod":     {unsigned(future), boundTo("netchecker-agent-x2", "uid-2", "node1"), nil, running, ErrTokenPod},
		"invalidated":          {unsigned(future), no("[invalid bearer token, service account token has been invalidated]"), nil, running, ErrTokenPod},
		"another of its name":  {unsigned(future), no("[invalid bearer token, pod UID (1) does not match service account pod ref claim (2)]"), nil, running, ErrTokenPod},
		"we may not ask":       {unsigned(future), good, forbidden, running, ErrReviewForbidden},
		"nobody to ask":        {unsigned(future), good, syscall.ECONNREFUSED, running, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := reviewer(c.status, c.fail, c.pod).Review(context.Background(), c.token, "netchecker")
			if !errors.Is(err, c.want) || id != (Identity{}) {
				t.Fatalf("%+v, %v, want %v", id, err, c.want)
			}
			if c.token != "" && strings.Contains(err.Error(), c.token) {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}
