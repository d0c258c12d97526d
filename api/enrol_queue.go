package api

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// enrolRate is how many claims a second are reviewed: 10,000 agents started at once have enrolled
	// after 200 s, and the API server, which is asked twice for each, hardly notices.
	enrolRate  = 50
	enrolBurst = 100
	// maxEnrolWait is the longest that an agent is told to wait, so that whoever makes claims on end
	// keeps nobody out for longer.
	maxEnrolWait = 5 * time.Minute
)

// enrolQueue lets enrolRate claims a second pass, and tells an agent that finds no room when to come
// again: each one a little later than the one before, so that they come as fast as they are served,
// and wait at home instead of here.
type enrolQueue struct {
	rate *rate.Limiter
	mu   sync.Mutex
	last time.Time // what the last one was told
}

func newEnrolQueue() enrolQueue { return enrolQueue{rate: rate.NewLimiter(enrolRate, enrolBurst)} }

// take returns 0 for a claim that may be reviewed now, or how long its agent is to wait.
func (q *enrolQueue) take(now time.Time) time.Duration {
	if q.rate.AllowN(now, 1) {
		return 0
	}
	return q.book(now)
}

// book returns how long the next agent without room is to wait.
func (q *enrolQueue) book(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last.Before(now) {
		q.last = now
	}
	q.last = q.last.Add(time.Second / enrolRate)
	if latest := now.Add(maxEnrolWait); q.last.After(latest) {
		q.last = latest
	}
	return q.last.Sub(now)
}

// waiting is how many were told to come at a time that is still ahead.
func (q *enrolQueue) waiting(now time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(max(0, q.last.Sub(now)) * enrolRate / time.Second)
}

// EnrolRefusal is why an agent did not get its key. Append only: it is a label of metrics.
type EnrolRefusal uint8

// The reasons.
const (
	// EnrolMalformed: a request or claim that cannot be read, is too large or too slow.
	EnrolMalformed EnrolRefusal = iota
	// EnrolForeign: not signed with a key of this mesh.
	EnrolForeign
	// EnrolTicket: its ticket is none of ours, too old, or came with another claim before.
	EnrolTicket
	// EnrolToken: Kubernetes does not take its token.
	EnrolToken
	// EnrolIdentity: the token is good, but of another pod, node, network or service account.
	EnrolIdentity
	// EnrolBusy: it was told to come again later.
	EnrolBusy
	// EnrolUnreviewed: Kubernetes did not say.
	EnrolUnreviewed
	// EnrolRefusals is the number of reasons.
	EnrolRefusals = 7
)

// String returns the reason as it stands in metrics.
func (r EnrolRefusal) String() string {
	return [...]string{"malformed", "foreign", "ticket", "token", "identity", "busy", "unreviewed", "other"}[min(r, EnrolRefusals)]
}

// enrolError is the error of a request to enrol, with its reason and when to try again, 0 for
// whenever the agent likes.
type enrolError struct {
	error
	why   EnrolRefusal
	after time.Duration
}

func (e *enrolError) Unwrap() error { return e.error }

func because(why EnrolRefusal, err error) error { return &enrolError{error: err, why: why} }

func (e *enroller) busy(after time.Duration, err error) error {
	return &enrolError{fail(http.StatusServiceUnavailable, err), EnrolBusy, after}
}

// Enrolments says how the agents' claims went since the server started.
type Enrolments struct {
	// Enabled says that agents enrol here (AuthKubernetes).
	Enabled bool
	// Granted got their keys.
	Granted uint64
	Refused [EnrolRefusals]uint64
	// Waiting are under review or were told to come at a time that is still ahead.
	Waiting int
}

// Enrolments returns the counters.
func (s *Server) Enrolments() Enrolments {
	e := s.enroller
	out := Enrolments{Enabled: s.cfg.Auth == AuthKubernetes, Granted: e.granted.Load(), Waiting: int(e.under.Load()) + e.queue.waiting(s.now())}
	for r := range out.Refused {
		out.Refused[r] = e.refused[r].Load()
	}
	return out
}
