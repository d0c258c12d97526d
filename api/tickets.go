package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// ticketAge is how old a ticket may be, and how far in the future: two servers behind one address
	// take each other's, and their clocks differ.
	ticketAge = time.Minute
	// maxTickets bounds the tickets remembered as used: those of twice ticketAge at the greatest rate
	// of enrolment.
	maxTickets = 2 * int(ticketAge/time.Second) * enrolRate
)

// tickets makes and takes the tickets of enrolment: each is good once, for one name. The used ones
// are each server's own to know; a claim replayed at another server within the minute makes that
// ask Kubernetes once more, and the grant is sealed for who sealed the claim.
type tickets struct {
	mu   sync.Mutex
	used map[[ticketSize]byte]time.Time
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

// take takes a ticket, once.
func (t *tickets) take(m *Masters, name string, ticket []byte, now time.Time) error {
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
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [ticketSize]byte(ticket)
	if _, used := t.used[key]; used {
		return errors.New("ticket: used before")
	}
	if len(t.used) >= maxTickets {
		for other, at := range t.used {
			if d := now.Sub(at); d > 2*ticketAge || d < 0 {
				delete(t.used, other)
			}
		}
		if len(t.used) >= maxTickets {
			return fmt.Errorf("enrolments: %w", errFull)
		}
	}
	if t.used == nil {
		t.used = map[[ticketSize]byte]time.Time{}
	}
	t.used[key] = now
	return nil
}
