package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Why a token is refused, or nobody can say. Every error of Review is one of them, with details.
var (
	// ErrTokenExpired: it was a token of this cluster once.
	ErrTokenExpired = errors.New("token has expired")
	// ErrTokenForged: it is no token, or none that this cluster made.
	ErrTokenForged = errors.New("token was not made by this cluster")
	// ErrTokenAudience: it was made for somebody else.
	ErrTokenAudience = errors.New("token is for another audience")
	// ErrTokenUnbound: it is a good token, but not that of a pod's service account.
	ErrTokenUnbound = errors.New("token is not bound to a pod")
	// ErrTokenPod: the pod it is bound to is gone, was replaced, or is on another node than it says.
	ErrTokenPod = errors.New("pod of the token does not run")
	// ErrReviewForbidden: our own service account may not review tokens or read pods.
	ErrReviewForbidden = errors.New("server may not review tokens")
	// ErrUnreachable: the API server does not answer, so nobody knows. Try again later.
	ErrUnreachable = errors.New("API server cannot be asked")
)

// Identity is whom Kubernetes vouches for.
type Identity struct {
	// Namespace and ServiceAccount name the service account.
	Namespace, ServiceAccount string
	// Pod and PodUID are the pod that the token is bound to, which exists and is not over.
	Pod, PodUID string
	// Node is where that pod runs.
	Node string
}

// The extra fields of a bound token's user.
const (
	extraPod    = "authentication.kubernetes.io/pod-name"
	extraPodUID = "authentication.kubernetes.io/pod-uid"
	extraNode   = "authentication.kubernetes.io/node-name"
)

// Review asks the API server whose token this is, and for whom it was made; then it looks at the
// pod. It takes 15 s at most. The token is in no error.
func (a *Access) Review(ctx context.Context, token, audience string) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if token == "" || audience == "" {
		return Identity{}, fmt.Errorf("%w: empty token or audience", ErrTokenForged)
	}
	review, err := a.reviews.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}, metav1.CreateOptions{})
	if err != nil {
		return Identity{}, unknown("token review", err)
	}
	status := review.Status
	if !status.Authenticated {
		return Identity{}, refusal(token, audience, status.Error, time.Now())
	}
	// An API server that does not know audiences leaves this empty: it vouches for the user only.
	if !slices.Contains(status.Audiences, audience) {
		return Identity{}, fmt.Errorf("%w: it is for %q, not for %q", ErrTokenAudience, status.Audiences, audience)
	}
	id, err := identity(status.User)
	if err != nil {
		return Identity{}, err
	}
	return a.checkPod(ctx, id)
}

// identity reads who a reviewed user is.
func identity(user authenticationv1.UserInfo) (Identity, error) {
	account, isAccount := strings.CutPrefix(user.Username, "system:serviceaccount:")
	namespace, name, _ := strings.Cut(account, ":")
	id := Identity{Namespace: namespace, ServiceAccount: name,
		Pod: extra(user, extraPod), PodUID: extra(user, extraPodUID), Node: extra(user, extraNode)}
	if !isAccount || id.Pod == "" || id.PodUID == "" {
		return Identity{}, fmt.Errorf("%w: it is that of %q", ErrTokenUnbound, user.Username)
	}
	return id, nil
}

func extra(user authenticationv1.UserInfo, key string) string {
	if values := user.Extra[key]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// checkPod asks for the pod rather than looking it up among the known ones: an agent enrols within
// a second of its start, the watch may be behind, and a token's pod may be no agent at all.
func (a *Access) checkPod(ctx context.Context, id Identity) (Identity, error) {
	pod, err := a.reviews.CoreV1().Pods(id.Namespace).Get(ctx, id.Pod, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return Identity{}, fmt.Errorf("%w: %s/%s is gone", ErrTokenPod, id.Namespace, id.Pod)
	case err != nil:
		return Identity{}, unknown("pod of the token", err)
	case string(pod.UID) != id.PodUID:
		return Identity{}, fmt.Errorf("%w: %s/%s is another one of that name", ErrTokenPod, id.Namespace, id.Pod)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return Identity{}, fmt.Errorf("%w: %s/%s is over (%s)", ErrTokenPod, id.Namespace, id.Pod, pod.Status.Phase)
	case pod.Spec.NodeName == "" || id.Node != "" && id.Node != pod.Spec.NodeName: // before 1.32 tokens name no node
		return Identity{}, fmt.Errorf("%w: %s/%s is on node %q, its token was made on %q", ErrTokenPod, id.Namespace, id.Pod, pod.Spec.NodeName, id.Node)
	}
	id.Node = pod.Spec.NodeName
	return id, nil
}

// unknown is the error of a question that the API server did not answer.
func unknown(what string, err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return fmt.Errorf("%s: %w: %w", what, ErrReviewForbidden, oneLine{err})
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnreachable, oneLine{err})
}

// refusal says why the API server does not know a token. Its own text is for people and changes
// between versions, so the token's claims decide, as far as they are needed to tell apart what the
// API server has refused already: they are not verified, and nothing is granted by them.
func refusal(token, audience, said string, now time.Time) error {
	claims, err := unverified(token)
	reason := ErrTokenForged
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrTokenForged, err)
	case claims.Expires > 0 && now.Unix() >= claims.Expires && strings.Contains(said, "expired"):
		reason = ErrTokenExpired
	case !slices.Contains(claims.Audience, audience) && strings.Contains(said, "audience"):
		reason = ErrTokenAudience
	case strings.Contains(said, "invalidated"), strings.Contains(said, "not found"), strings.Contains(said, "does not match service account"):
		reason = ErrTokenPod
	}
	return fmt.Errorf("%w: the API server says %q", reason, clip(said))
}

// clip keeps a foreign text short enough for a log line.
func clip(text string) string { return text[:min(len(text), 200)] }

// claims are those of a token that matter here.
type claims struct {
	Expires  int64     `json:"exp"`
	Audience audiences `json:"aud"`
}

// audiences are one text or a list of them.
type audiences []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audiences) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// unverified reads the claims of a token without a look at its signature.
func unverified(token string) (c claims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errors.New("it is no JSON web token")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(body, &c) != nil {
		return c, errors.New("it is no JSON web token: its claims cannot be read")
	}
	return c, nil
}
