package kube

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// instant is an API server that takes no time, so that what passes is what the client waits.
type instant struct{ t *testing.T }

func (i instant) RoundTrip(r *http.Request) (*http.Response, error) {
	var object any
	switch {
	case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
		object = &authenticationv1.TokenReview{TypeMeta: metav1.TypeMeta{Kind: "TokenReview", APIVersion: "authentication.k8s.io/v1"},
			Status: boundTo("netchecker-agent-x1", "uid-1", "node1")}
	case strings.HasSuffix(r.URL.Path, "/pods/netchecker-agent-x1"):
		pod := agentPod("node1", corev1.PodRunning)
		pod.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
		object = pod
	default:
		object = &corev1.NodeList{TypeMeta: metav1.TypeMeta{Kind: "NodeList", APIVersion: "v1"}}
	}
	body, err := json.Marshal(object)
	if err != nil {
		i.t.Error(err)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// TestReviewsHaveABudgetOfTheirOwn: with that of watches and Events 10,000 agents that started at once
// had enrolled after 17 minutes, and Events waited as long.
func TestReviewsHaveABudgetOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := newAccess(&rest.Config{Host: "http://apiserver", Transport: instant{t}}, "netchecker")
		if err != nil {
			t.Fatal(err)
		}
		const agents, admitted = 1000, 50
		begin := time.Now()
		var all sync.WaitGroup
		pace := time.NewTicker(time.Second / admitted)
		defer pace.Stop()
		for range agents {
			<-pace.C
			all.Go(func() {
				asked := time.Now()
				if _, err := a.Review(t.Context(), unsigned(`{}`), "netchecker"); err != nil {
					t.Error(err)
				}
				if waited := time.Since(asked); waited > 0 {
					t.Errorf("a review waited %v in the client", waited)
				}
			})
		}
		all.Wait()
		if took := time.Since(begin); took != agents/admitted*time.Second {
			t.Errorf("all took %v", took)
		}
		for range 200 { // as many as come at once
			all.Go(func() {
				if _, err := a.Review(t.Context(), unsigned(`{}`), "netchecker"); err != nil {
					t.Error(err)
				}
			})
		}
		asked := time.Now()
		if _, err := a.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil || time.Since(asked) > 0 {
			t.Errorf("a list waited %v for the reviews: %v", time.Since(asked), err)
		}
		all.Wait()
	})
}
