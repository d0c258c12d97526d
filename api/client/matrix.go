package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Matrix is the answer of /api/v1/matrix.
type Matrix struct {
	GeneratedAt time.Time         `json:"generated_at"`
	State       string            `json:"state"`
	Nodes       []Node            `json:"nodes"`
	Paths       map[string]Counts `json:"paths"`
	Pairs       []Pair            `json:"pairs"`
	Findings    []json.RawMessage `json:"findings"`
}

// Node is a node and its agents by network.
type Node struct {
	Name   string           `json:"name"`
	Zone   string           `json:"zone"`
	Agents map[string]Agent `json:"agents"`
}

// Agent is one agent of a node.
type Agent struct {
	Name            string    `json:"name"`
	Address         string    `json:"address"`
	IPv6            string    `json:"ipv6"`
	State           string    `json:"state"`
	LastReport      time.Time `json:"last_report"`
	Via             string    `json:"via"`
	Doubt           string    `json:"doubt"`
	AddressConflict string    `json:"address_conflict"`
	Services        []Service `json:"services"`
}

// Service is what an agent says of a service.
type Service struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Address string    `json:"address"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Loss    *float64  `json:"loss"`
	RTT     float64   `json:"rtt_ms"`
	Error   string    `json:"error"`
	Detail  string    `json:"detail"`
}

// Counts are the paths of one kind by state.
type Counts struct {
	Total    int `json:"total"`
	OK       int `json:"ok"`
	Degraded int `json:"degraded"`
	Failing  int `json:"failing"`
	Unknown  int `json:"unknown"`
}

// Pair is one path.
type Pair struct {
	Source      string           `json:"source"`
	Destination string           `json:"destination"`
	Path        string           `json:"path"`
	Family      string           `json:"family"`
	State       string           `json:"state"`
	Since       time.Time        `json:"since"`
	Probes      map[string]Probe `json:"probes"`
}

// Probe is one probe of a path; nil where a share is not known. RTT is in ms, 0 where none came back.
type Probe struct {
	State       string   `json:"state"`
	Loss        *float64 `json:"loss"`
	ForwardLoss *float64 `json:"forward_loss"`
	ReturnLoss  *float64 `json:"return_loss"`
	RTT         float64  `json:"rtt_ms"`
	Error       string   `json:"error"`
	BadFlows    string   `json:"bad_flows"`
	MaxBytes    int      `json:"max_bytes"`
}

// Matrix reads the matrix of the server at host:port, with the query of /api/v1/matrix but its format.
func (c *Client) Matrix(ctx context.Context, from string, query url.Values) (*Matrix, error) {
	body, err := c.Get(ctx, from, "/api/v1/matrix", query)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	out := &Matrix{}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return nil, fmt.Errorf("matrix of %q: %w", from, err)
	}
	return out, nil
}

// Get reads a page of the server at host:port. Another status than 200 is an error that says what
// the server said. The caller closes the body.
func (c *Client) Get(ctx context.Context, from, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: from, Path: path, RawQuery: query.Encode()}
	if c.cfg.TLS != nil {
		u.Scheme = "https"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the status is worth telling without it
	return nil, fmt.Errorf("%s of %q: %w", path, from, (&answer{status: resp.StatusCode, body: body}).err())
}
