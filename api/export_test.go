package api

import (
	"time"

	"netchecker/mesh"
)

// SetBodyTime shortens how long a body may take.
func (s *Server) SetBodyTime(d time.Duration) { s.bodyTime = d }

// TakeAnswerSlots takes every slot of large answers and returns the function that frees them.
func (s *Server) TakeAnswerSlots() func() {
	for range cap(s.answers) {
		s.answers <- struct{}{}
	}
	return func() {
		for range cap(s.answers) {
			<-s.answers
		}
	}
}

// BytesInFlight is how much of the budget for bodies is taken.
func (s *Server) BytesInFlight() int64 { return s.bodies.used.Load() }

// TakeBodyBudget takes all of the budget for bodies.
func (s *Server) TakeBodyBudget() { s.bodies.take(s.bodies.most - s.bodies.used.Load()) }

// ParseQuery lets the fuzzer at the parser.
var ParseQuery = parseQuery

// BodyBudget is the budget for bodies in bytes.
const BodyBudget = maxInFlight

// MaxLines is the most paths that the text form lists.
const MaxLines = maxLines

// OpenClaim lets the fuzzer at what agents seal.
func (m *Masters) OpenClaim(name string, r *EnrolRequest) (*EnrolClaim, error) {
	claim, _, err := m.openClaim(name, r)
	return claim, err
}

// DrawOverview draws an overview of the view and returns the sizes of its whole message, plain and compressed.
func DrawOverview(v *mesh.View) (plain, zipped int, err error) {
	f := drawFrame(v, nil, nil)
	z, err := f.zipped(0)
	return len(f.message(0)), len(z), err
}

// EnrolQueue lets tests see a crowd of agents off in no time.
type EnrolQueue = enrolQueue

// NewEnrolQueue makes one.
var NewEnrolQueue = newEnrolQueue

// Take returns 0 for a claim that may be reviewed now, or how long its agent is to wait.
func (q *enrolQueue) Take(now time.Time) time.Duration { return q.take(now) }

// CountWaiting is how many were told to come later.
func (q *enrolQueue) CountWaiting(now time.Time) int { return q.waiting(now) }
