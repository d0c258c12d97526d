package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// Reviewer asks Kubernetes about tokens. Any goroutine may use it.
type Reviewer interface {
	// Review returns who holds a token that is good for audience. The error wraps ErrTokenRefused when
	// Kubernetes says that it is not; any other error means that nobody knows. It holds no token.
	Review(ctx context.Context, token, audience string) (TokenHolder, error)
}

// ErrTokenRefused says that a token is forged, expired, of another audience, or of a pod that is gone.
var ErrTokenRefused = errors.New("token refused")

// TokenHolder is whom a token stands for.
type TokenHolder struct {
	// ServiceAccount is NAMESPACE/NAME.
	ServiceAccount string
	// Pod and UID are of the pod that the token is bound to, "" when it is bound to none.
	Pod, UID string
	// Node is the pod's node, "" where Kubernetes does not say (before 1.30).
	Node string
}

// Enrolment is what a server needs to enrol agents.
type Enrolment struct {
	Masters  *Masters
	Reviewer Reviewer
	// Accounts are the service accounts of agents, as NAMESPACE/NAME: every pod of a cluster can get a
	// token for our audience.
	Accounts []string
}

const (
	// enrolRate is how many claims a second are reviewed: 10,000 agents started at once have enrolled
	// after 200 s, and the API server hardly notices.
	enrolRate  = 50
	enrolBurst = 100
	// maxReviews bounds the reviews under way, reviewTime is what one may take.
	maxReviews = 16
	reviewTime = 5 * time.Second
)

// enroller is the server's side of enrolment.
type enroller struct {
	Enrolment
	tickets tickets
	rate    *rate.Limiter
	reviews slots
	// said bounds the log lines on refused claims.
	said *rate.Limiter

	granted, refused, failed atomic.Uint64
}

func newEnroller(e Enrolment) *enroller {
	return &enroller{Enrolment: e, rate: rate.NewLimiter(enrolRate, enrolBurst), reviews: make(slots, maxReviews),
		said: rate.NewLimiter(1, 20)}
}

// Enrolments counts the claims of agents since the server started.
type Enrolments struct {
	// Granted got their keys, Refused did not prove what they claimed, Failed came while the server had
	// no room or Kubernetes did not say.
	Granted, Refused, Failed uint64
}

// Enrolments returns the counters; they stay 0 without AuthKubernetes.
func (s *Server) Enrolments() Enrolments {
	e := s.enroller
	return Enrolments{e.granted.Load(), e.refused.Load(), e.failed.Load()}
}

// postEnrol serves POST /api/v1/agents/{name}/enrol, see EnrolRequest.
func (s *Server) postEnrol(c echo.Context) error {
	if s.cfg.Auth != AuthKubernetes {
		return failf(http.StatusNotFound, "this server enrols nobody (-auth %s)", s.cfg.Auth)
	}
	name, err := agentName(c)
	if err != nil {
		return err
	}
	answer, err := s.enrol(c, name)
	if err != nil {
		e := s.enroller
		if f, ok := errors.AsType[*failure](err); ok && f.status < http.StatusInternalServerError {
			e.refused.Add(1)
		} else {
			e.failed.Add(1)
		}
		if e.said.AllowN(s.now(), 1) {
			s.log.Warn("agent not enrolled", "agent", name, "from", c.RealIP(), "error", err)
		}
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) enrol(c echo.Context, name string) (*EnrolAnswer, error) {
	text := c.Request().Header.Get(SignatureHeader)
	signature, err := ParseSignature(text)
	if err != nil {
		return nil, fail(http.StatusUnauthorized, err)
	}
	body, done, err := s.readBody(c, MaxEnrol)
	if err != nil {
		return nil, err
	}
	defer done()
	// Strangers get no further: neither the limits below nor the API server are theirs to use up.
	if !s.cfg.MeshKeys.Verify(ForEnrol, name, signature, body) {
		return nil, failf(http.StatusForbidden, "enrolment of %q: not signed with a key of this mesh: another gossip keyring", name)
	}
	r := &EnrolRequest{}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, failf(http.StatusBadRequest, "enrolment of %q: %w", name, err)
	}
	if r.Challenge != nil {
		return s.showKey(name, r.Challenge)
	}
	return s.grant(c.Request().Context(), name, r)
}

