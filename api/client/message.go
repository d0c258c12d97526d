package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"netchecker/api"
)

// message is one row, report or request to enrol on its way.
type message struct {
	server, name string
	purpose      api.Purpose
	body         []byte
	signature    string
	roster       uint64
	// via is set by a relay.
	via string
}

// path is where the server takes the message.
func (m *message) path() string {
	p := "/api/v1/agents/" + url.PathEscape(m.name)
	switch m.purpose {
	case api.ForRow:
		p += "/row?roster=" + strconv.FormatUint(m.roster, 10)
	case api.ForEnrol:
		p += "/enrol"
	}
	return p
}

// answer is what a server said.
type answer struct {
	status int
	body   []byte
	// after is when to try again (Retry-After), 0 where the server did not say.
	after time.Duration
}

// longestAfter bounds what a server may ask for.
const longestAfter = 10 * time.Minute

// retryAfter reads Retry-After in seconds; our servers send nothing else.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longestAfter)
}

func (a *answer) err() error {
	var e api.ErrorAnswer
	if json.Unmarshal(a.body, &e) != nil || e.Error == "" {
		e.Error = http.StatusText(a.status)
	}
	return fmt.Errorf("status %d: %s", a.status, e.Error)
}

// direct posts the message to its server.
func (c *Client) direct(ctx context.Context, m *message) (*answer, error) {
	scheme := "http://"
	if c.cfg.TLS != nil {
		scheme = "https://"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+m.server+m.path(), bytes.NewReader(m.body))
	if err != nil {
		return nil, err
	}
	if m.signature != "" {
		r.Header.Set(api.SignatureHeader, m.signature)
	}
	if m.via != "" {
		r.Header.Set(api.ViaHeader, m.via)
	}
	a, _, err := c.do(r, m)
	return a, err
}

func (c *Client) do(r *http.Request, m *message) (*answer, http.Header, error) {
	r.Header.Set("Content-Type", "application/json")
	if m.purpose == api.ForRow {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxAnswer {
		return nil, nil, fmt.Errorf("answer of more than %d bytes", maxAnswer)
	}
	return &answer{resp.StatusCode, body, retryAfter(resp.Header)}, resp.Header, nil
}
