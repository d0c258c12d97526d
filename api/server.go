package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// Store keeps the last report of each agent. Its methods may be called by many goroutines. Records
// are immutable on both sides.
type Store interface {
	// Put keeps the record under its name in place of the one before. It may return before the record
	// is durable; what then goes wrong, Err says.
	Put(ctx context.Context, rec *Record) error
	// Get returns the record with the name, nil when there is none.
	Get(ctx context.Context, name string) (*Record, error)
	// All returns every record, sorted by name. An error means that nobody knows, not that there are none.
	All(ctx context.Context) ([]*Record, error)
	// Delete removes records; names that are not there are no error.
	Delete(ctx context.Context, names ...string) error
	// Err says what keeps the store from keeping, nil when it works.
	Err() error
	// Behind says why there may be reports, or newer ones, that reads do not show: what the store kept
	// was not read yet since the start, or what other servers put there cannot be followed. Nil when
	// reads show all there is.
	Behind() error
	// Stats says how far writing got.
	Stats() StoreStats
}

// StoreStats says how far a store got with writing.
type StoreStats struct {
	// Kind is "memory", "bolt", "etcd" or "kubernetes".
	Kind string
	// Writes counts the reports written and removed since the start, Errors the attempts that went wrong.
	Writes, Errors uint64
	// Unwritten is how many agents have a change that is not written yet, Age how long the oldest of
	// these changes has waited; zero when there is none.
	Unwritten int
	Age       time.Duration
	// Bound is how old a change gets at most while the store works, by the number of agents now; zero
	// when nothing is ever written.
	Bound time.Duration
}

// Matrix is where rows go and views come from: a *mesh.Matrix.
type Matrix interface {
	Put(row *mesh.Row, via string, now time.Time) error
	View(now time.Time) *mesh.View
}

// KeySource knows the keys of agents: *Keys for AuthSecret, *Masters for AuthKubernetes. Nil keys
// mean a stranger.
type KeySource interface{ KeysOf(id Identity) *Keys }

// Config says what a Server serves and for whom. Store, Matrix and Log are required.
type Config struct {
	Store  Store
	Matrix Matrix
	// Expected knows which agent pods there are; nil derives them from Roster and the reports.
	Expected Expecter
	// PodsStale says since when and why what Expected tells is not current; nil, or a nil error, while it is.
	PodsStale func(now time.Time) error
	// Nodes returns what Kubernetes says of its nodes, Leaving the names of agents whose pods were told to
	// go: annotations, no verdicts. Nil, and nil maps, where nobody knows.
	Nodes   func() map[string]diagnose.NodeFacts
	Leaving func() map[string]bool
	// Roster returns the agents that gossip knows; nil, or a nil roster, stands for none.
	Roster func() *mesh.Roster
	// Sighted is told of every agent whose row shows it new or changed, so that gossip can look for it.
	Sighted func(mesh.Agent)
	// Findings returns what diagnosis has found and what is still so; nil for none.
	Findings func() []diagnose.Finding
	// History is what is remembered of earlier; nil remembers nothing.
	History History
	// Trips remembers round trips; nil remembers none.
	Trips *mesh.Trips

	// Auth is how agents prove who they are, Keys holds their keys and MeshKeys those of the mesh, with
	// which peers sign what they relay. AuthNone needs neither; AuthKubernetes takes its keys from
	// Enrolment.
	Auth      Auth
	Keys      KeySource
	MeshKeys  *Keys
	Enrolment Enrolment
	// PodAddrs returns the addresses of a pod, none where they are not known; nil where they never are.
	PodAddrs func(name string) []netip.Addr
	// AllowUnsigned takes reports, not rows, without a signature: those of old agents.
	AllowUnsigned bool

	// ReportTTL is how long an agent nobody expects is remembered after its last report; 0 means an hour.
	ReportTTL time.Duration
	// MaxAgents bounds the agents and records; 0 means 20,200, those of 5,000 nodes in a rolling update.
	MaxAgents int
	// Version is what the index says of this program.
	Version string
	// Now is the server's clock; nil means the real one.
	Now func() time.Time
	Log *slog.Logger
}