// showKey answers a challenge.
func (s *Server) showKey(name string, challenge []byte) (*EnrolAnswer, error) {
	if len(challenge) != challengeSize {
		return nil, failf(http.StatusBadRequest, "challenge of %d bytes, want %d", len(challenge), challengeSize)
	}
	e := s.enroller
	a := &EnrolAnswer{Key: (*e.Masters.set.Load())[0].private.PublicKey().Bytes(), Ticket: e.tickets.issue(e.Masters, name, s.now())}
	a.Proof = s.cfg.MeshKeys.Sign(ForServerKey, name, 0, 0, proofOf(challenge, a)).String()
	return a, nil
}

// grant answers a claim.
func (s *Server) grant(ctx context.Context, name string, r *EnrolRequest) (*EnrolAnswer, error) {
	e := s.enroller
	if !e.rate.AllowN(s.now(), 1) {
		return nil, failf(http.StatusServiceUnavailable, "more than %d enrolments a second, try again", enrolRate)
	}
	if err := e.tickets.take(e.Masters, name, r.Ticket, s.now()); err != nil {
		if errors.Is(err, errFull) {
			return nil, fail(http.StatusServiceUnavailable, err)
		}
		return nil, fail(http.StatusForbidden, err)
	}
	claim, seal, err := e.Masters.openClaim(name, r)
	if err != nil {
		return nil, fail(http.StatusForbidden, err)
	}
	id, err := claim.identity(name)
	if err != nil {
		return nil, failf(http.StatusBadRequest, "claim of %q: %w", name, err)
	}
	give, err := e.reviews.take(ctx, "enrolments")
	if err != nil {
		return nil, err
	}
	defer give()
	if id.UID, err = s.review(ctx, id, claim.Token); err != nil {
		return nil, err
	}
	sealed, err := seal(id)
	if err != nil {
		return nil, fmt.Errorf("grant for %q: %w", name, err)
	}
	e.granted.Add(1)
	s.log.Info("agent enrolled", "agent", name, "node", id.Agent.Node, "network", id.Agent.Network.String())
	return &EnrolAnswer{Sealed: sealed}, nil
}

// review asks Kubernetes whether the token is of the very pod that id claims to be, and returns its uid.
func (s *Server) review(ctx context.Context, id Identity, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTime)
	defer cancel()
	holder, err := s.enroller.Reviewer.Review(ctx, token, TokenAudience)
	switch {
	case errors.Is(err, ErrTokenRefused):
		return "", failf(http.StatusForbidden, "token of %q: %w", id.Name, err)
	case err != nil:
		return "", failf(http.StatusServiceUnavailable, "token of %q: Kubernetes cannot be asked: %w", id.Name, err)
	case !slices.Contains(s.enroller.Accounts, holder.ServiceAccount):
		return "", failf(http.StatusForbidden, "token of %q: of service account %q, want %s", id.Name, clip(holder.ServiceAccount),
			strings.Join(s.enroller.Accounts, " or "))
	case holder.Pod == "":
		return "", failf(http.StatusForbidden, "token of %q: bound to no pod, want one that the kubelet projected into it", id.Name)
	case holder.Pod != id.Name:
		return "", failf(http.StatusForbidden, "token of %q: of pod %q", id.Name, clip(holder.Pod))
	}
	if err := checkUID(holder.UID); err != nil {
		return "", failf(http.StatusForbidden, "token of %q: %w", id.Name, err)
	}
	return holder.UID, s.checkPlace(id, holder.Node)
}

// checkPlace refuses an agent that claims another node than its token, or another node or network
// than its pod. A pod may be younger than what the server has heard of Kubernetes; then the token decides.
func (s *Server) checkPlace(id Identity, node string) error {
	if node != "" && node != id.Agent.Node {
		return failf(http.StatusForbidden, "token of %q: of node %q, not %q", id.Name, clip(node), id.Agent.Node)
	}
	pods, err := s.cfg.Expected.Expected(s.now())
	if i := slices.IndexFunc(pods, func(p ExpectedPod) bool { return p.Name == id.Name }); err == nil && i >= 0 && s.podsProven {
		if pods[i].Key != id.Agent {
			return failf(http.StatusForbidden, "agent %q: its pod is %s, not %s", id.Name, pods[i].Key, id.Agent)
		}
		return nil
	}
	if node == "" {
		return failf(http.StatusServiceUnavailable, "agent %q: its token names no node (Kubernetes before 1.30) and its pod is not known yet", id.Name)
	}
	return nil
}
