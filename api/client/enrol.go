package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"netchecker/api"
	"netchecker/mesh"
)

// credential is what an agent was granted: keys of its own, and what they were made for.
type credential struct {
	keys  *api.Keys
	agent mesh.Key
	uid   string
}

// enrolment is what is known of enrolling at one server.
type enrolment struct {
	// held is the server's grant, nil while it takes another server's.
	held *credential
	// busy lets one enrolment at a time happen.
	busy chan struct{}
	// after is when the next may be tried, failed what kept the last from succeeding.
	after    time.Time
	failed   error
	failures int
}

const (
	// retryEnrol is the longest wait before the next attempt to enrol, reached by doubling a second.
	retryEnrol = 30 * time.Second
	// trustGrant is how long a new grant is not doubted: a server that still refuses what it signs has
	// another reason than its age, and asking again would only load Kubernetes.
	trustGrant = 30 * time.Second
)

// send signs and posts a message. With a token it enrols first, and once more when the server says
// that it does not know the key.
func (c *Client) send(ctx context.Context, m *message, sequence uint64, peers []string) (*answer, Way, error) {
	if c.cfg.Token == nil {
		m.signature = c.sign(m.purpose, sequence, m.body)
		return c.post(ctx, m, peers)
	}
	held, err := c.credential(ctx, m.server, peers, nil)
	if err != nil {
		return nil, Way{}, err
	}
	m.signature = held.sign(c, m, sequence)
	a, way, err := c.post(ctx, m, peers)
	if err != nil || a.status != http.StatusUnauthorized || held == nil {
		return a, way, err
	}
	fresh, failed := c.credential(ctx, m.server, peers, held)
	if failed != nil || fresh == held {
		return a, way, nil // the refusal says more than what kept the agent from another key
	}
	m.signature = fresh.sign(c, m, sequence)
	return c.post(ctx, m, peers)
}

func (c *Client) sign(p api.Purpose, sequence uint64, body []byte) string {
	if c.cfg.Keys == nil {
		return ""
	}
	return c.cfg.Keys.Sign(p, c.cfg.Name, c.cfg.Boot, sequence, body).String()
}

func (h *credential) sign(c *Client, m *message, sequence uint64) string {
	if h == nil {
		return ""
	}
	s := h.keys.Sign(m.purpose, c.cfg.Name, c.cfg.Boot, sequence, m.body)
	s.Agent, s.UID = h.agent, h.uid
	return s.String()
}

// credential returns what to sign with for a server: what it granted, else what another one did,
// else what it grants now; nil when it enrols nobody. refused is one that the server did not take:
// then only another will do, or the same where it is too young to be doubted.
func (c *Client) credential(ctx context.Context, to string, peers []string, refused *credential) (*credential, error) {
	var busy chan struct{}
	c.learn(to, func(s *server) {
		if s.busy == nil {
			s.busy = make(chan struct{}, 1)
		}
		busy = s.busy
	})
	if h, ok, err := c.known(to, refused); ok {
		return h, err
	}
	select {
	case busy <- struct{}{}:
		defer func() { <-busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("enrol: %w", ctx.Err())
	}
	if h, ok, err := c.known(to, refused); ok { // somebody else has enrolled meanwhile
		return h, err
	}
	h, err := c.enrol(ctx, to, peers)
	return h, c.enrolled(to, h, err)
}

// known is what credential returns without asking the server; ok says that there is such an answer.
func (c *Client) known(to string, refused *credential) (h *credential, ok bool, err error) {
	now := time.Now()
	c.learn(to, func(s *server) {
		h = s.held
		if h == nil {
			h = c.latest
		}
		switch waits := now.Before(s.after); {
		case h != nil && h != refused:
			ok = true
		case waits && s.failed == nil: // enrolled a moment ago, or never here
			ok = true
		case waits:
			h, err, ok = nil, s.failed, true
		}
	})
	return h, ok, err
}

// enrolled notes how an attempt ended.
func (c *Client) enrolled(to string, h *credential, err error) error {
	said := false
	c.learn(to, func(s *server) {
		said = err == nil || s.failed == nil || s.failed.Error() != err.Error()
		s.failed = err
		if err != nil {
			wait := min(time.Second<<min(s.failures, 10), retryEnrol)
			wait = wait/2 + rand.N(wait)
			s.failures++
			if late, ok := errors.AsType[*laterError](err); ok { // the server knows how many there are
				wait, s.failures = late.after+rand.N(time.Second), 0
			}
			s.after = time.Now().Add(wait)
			return
		}
		s.failures, s.after = 0, time.Now().Add(trustGrant)
		if s.held = h; h != nil {
			c.latest = h
		}
	})
	switch {
	case !said:
	case err != nil:
		c.cfg.Log.Warn("not enrolled: nothing is reported until it succeeds", "server", to, "error", err)
	case h == nil:
		c.cfg.Log.Warn("server enrols nobody: rows and reports go there without a signature", "server", to)
	default:
		c.cfg.Log.Info("enrolled", "server", to)
	}
	return err
}

// laterError is the error of a server that says when to come again.
type laterError struct {
	error
	after time.Duration
}

// errEnrolsNobody says that the server has no notion of enrolment, or another -auth.
var errEnrolsNobody = errors.New("server enrols nobody")

// enrol asks a server for the agent's key; nil when it enrols nobody. The token is read anew each
// time: the kubelet rotates it.
func (c *Client) enrol(ctx context.Context, to string, peers []string) (*credential, error) {
	ask := api.NewChallenge()
	shown, err := c.askEnrol(ctx, to, peers, ask)
	if errors.Is(err, errEnrolsNobody) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if err := api.CheckServerKey(c.cfg.MeshKeys, c.cfg.Name, ask, shown); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	token, err := c.cfg.Token()
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	claim, open, err := api.SealClaim(c.cfg.Name, shown, api.EnrolClaim{Token: token, Node: c.cfg.Agent.Node, Network: c.cfg.Agent.Network.String()})
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	answer, err := c.askEnrol(ctx, to, peers, claim)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	grant, err := open(answer)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return &credential{api.NewKeys(grant.Secret), c.cfg.Agent, grant.UID}, nil
}

// askEnrol posts one request to enrol.
func (c *Client) askEnrol(ctx context.Context, to string, peers []string, r *api.EnrolRequest) (*api.EnrolAnswer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	m := &message{server: to, name: c.cfg.Name, purpose: api.ForEnrol, body: body}
	m.signature = c.cfg.MeshKeys.Sign(api.ForEnrol, c.cfg.Name, c.cfg.Boot, 0, body).String()
	a, _, err := c.post(ctx, m, peers)
	if err != nil {
		return nil, err
	}
	out := &api.EnrolAnswer{}
	switch a.status {
	case http.StatusOK:
		return out, json.Unmarshal(a.body, out)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return nil, errEnrolsNobody
	case http.StatusServiceUnavailable:
		if a.after > time.Second { // less is what every busy answer says
			return nil, &laterError{a.err(), a.after}
		}
	}
	return nil, a.err()
}
