package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// ticketAge is how old a ticket may be, and how far in the future: two servers behind one address
	// take each other's, and their clocks differ.
	ticketAge = time.Minute
	// maxTickets bounds the tickets remembered as used: those of twice ticketAge at the greatest rate
	// of enrolment.
	maxTickets = 2*int(ticketAge/time.Second)*enrolRate + enrolBurst
)

// tickets makes and takes the tickets of enrolment: each is good for one claim of one name. The used
// ones are each server's own to know; a claim replayed at another server within the minute makes that
// ask Kubernetes once more, and the grant is sealed for who sealed the claim.
type tickets struct {
	mu   sync.Mutex
	used map[[ticketSize]byte]*decision
}

// decision is what becomes of a claim. An agent that is cut off sends the same one directly and
// through a peer: whichever comes second gets the first one's answer. Who replays it gets no more
// than what was sent over the wire already, sealed for who sealed the claim.
type decision struct {
	claim [sha256.Size]byte
	at    time.Time
	// done is closed when answer and err are known.
	done   chan struct{}
	answer *EnrolAnswer
	err    error
}

// decide notes what f says, for all who ask.
func (d *decision) decide(f func() (*EnrolAnswer, error)) (*EnrolAnswer, error) {
	defer close(d.done)
	d.err = errors.New("claim: nothing came of it") // should f panic
	d.answer, d.err = f()
	return d.answer, d.err
}

// repeated is the error of a claim that came before: it has been counted and said.
type repeated struct{ error }

func (r *repeated) Unwrap() error { return r.error }

// wait returns what was decided on the claim that came first.
func (d *decision) wait(ctx context.Context) (*EnrolAnswer, error) {
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil, &repeated{fail(http.StatusServiceUnavailable, ctx.Err())}
	}
	if d.err != nil {
		return nil, &repeated{d.err}
	}
	return d.answer, nil
}

// issue makes a ticket for the name.
func (t *tickets) issue(m *Masters, name string, now time.Time) []byte {
	ticket := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	ticket = append(ticket, make([]byte, 8)...)
	rand.Read(ticket[8:]) // never fails
	return append(ticket, (*m.set.Load())[0].ticketMAC(name, ticket)...)
}

func (m *master) ticketMAC(name string, head []byte) []byte {
	h := hmac.New(sha256.New, m.tickets)
	h.Write(append(append([]byte(name), 0), head...))
	return h.Sum(nil)[:ticketSize-16]
}

// checkTicket returns nil for a ticket of this mesh, made for the name and still good.
func (m *Masters) checkTicket(name string, ticket []byte, now time.Time) error {
	if len(ticket) != ticketSize {
		return fmt.Errorf("ticket of %d bytes, want %d", len(ticket), ticketSize)
	}
	ours := false
	for i := range *m.set.Load() {
		ours = ours || hmac.Equal((*m.set.Load())[i].ticketMAC(name, ticket[:16]), ticket[16:])
	}
	if !ours {
		return errors.New("ticket: none that a server of this mesh made for this agent")
	}
	age := now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(ticket))))
	if age > ticketAge || age < -ticketAge {
		return fmt.Errorf("ticket: made %v ago, good for %v", age.Round(time.Second), ticketAge)
	}
	return nil
}

// errUsed says that a ticket came with another claim before.
var errUsed = errors.New("ticket: used before")

// take takes a good ticket for a claim, or says what was decided on the very claim before: then first
// is false. admit is asked for a new claim alone; its error leaves the ticket good.
func (t *tickets) take(r *EnrolRequest, now time.Time, admit func() error) (d *decision, first bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key, claim := [ticketSize]byte(r.Ticket), sha256.Sum256(r.Sealed)
	if d := t.used[key]; d != nil {
		if d.claim != claim {
			return nil, false, errUsed
		}
		return d, false, nil
	}
	if err := admit(); err != nil {
		return nil, false, err
	}
	if len(t.used) >= maxTickets {
		for other, d := range t.used {
			if age := now.Sub(d.at); age > 2*ticketAge || age < 0 {
				delete(t.used, other)
			}
		}
		if len(t.used) >= maxTickets {
			return nil, false, fmt.Errorf("enrolments: %w", errFull)
		}
	}
	if t.used == nil {
		t.used = map[[ticketSize]byte]*decision{}
	}
	d = &decision{claim: claim, at: now, done: make(chan struct{})}
	t.used[key] = d
	return d, true, nil
}