// Server is the HTTP face. Any goroutine may use it.
type Server struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	started time.Time
	codec   *mesh.Codec
	tables  mesh.Tables
	runs    runs
	book    book
	news    newsLog
	mounted map[string]http.Handler

	enroller *enroller
	// podsProven says that Kubernetes tells which pods there are, not the agents themselves.
	podsProven bool

	// bodyTime is a field for tests that cannot wait for it.
	bodyTime time.Duration

	bodies  budget
	decodes slots
	answers slots
	scrapes slots
	reports intake
	rows    intake

	overview overview
	streams  slots
	ending   chan struct{} // closed by EndStreams
	endOnce  sync.Once

	readyMu     sync.Mutex // guards the two below
	unreadyFor  string     // what was last said of /readyz, "" for ready
	unreadySaid time.Time

	stateMu sync.Mutex // guards the two below
	state   probe.State
	stateAt time.Time
}

// New returns a server, or an error naming what of the configuration cannot be.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Store == nil || cfg.Matrix == nil || cfg.Log == nil:
		return nil, errors.New("api: no Store, Matrix or Log")
	case cfg.Auth != AuthNone && cfg.Auth != AuthSecret && cfg.Auth != AuthKubernetes:
		return nil, fmt.Errorf("auth %q: want kubernetes, secret or none", cfg.Auth)
	case cfg.Auth == AuthKubernetes && (cfg.Enrolment.Masters == nil || cfg.Enrolment.Reviewer == nil || cfg.MeshKeys == nil):
		return nil, errors.New("auth kubernetes: no Masters, Reviewer or MeshKeys")
	case cfg.Auth == AuthKubernetes:
		cfg.Keys = cfg.Enrolment.Masters
	case cfg.Auth != AuthNone && cfg.Keys == nil:
		return nil, fmt.Errorf("auth %s: no keys", cfg.Auth)
	case cfg.ReportTTL < 0 || cfg.MaxAgents < 0:
		return nil, errors.New("api: negative ReportTTL or MaxAgents")
	}
	cfg.ReportTTL = cmp.Or(cfg.ReportTTL, time.Hour)
	cfg.MaxAgents = cmp.Or(cfg.MaxAgents, 20_200)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Roster == nil {
		cfg.Roster = func() *mesh.Roster { return nil }
	}
	s := &Server{cfg: cfg, log: cfg.Log, now: cfg.Now, started: cfg.Now(), codec: mesh.NewCodec(),
		runs: runs{byName: map[string]*run{}, most: cfg.MaxAgents}, mounted: map[string]http.Handler{},
		enroller: newEnroller(cfg.Enrolment), podsProven: cfg.Expected != nil,
		bodyTime: bodyTime, bodies: budget{most: maxInFlight},
		decodes: make(slots, 4*runtime.GOMAXPROCS(0)), answers: make(slots, maxAnswers), scrapes: make(slots, maxScrapes),
		streams: make(slots, maxStreams), ending: make(chan struct{})}
	s.book.init()
	s.news.init()
	if cfg.Expected == nil {
		s.cfg.Expected = rosterExpecter{s}
	}
	if cfg.Auth == AuthNone {
		s.log.Warn("no authentication: whoever reaches this server can report for any agent; use -auth kubernetes or -secret-file")
	}
	return s, nil
}

// Mount serves everything at path with h: "/metrics", or "/" for the page. It must be called before Handler.
func (s *Server) Mount(path string, h http.Handler) { s.mounted[path] = h }

