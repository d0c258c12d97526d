package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"netchecker/api"
	"netchecker/mesh"
)

// RelayConfig says for whom and where to a Relay relays.
type RelayConfig struct {
	// Self is the relaying agent.
	Self mesh.Key
	// Servers returns the host:port of every server, the only destinations.
	Servers func() []string
	// MeshKeys tells members of the mesh from strangers; nil relays for everybody.
	MeshKeys *api.Keys
	// Client carries the messages on; it must be of this agent.
	Client *Client
	Log    *slog.Logger
}

// Relay is the handler that an agent serves at POST /relay: it carries a peer's row, report or enrolment to a
// server when the peer's own way is broken. It goes one hop: it posts to servers, never to another
// relay. The peer's signature travels with the message, so a relay can alter nothing.
type Relay struct {
	cfg   RelayConfig
	rate  *rate.Limiter
	slots chan struct{}

	done, refused atomic.Uint64
}

const (
	// relayRate and relayBurst bound the messages a second: those who share a node with the server are
	// asked first, and with the overlay closed everywhere nobody else can. It is enough for the rows of
	// 1,000 nodes; who is refused asks others.
	relayRate  = 200
	relayBurst = 400
	// relaySlots bounds the messages under way, and with them the memory: 8 MiB each at worst.
	relaySlots = 8
	relayTime  = 5 * time.Second
)

// NewRelay returns a relay.
func NewRelay(cfg RelayConfig) *Relay {
	return &Relay{cfg: cfg, rate: rate.NewLimiter(relayRate, relayBurst), slots: make(chan struct{}, relaySlots)}
}

// RelayStats counts the messages of peers: brought to a server, and refused or not delivered.
type RelayStats struct{ Done, Refused uint64 }

// Stats returns the counters.
func (r *Relay) Stats() RelayStats { return RelayStats{r.done.Load(), r.refused.Load()} }

// ServeHTTP implements http.Handler.
func (r *Relay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	a, status, err := r.carry(w, q)
	if err != nil {
		r.refused.Add(1)
		r.cfg.Log.Debug("not relayed", "from", q.RemoteAddr, "status", status, "error", err)
		body, _ := json.Marshal(api.ErrorAnswer{Error: err.Error()}) // a string always encodes
		a = &answer{status: status, body: append(body, '\n')}
		if status == http.StatusServiceUnavailable {
			a.after = time.Second
		}
	} else {
		r.done.Add(1)
		w.Header().Set(relayedHeader, "1")
	}
	if a.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.after/time.Second)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	w.Write(a.body) // the peer may be gone by now; it has hedged
}

func (r *Relay) carry(w http.ResponseWriter, q *http.Request) (*answer, int, error) {
	m, status, err := r.admit(q)
	if err != nil {
		return nil, status, err
	}
	if !r.rate.Allow() {
		return nil, http.StatusServiceUnavailable, fmt.Errorf("more than %d messages a second", relayRate)
	}
	if r.cfg.Client.cutOff(m.server) { // said at once, so that the peer loses no time on it
		return nil, http.StatusBadGateway, fmt.Errorf("server %q: no way to it from here either", m.server)
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		return nil, http.StatusServiceUnavailable, errors.New("too many messages at once")
	}
	// A writer without deadlines is a recorder in a test.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(relayTime))
	if m.body, err = io.ReadAll(http.MaxBytesReader(w, q.Body, api.MaxRowBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("body: more than %d bytes", api.MaxRowBody)
		}
		return nil, http.StatusBadRequest, fmt.Errorf("body: %w", err)
	}
	if r.cfg.MeshKeys != nil {
		signature, err := api.ParseSignature(q.Header.Get(api.RelayHeader))
		if err != nil {
			return nil, http.StatusUnauthorized, fmt.Errorf("%s: %w", api.RelayHeader, err)
		}
		if !r.cfg.MeshKeys.Verify(api.ForRelay, m.name, signature, m.body) {
			return nil, http.StatusForbidden, errors.New("no key of this mesh")
		}
	}
	m.via = api.SignVia(r.cfg.MeshKeys, r.cfg.Self, m.signature, m.body).String()
	ctx, cancel := context.WithTimeout(q.Context(), relayTime)
	defer cancel()
	a, err := r.cfg.Client.direct(ctx, m)
	if err != nil && q.Context().Err() == nil { // not because the peer found another way
		r.cfg.Client.broke(m.server, "")
	}
	if err != nil {
		return nil, http.StatusBadGateway, fmt.Errorf("server %q: %w", m.server, err)
	}
	return a, a.status, nil
}

// admit reads what is asked for, before the body.
func (r *Relay) admit(q *http.Request) (*message, int, error) {
	if q.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("method %.16s: want POST", q.Method)
	}
	if q.Header.Get(api.ViaHeader) != "" {
		return nil, http.StatusForbidden, errors.New("relayed before: one hop only")
	}
	query := q.URL.Query()
	m := &message{name: query.Get("name"), server: query.Get("server"), signature: q.Header.Get(api.SignatureHeader)}
	if err := mesh.CheckName("agent name", m.name); err != nil {
		return nil, http.StatusBadRequest, err
	}
	switch purpose := query.Get("purpose"); purpose {
	case api.ForRow.String():
		var err error
		if m.roster, err = strconv.ParseUint(query.Get("roster"), 10, 64); err != nil {
			return nil, http.StatusBadRequest, errors.New("roster: want a version, a number")
		}
		m.purpose = api.ForRow
	case api.ForReport.String():
		m.purpose = api.ForReport
	case api.ForEnrol.String():
		m.purpose = api.ForEnrol
	default:
		return nil, http.StatusBadRequest, fmt.Errorf("purpose %.32q: want row, report or enrol", purpose)
	}
	if len(m.signature) > api.MaxSignature {
		return nil, http.StatusBadRequest, errors.New("signature too long")
	}
	if !slices.Contains(r.cfg.Servers(), m.server) {
		return nil, http.StatusForbidden, fmt.Errorf("server %.64q: none of ours", m.server)
	}
	return m, 0, nil
}
