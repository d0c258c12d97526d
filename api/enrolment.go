package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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
	// maxReviews bounds the reviews under way, reviewTime is what one may take.
	maxReviews = 16
	reviewTime = 5 * time.Second
	// roomTime is when an agent is to come again that found no room for its request.
	roomTime = time.Second
)

// enroller is the server's side of enrolment.
type enroller struct {
	Enrolment
	tickets tickets
	queue   enrolQueue
	reviews slots
	// said bounds the log lines on refused claims.
	said *rate.Limiter

	granted atomic.Uint64
	refused [EnrolRefusals]atomic.Uint64
	// under counts the claims under review.
	under atomic.Int64
}

func newEnroller(e Enrolment) *enroller {
	return &enroller{Enrolment: e, queue: newEnrolQueue(), reviews: make(slots, maxReviews), said: rate.NewLimiter(1, 20)}
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
	if err == nil {
		return c.JSON(http.StatusOK, answer)
	}
	e := s.enroller
	refusal, _ := errors.AsType[*enrolError](err)
	if refusal != nil && refusal.after > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int((refusal.after+time.Second-1)/time.Second)))
	}
	if _, again := errors.AsType[*repeated](err); again {
		return err
	}
	switch {
	case refusal == nil: // nothing that an agent could do causes it
		s.log.Error("agent not enrolled", "agent", name, "error", err)
		return err
	case refusal.why == EnrolBusy: // as agreed; the metrics say how many
		s.log.Debug("agent not enrolled yet", "agent", name, "from", c.RealIP(), "after", refusal.after)
	case e.said.AllowN(s.now(), 1):
		s.log.Warn("agent not enrolled", "agent", name, "from", c.RealIP(), "error", err)
	}
	e.refused[refusal.why].Add(1)
	return err
}

func (s *Server) enrol(c echo.Context, name string) (*EnrolAnswer, error) {
	text := c.Request().Header.Get(SignatureHeader)
	signature, err := ParseSignature(text)
	if err != nil {
		return nil, because(EnrolForeign, fail(http.StatusUnauthorized, err))
	}
	body, done, err := s.readBody(c, MaxEnrol)
	switch {
	case err != nil && refusalOf(err) == Overloaded: // not of the queue: whoever sends a body may be a stranger
		return nil, s.enroller.busy(roomTime, err)
	case err != nil:
		return nil, because(EnrolMalformed, err)
	}
	defer done()
	// Strangers get no further: neither the limits below nor the API server are theirs to use up.
	if !s.cfg.MeshKeys.Verify(ForEnrol, name, signature, body) {
		return nil, because(EnrolForeign, failf(http.StatusForbidden, "enrolment of %q: not signed with a key of this mesh: another gossip keyring", name))
	}
	r := &EnrolRequest{}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, because(EnrolMalformed, failf(http.StatusBadRequest, "enrolment of %q: %w", name, err))
	}
	if r.Challenge != nil {
		return s.showKey(name, r.Challenge)
	}
	return s.grant(c.Request().Context(), name, r)
}

// showKey answers a challenge.
func (s *Server) showKey(name string, challenge []byte) (*EnrolAnswer, error) {
	if len(challenge) != challengeSize {
		return nil, because(EnrolMalformed, failf(http.StatusBadRequest, "challenge of %d bytes, want %d", len(challenge), challengeSize))
	}
	e := s.enroller
	a := &EnrolAnswer{Key: (*e.Masters.set.Load())[0].private.PublicKey().Bytes(), Ticket: e.tickets.issue(e.Masters, name, s.now())}
	a.Proof = s.cfg.MeshKeys.Sign(ForServerKey, name, 0, 0, proofOf(challenge, a)).String()
	return a, nil
}

