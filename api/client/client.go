package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"netchecker/api"
	"netchecker/mesh"
)

// Config says who posts and how.
type Config struct {
	// Name is the agent's pod name.
	Name string
	// Keys sign rows and reports, MeshKeys what peers are asked to relay; nil signs nothing.
	Keys, MeshKeys *api.Keys
	// Boot is the agent's start, as in its rows.
	Boot uint64
	// HedgeAfter is how long a way may be silent before the next is tried besides; 0 means 500 ms.
	HedgeAfter time.Duration
	// TLS returns how servers are spoken to over TLS, for each connection anew, so that a CA may change;
	// nil means plain HTTP. Peers are always plain: what they relay is signed, or sealed.
	TLS func() (*tls.Config, error)
	// Token returns the token of the agent's pod, with which it enrols for a key of its own in place of
	// Keys (api.AuthKubernetes); nil where that is not the way. Agent is what it enrols for. MeshKeys
	// are needed too: they tell a server of the mesh from one that stands between.
	Token func() (string, error)
	Agent mesh.Key
	// Log is told of enrolments; nil for none.
	Log *slog.Logger
}

// Client posts to servers. Any goroutine may use it.
type Client struct {
	cfg  Config
	http *http.Client

	delivered, around, failed atomic.Uint64

	mu      sync.Mutex // guards the following
	servers map[string]*server
	// latest is the credential granted last: all servers share their masters.
	latest *credential
}

// server is what was learnt about the ways to one server.
type server struct {
	// directAfter is when the direct way, which last failed, is worth a try again; zero while it works.
	directAfter time.Time
	// peer is the one that relayed last, "" when none did; it may have failed since.
	peer string
	// unfit are the peers that lately could not relay, and until when they are asked last.
	unfit map[string]time.Time
	// rowsAfter is when a server that knows no rows is asked again.
	rowsAfter time.Time
	// certificate is what was last wrong with the server's.
	certificate string

	enrolment
}

const (
	hedgeAfter = 500 * time.Millisecond
	// retryDirect is how often a broken direct way is tried.
	retryDirect = 5 * time.Second
	// retryRows is how often a server of the original kind is asked whether it takes rows by now.
	retryRows = time.Minute
	// retryUnfit is how long a peer that could not relay is asked after the others, retryPeer one that
	// could until then: one reset of its connection makes no other peer any better.
	retryUnfit, retryPeer = 15 * time.Second, 2 * time.Second
	// maxRelays is how many peers one message is handed to. Those that know that they have no way
	// either say so at once.
	maxRelays = 6
	// maxUnfit bounds what is remembered of peers.
	maxUnfit = 256
	// maxAnswer bounds an answer to a row: 500 agents, zones and nodes take 150 KB.
	maxAnswer = 1 << 20
	// maxServers bounds what is remembered of servers that come and go.
	maxServers = 64
)

// ErrNoRows says that the server is of the original kind: it takes reports only.
var ErrNoRows = errors.New("server takes no rows")

// New returns a client.
func New(cfg Config) *Client {
	cfg.HedgeAfter = cmp.Or(cfg.HedgeAfter, hedgeAfter)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg, http: newHTTP(cfg.TLS), servers: map[string]*server{}}
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stats counts what was posted by how it reached a server: directly, through a peer, not at all.
type Stats struct{ Direct, Relayed, Failed uint64 }

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{c.delivered.Load(), c.around.Load(), c.failed.Load()}
}

// newHTTP returns an HTTP client whose segments are small, see dialControl, and that gives up its
// connections before the server does.
func newHTTP(t func() (*tls.Config, error)) *http.Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second, Control: dialControl}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DialTLSContext: tlsDialer(dialer, t),
			DisableCompression: true, MaxIdleConns: 16, MaxIdleConnsPerHost: 2, MaxConnsPerHost: 8,
			IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Way is how a message reached a server.
type Way struct {
	// Via is the host:port of the peer that relayed it, "" when it went directly.
	Via string
}

// String returns "direct" or "via HOST:PORT".
func (w Way) String() string {
	if w.Via == "" {
		return "direct"
	}
	return "via " + w.Via
}

// PostRow posts an encoded row, with its own sequence number, to the server at host:port, through
// one of the peers (host:port of their probe port, best first) when the direct way is broken. roster
// is the version that this server's last answer told, 0 at first.
//
// errors.Is tells mesh.ErrUnknownTable: encode the row with its table and post it again; and
// ErrNoRows: nothing was posted, the server takes reports only. ctx bounds it all.
func (c *Client) PostRow(ctx context.Context, to string, peers []string, sequence uint64, row []byte, roster uint64) (*api.RowAnswer, Way, error) {
	if c.noRows(to) {
		return nil, Way{}, ErrNoRows
	}
	m := &message{server: to, name: c.cfg.Name, purpose: api.ForRow, body: row, roster: roster}
	a, way, err := c.send(ctx, m, sequence, peers)
	if err != nil {
		return nil, way, fmt.Errorf("row to %q: %w", to, err)
	}
	switch a.status {
	case http.StatusOK:
		out := &api.RowAnswer{}
		if err := json.Unmarshal(a.body, out); err != nil {
			return nil, way, fmt.Errorf("row to %q: answer: %w", to, err)
		}
		return out, way, nil
	case http.StatusConflict:
		return nil, way, fmt.Errorf("row to %q: %w", to, mesh.ErrUnknownTable)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		c.learn(to, func(s *server) { s.rowsAfter = time.Now().Add(retryRows) })
		return nil, way, fmt.Errorf("row to %q: %w", to, ErrNoRows)
	}
	return nil, way, fmt.Errorf("row to %q: %w", to, a.err())
}

// PostReport posts a report, an api.Report as JSON, with its own sequence number, like PostRow.
func (c *Client) PostReport(ctx context.Context, to string, peers []string, sequence uint64, report []byte) (Way, error) {
	m := &message{server: to, name: c.cfg.Name, purpose: api.ForReport, body: report}
	a, way, err := c.send(ctx, m, sequence, peers)
	if err == nil && a.status != http.StatusOK {
		err = a.err()
	}
	if err != nil {
		return way, fmt.Errorf("report to %q: %w", to, err)
	}
	return way, nil
}

// learn changes what is known of a server.
func (c *Client) learn(to string, change func(*server)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[to]
	if s == nil {
		if len(c.servers) >= maxServers {
			clear(c.servers)
		}
		s = &server{}
		c.servers[to] = s
	}
	change(s)
}

func (c *Client) noRows(to string) (no bool) {
	c.learn(to, func(s *server) { no = time.Now().Before(s.rowsAfter) })
	return no
}