// Handler returns the whole face. It is called once, after the last Mount.
func (s *Server) Handler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard) // what goes wrong is said to s.log or to the client
	e.HTTPErrorHandler = s.answerError
	e.Use(s.recovered)
	read := func(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		e.Match([]string{http.MethodGet, http.MethodHead}, path, h, m...)
	}
	post := func(path string, h echo.HandlerFunc) {
		e.POST(path, h)
		read(path, postOnly)
	}
	e.POST("/api/v1/agents/:name", s.postReport)
	post("/api/v1/agents/:name/row", s.postRow)
	post("/api/v1/agents/:name/enrol", s.postEnrol)
	read("/api/v1/agents/:name", s.getReport)
	read("/api/v1/agents/", s.getReports, large(s.answers))
	read("/api/v1/agents", s.getReports, large(s.answers))
	read("/api/v1/connectivity_check", s.connectivityCheck)
	read("/api/v1/ping", ping)
	read("/api/v1/matrix", s.getMatrix, large(s.answers))
	read("/api/v1/findings", s.getFindings)
	read("/api/v1/overview", s.getOverview)
	read("/api/v1/events", s.getEvents)
	read("/api/v1/latency", s.getLatency, large(s.answers))
	read("/api/v1/latency/history", s.getTrips, large(s.answers))
	read("/api/v1/", s.index)
	read("/api/v1/openapi.yaml", openAPI)
	read("/api/v1/explain", s.getExplain, large(s.answers))
	read("/api/v1/history", s.getHistory, large(s.answers))
	read("/healthz", s.healthz)
	read("/readyz", s.readyz)
	if s.mounted["/"] == nil {
		read("/", s.index)
	}
	for path, h := range s.mounted {
		if path == "/metrics" {
			read(path, echo.WrapHandler(h), large(s.scrapes))
			continue
		}
		read(path, echo.WrapHandler(h))
		if path == "/" {
			read("/*", echo.WrapHandler(h))
		}
	}
	return e
}

// postOnly answers whoever reads what can only be posted: the page, which stands at every other path, does not know it.
func postOnly(c echo.Context) error {
	c.Response().Header().Set("Allow", http.MethodPost)
	return echo.ErrMethodNotAllowed
}

// View returns the matrix as it stands now.
func (s *Server) View() *mesh.View { return s.cfg.Matrix.View(s.now()) }

// Findings returns what is broken now, as far as diagnosis says.
func (s *Server) Findings() []diagnose.Finding {
	if s.cfg.Findings == nil {
		return nil
	}
	return s.cfg.Findings()
}

// Reports counts the reports that agents posted since the server started.
func (s *Server) Reports() Intake { return s.reports.snapshot() }

// Rows counts the rows that agents posted since the server started.
func (s *Server) Rows() Intake { return s.rows.snapshot() }

// PodsStale says since when and why the list of the agents' pods is not current, nil while it is.
func (s *Server) PodsStale() error {
	if s.cfg.PodsStale == nil {
		return nil
	}
	return s.cfg.PodsStale(s.now())
}

// StoreErr says what keeps the store from keeping, nil when it works.
func (s *Server) StoreErr() error { return s.cfg.Store.Err() }

// StoreStats says how far the store got with writing.
func (s *Server) StoreStats() StoreStats { return s.cfg.Store.Stats() }

// Conflicts lists the agents under whose name a second address reported within the last ten minutes.
func (s *Server) Conflicts() map[string]Conflict {
	return s.runs.conflicts(s.now().Add(-conflictShown))
}

// conflictShown is how long a refused second address stays visible.
const conflictShown = 10 * time.Minute

// stateNow is the matrix's state, at most a second old: every row's answer carries it, and counting
// 10,000 agents for each of 667 rows a second would take longer than taking the rows.
func (s *Server) stateNow(now time.Time) probe.State {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	if age := now.Sub(s.stateAt); age < 0 || age >= time.Second {
		s.state, s.stateAt = s.cfg.Matrix.View(now).State(), now
	}
	return s.state
}
