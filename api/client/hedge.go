package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"netchecker/api"
)

// attempt is one way's end.
type attempt struct {
	via    string
	answer *answer
	err    error
}

// post delivers a message: directly first; once that failed or is silent for HedgeAfter through the
// peer that last worked, then through others, each beginning when the one before failed or was
// silent as long. The first answer of a server wins, whatever its status: no other way would bring
// a better one. The server takes a message that comes twice for one.
func (c *Client) post(ctx context.Context, m *message, peers []string) (*answer, Way, error) {
	ways := c.ways(m.server, peers)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait() // after cancel: nothing outlives the call
	defer cancel()
	ends := make(chan attempt, len(ways))
	timer := time.NewTimer(c.cfg.HedgeAfter)
	defer timer.Stop()
	begun, ended := 0, 0
	begin := func() {
		if begun < len(ways) {
			via := ways[begun]
			begun++
			running.Go(func() { ends <- c.attempt(ctx, m, via) })
			timer.Reset(c.cfg.HedgeAfter)
		}
	}
	var errs []error
	for begin(); ended < begun; {
		select {
		case <-timer.C:
			begin()
		case end := <-ends:
			ended++
			if end.err == nil {
				c.worked(m.server, end.via, ways[0] == "" && begun > 1)
				return end.answer, Way{end.via}, nil
			}
			if !errors.Is(end.err, errBusy) { // a way that is only narrow is still the way
				c.broke(m.server, end.via)
			}
			c.sayCertificate(m.server, end.err)
			errs = append(errs, fmt.Errorf("%s: %w", Way{end.via}, end.err))
			begin()
		case <-ctx.Done():
			c.broke(m.server, ways[0])
			c.failed.Add(1)
			return nil, Way{}, errors.Join(append(errs, ctx.Err())...)
		}
	}
	c.failed.Add(1)
	return nil, Way{}, errors.Join(errs...)
}

// ways are the ways to a server in order, "" for the direct one. While that is broken it comes last, but
// for a try every few seconds: when all were without a server for a moment, no peer knows yet that it
// is back. The peer that relayed last comes first of all peers, those that could not come last.
func (c *Client) ways(to string, peers []string) (out []string) {
	c.learn(to, func(s *server) {
		now := time.Now()
		direct := s.directAfter.IsZero() || !now.Before(s.directAfter)
		if direct {
			out = append(out, "")
			if !s.directAfter.IsZero() {
				s.directAfter = now.Add(retryDirect)
			}
		}
		out = append(out, s.relays(peers, now)...)
		if !direct {
			out = append(out, "")
		}
	})
	return out
}

// relays are the peers that a message is handed to, in order.
func (s *server) relays(peers []string, now time.Time) (out []string) {
	first := ""
	if slices.Contains(peers, s.peer) && !now.Before(s.unfit[s.peer]) {
		first = s.peer
		out = append(out, first)
	}
	for _, last := range []bool{false, true} {
		for _, peer := range peers {
			if len(out) >= maxRelays {
				return out
			}
			if peer != first && now.Before(s.unfit[peer]) == last {
				out = append(out, peer)
			}
		}
	}
	return out
}

// cutOff reports whether the direct way to a server was lately found broken.
func (c *Client) cutOff(to string) (broken bool) {
	c.learn(to, func(s *server) { broken = time.Now().Before(s.directAfter) })
	return broken
}

// worked notes the way that worked. hedged says that the direct way had begun and was silent.
func (c *Client) worked(to, via string, hedged bool) {
	c.learn(to, func(s *server) {
		if via == "" {
			c.delivered.Add(1)
			s.directAfter, s.unfit = time.Time{}, nil
			return
		}
		c.around.Add(1)
		s.peer = via
		delete(s.unfit, via)
		if hedged {
			s.directAfter = time.Now().Add(retryDirect)
		}
	})
}

// broke notes a way that did not work.
func (c *Client) broke(to, via string) {
	c.learn(to, func(s *server) {
		if via == "" {
			s.directAfter = time.Now().Add(retryDirect)
			return
		}
		pause := retryUnfit
		if s.peer == via {
			pause = retryPeer
		}
		if s.unfit == nil || len(s.unfit) >= maxUnfit {
			s.unfit = map[string]time.Time{}
		}
		s.unfit[via] = time.Now().Add(pause)
	})
}

func (c *Client) attempt(ctx context.Context, m *message, via string) attempt {
	if via == "" {
		a, err := c.direct(ctx, m)
		return attempt{via, a, err}
	}
	a, err := c.relayed(ctx, m, via)
	return attempt{via, a, err}
}

// errBusy says that a peer has enough to relay for now.
var errBusy = errors.New("peer is busy")

// relayedHeader marks an answer of a relay as the server's own.
const relayedHeader = "Netchecker-Relayed"

// relayed hands the message to a peer. An error means that the server did not answer the peer.
func (c *Client) relayed(ctx context.Context, m *message, peer string) (*answer, error) {
	query := url.Values{"name": {m.name}, "purpose": {m.purpose.String()}, "server": {m.server}}
	if m.purpose == api.ForRow {
		query.Set("roster", strconv.FormatUint(m.roster, 10))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+peer+"/relay?"+query.Encode(), bytes.NewReader(m.body))
	if err != nil {
		return nil, err
	}
	if m.signature != "" {
		r.Header.Set(api.SignatureHeader, m.signature)
	}
	if c.cfg.MeshKeys != nil {
		r.Header.Set(api.RelayHeader, c.cfg.MeshKeys.Sign(api.ForRelay, m.name, c.cfg.Boot, 0, m.body).String())
	}
	a, header, err := c.do(r, m)
	if err != nil {
		return nil, err
	}
	if header.Get(relayedHeader) == "" {
		if a.status == http.StatusServiceUnavailable {
			return nil, fmt.Errorf("%w: %w", errBusy, a.err())
		}
		return nil, a.err()
	}
	return a, nil
}
