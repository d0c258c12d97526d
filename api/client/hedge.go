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
			c.broke(m.server, end.via)
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

// ways are the ways to a server in order, "" for the direct one. While that is broken it is left
// out, but for a try every few seconds; without peers there is nothing else to try.
func (c *Client) ways(to string, peers []string) []string {
	var out []string
	c.learn(to, func(s *server) {
		if now := time.Now(); s.directAfter.IsZero() || len(peers) == 0 || !now.Before(s.directAfter) {
			out = append(out, "")
			if !s.directAfter.IsZero() {
				s.directAfter = now.Add(retryDirect)
			}
		}
		relays := slices.Clone(peers)
		if at := slices.Index(relays, s.peer); at > 0 {
			relays = slices.Insert(slices.Delete(relays, at, at+1), 0, s.peer)
		}
		out = append(out, relays[:min(len(relays), maxRelays)]...)
	})
	return out
}

// worked notes the way that worked. hedged says that the direct way had begun and was silent.
func (c *Client) worked(to, via string, hedged bool) {
	c.learn(to, func(s *server) {
		if via == "" {
			c.delivered.Add(1)
			s.directAfter = time.Time{}
			return
		}
		c.around.Add(1)
		s.peer = via
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
		} else if s.peer == via {
			s.peer = ""
		}
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
		return nil, a.err()
	}
	return a, nil
}