// grant answers a claim.
func (s *Server) grant(ctx context.Context, name string, r *EnrolRequest) (*EnrolAnswer, error) {
	e, now := s.enroller, s.now()
	if err := e.Masters.checkTicket(name, r.Ticket, now); err != nil {
		return nil, because(EnrolTicket, fail(http.StatusForbidden, err))
	}
	d, first, err := e.tickets.take(r, now, func() error {
		if after := e.queue.take(now); after > 0 {
			return e.busy(after, fmt.Errorf("more than %d enrolments a second, come again in %v", enrolRate, after.Round(time.Second)))
		}
		return nil
	})
	switch {
	case errors.Is(err, errUsed):
		return nil, because(EnrolTicket, fail(http.StatusForbidden, err))
	case errors.Is(err, errFull):
		return nil, e.busy(e.queue.book(now), err)
	case err != nil:
		return nil, err
	case !first:
		return d.wait(ctx)
	}
	// The other way of the same claim may wait for this one, whose own may break off meanwhile.
	return d.decide(func() (*EnrolAnswer, error) { return s.decide(context.WithoutCancel(ctx), name, r) })
}

// decide opens a claim and has it reviewed.
func (s *Server) decide(ctx context.Context, name string, r *EnrolRequest) (*EnrolAnswer, error) {
	e := s.enroller
	claim, seal, err := e.Masters.openClaim(name, r)
	if err != nil {
		return nil, because(EnrolMalformed, fail(http.StatusForbidden, err))
	}
	id, err := claim.identity(name)
	if err != nil {
		return nil, because(EnrolMalformed, failf(http.StatusBadRequest, "claim of %q: %w", name, err))
	}
	e.under.Add(1)
	defer e.under.Add(-1)
	give, err := e.reviews.take(ctx, "enrolments")
	if err != nil {
		return nil, e.busy(e.queue.book(s.now()), err)
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
		return "", because(EnrolToken, failf(http.StatusForbidden, "token of %q: %w", id.Name, err))
	case err != nil:
		return "", because(EnrolUnreviewed, failf(http.StatusServiceUnavailable, "token of %q: Kubernetes cannot be asked: %w", id.Name, err))
	case !slices.Contains(s.enroller.Accounts, holder.ServiceAccount):
		return "", because(EnrolIdentity, failf(http.StatusForbidden, "token of %q: of service account %q, want %s", id.Name, clip(holder.ServiceAccount),
			strings.Join(s.enroller.Accounts, " or ")))
	case holder.Pod == "":
		return "", because(EnrolIdentity, failf(http.StatusForbidden, "token of %q: bound to no pod, want one that the kubelet projected into it", id.Name))
	case holder.Pod != id.Name:
		return "", because(EnrolIdentity, failf(http.StatusForbidden, "token of %q: of pod %q", id.Name, clip(holder.Pod)))
	}
	if err := checkUID(holder.UID); err != nil {
		return "", because(EnrolIdentity, failf(http.StatusForbidden, "token of %q: %w", id.Name, err))
	}
	return holder.UID, s.checkPlace(id, holder.Node)
}

// checkPlace refuses an agent that claims another node than its token, or another node or network
// than its pod. A pod may be younger than what the server has heard of Kubernetes; then the token decides.
func (s *Server) checkPlace(id Identity, node string) error {
	if node != "" && node != id.Agent.Node {
		return because(EnrolIdentity, failf(http.StatusForbidden, "token of %q: of node %q, not %q", id.Name, clip(node), id.Agent.Node))
	}
	pods, err := s.cfg.Expected.Expected(s.now())
	if i := slices.IndexFunc(pods, func(p ExpectedPod) bool { return p.Name == id.Name }); err == nil && i >= 0 && s.podsProven {
		if pods[i].Key != id.Agent {
			return because(EnrolIdentity, failf(http.StatusForbidden, "agent %q: its pod is %s, not %s", id.Name, pods[i].Key, id.Agent))
		}
		return nil
	}
	if node == "" {
		return because(EnrolUnreviewed, failf(http.StatusServiceUnavailable, "agent %q: its token names no node (Kubernetes before 1.30) and its pod is not known yet", id.Name))
	}
	return nil
}
