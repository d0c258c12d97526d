// Package server wires one server together: the HTTP face, the matrix, the store and the gossip
// that tells it which agents should exist. It starts every long-lived goroutine, waits for all of
// them, and reads no flag, environment or signal.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/api"
	"netchecker/api/history"
	"netchecker/api/metrics"
	"netchecker/api/store"
	"netchecker/api/web"
	"netchecker/mesh"
	"netchecker/mesh/gossip"
	"netchecker/mesh/kube"
	"netchecker/probe/service"
)

// Config says what a server serves and where.
type Config struct {
	// Endpoint is the host:port to serve on.
	Endpoint string
	// Node and Pod are the names of the server's node and pod.
	Node, Pod string
	// IPv4 and IPv6 are the addresses that gossip advertises; without any there is no gossip.
	IPv4, IPv6 netip.Addr
	// GossipPort is the gossip's port, UDP and TCP; 0 runs without gossip.
	GossipPort uint16
	// BindAdvertised makes gossip listen on the advertised address alone.
	BindAdvertised bool
	// Join lists the seeds of the gossip.
	Join []string
	// GossipKeyFile holds the gossip keyring; "" for none.
	GossipKeyFile string
	// Kube is the way to the API server; nil without Kubernetes.
	Kube *kube.Access
	// DataDir keeps the reports over a restart; "" keeps them in memory only.
	DataDir string
	// Etcd keeps the reports in etcd, where it has Endpoints; its TTL is ReportTTL.
	Etcd store.EtcdConfig
	// ReportObjects keeps the reports as objects of Kubernetes, which Kube must lead to.
	ReportObjects bool
	// HistorySize bounds the history in bytes, 0 keeps none; HistoryAge is how long it is kept.
	HistorySize int64
	HistoryAge  time.Duration
	// Secret authenticates reports and rows; empty for none.
	Secret []byte
	// MasterFile holds the master secrets, in place of Secret, where agents enrol with the tokens of
	// their pods; "" where they do not. It needs GossipKeyFile and Reviewer too.
	MasterFile string
	// Reviewer is asked about tokens.
	Reviewer api.Reviewer
	// AgentAccounts are the service accounts of agents, as NAMESPACE/NAME.
	AgentAccounts []string
	// WebConfig is the file that makes it HTTPS, with a password or both; "" for plain HTTP to everybody.
	WebConfig string
	// AllowUnsigned takes reports of old agents, which carry no signature.
	AllowUnsigned bool
	// ReportTTL is how long an agent nobody expects is remembered after its last report.
	ReportTTL time.Duration
	// Services are handed to the agents to probe.
	Services []service.Target
	// Diagnose runs the diagnosis of the matrix.
	Diagnose bool
	// PairMetricsNodes is up to how many nodes every path has its own series.
	PairMetricsNodes int
	Version          string
	Log              *slog.Logger
	// Listening, when set, is told where the server listens.
	Listening func(net.Addr)
}

// Default holds the values of flags that are not given.
var Default = Config{Endpoint: "0.0.0.0:8081", Diagnose: true, GossipPort: gossip.DefaultPort, ReportTTL: time.Hour, PairMetricsNodes: 30,
	HistorySize: 256 << 20, HistoryAge: 24 * time.Hour}

// shutdownGrace is what requests under way get to end.
const shutdownGrace = 5 * time.Second

// Server is one running server.
type Server struct {
	cfg    Config
	log    *slog.Logger
	matrix *mesh.Matrix
	gossip *gossip.Gossip
	trust  *trust
	kube   *kubernetes
	tls    bool // it speaks HTTPS

	diagnosis diagnosis
	history   *history.History // nil without
	trips     mesh.Trips
}

// Run is the life of a server: it returns nil when ctx has ended and all is closed, or the error
// that keeps it from starting.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Log, matrix: mesh.NewMatrix()}
	s.diagnosis.s = s
	var err error
	s.useKube()
	if s.trust, err = newTrust(&s.cfg); err != nil {
		return err
	}
	if err := checkWeb(cfg.WebConfig); err != nil {
		return err
	}
	s.tls = hasTLS(cfg.WebConfig)
	kept, closeStore, err := s.openStore()
	if err != nil {
		return err
	}
	defer closeStore()
	closeHistory, err := s.openHistory()
	if err != nil {
		return err
	}
	defer closeHistory()
	if err := s.startGossip(); err != nil {
		return err
	}
	if s.gossip != nil {
		defer s.gossip.Close()
	}
	face, err := s.face(kept)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Endpoint)
	if err != nil {
		return fmt.Errorf("-endpoint: %w", err)
	}
	if cfg.Listening != nil {
		cfg.Listening(listener.Addr())
	}
	s.log.Info("server runs", "endpoint", listener.Addr().String(), "version", cfg.Version, "data", cfg.DataDir, "gossip", s.gossip != nil)
	return s.live(ctx, face, listener)
}

func (s *Server) live(ctx context.Context, face *api.Server, listener net.Listener) error {
	conns := api.MaxConns()
	front := api.HTTPServer(face.Handler(), conns)
	front.RegisterOnShutdown(face.EndStreams)
	front.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serve(front, api.LimitListener(listener, conns)) })
	g.Go(func() error {
		<-ctx.Done()
		fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if s.gossip != nil { // agents stop posting here when they hear it
			if err := s.gossip.Leave(fresh); err != nil {
				s.log.Warn("leave", "error", err)
			}
		}
		if err := front.Shutdown(fresh); err != nil {
			return front.Close()
		}
		return nil
	})
	g.Go(func() error { return s.followRoster(ctx) })
	g.Go(func() error { return s.followReporters(ctx) })
	g.Go(func() error { return s.kube.follow(ctx, s, face) })
	g.Go(func() error { return s.sweep(ctx, face) })
	g.Go(func() error { return s.followTrips(ctx) })
	g.Go(func() error { return s.trust.follow(ctx, s) })
	g.Go(func() error { return s.trust.followMasters(ctx, s) })
	if s.history != nil {
		g.Go(func() error { return s.record(ctx) })
	}
	if s.cfg.Diagnose {
		g.Go(func() error { return s.diagnosis.run(ctx) })
	}
	return g.Wait()
}

// sweepEvery is how often what vanished agents left behind is removed.
const sweepEvery = 10 * time.Second

func (s *Server) sweep(ctx context.Context, face *api.Server) error {
	return every(ctx, sweepEvery, func() {
		if err := face.Sweep(ctx); err != nil {
			s.log.Debug("sweep", "error", err)
		}
		s.matrix.Forget(time.Now().Add(-s.cfg.ReportTTL))
	})
}

// followTrips remembers round trips until ctx ends.
func (s *Server) followTrips(ctx context.Context) error {
	return every(ctx, mesh.TripsEvery, func() { s.trips.Take(s.matrix.View(time.Now())) })
}

// every calls do once per interval until ctx ends, and returns nil then.
func every(ctx context.Context, interval time.Duration, do func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			do()
		}
	}
}

// longestRest bounds what a round makes the next one wait. A round that took minutes had no core to itself:
// its disk hung, or the process stood still.
const longestRest = 30 * time.Second

// rest is how long a loop waits after a round that began at a moment: at least its interval, and so many
// times what the round took.
func rest(interval time.Duration, share int, began time.Time) time.Duration {
	return min(max(interval, time.Duration(share)*time.Since(began)), longestRest)
}

// face builds the HTTP face and its metrics.
func (s *Server) face(kept api.Store) (*api.Server, error) {
	cfg := api.Config{Store: kept, Matrix: s.matrix, Roster: s.roster, Sighted: s.sighted, Findings: s.diagnosis.findings, Trips: &s.trips,
		AllowUnsigned: s.cfg.AllowUnsigned, ReportTTL: s.cfg.ReportTTL, Version: s.cfg.Version, Log: s.log}
	if s.history != nil {
		cfg.History = s.history
	}
	s.kube.apply(&cfg)
	if err := s.trust.apply(&cfg); err != nil {
		return nil, err
	}
	face, err := api.New(cfg)
	if err != nil {
		return nil, err
	}
	if s.kube.cluster == nil { // else Kubernetes says the rest
		face.SetServices(serviceTargets(s.cfg.Services))
	}
	face.Mount("/metrics", metrics.Server(face, s.cfg.Version, s.cfg.PairMetricsNodes))
	page, err := web.Handler()
	if err != nil {
		return nil, err
	}
	face.Mount("/", page)
	return face, nil
}

// serviceTargets are the services as the answer to a row carries them.
func serviceTargets(services []service.Target) (out []api.ServiceTarget) {
	for _, t := range services {
		out = append(out, api.ServiceTarget{Name: t.Name, Kind: t.Kind, Address: t.Address, Query: t.Query})
	}
	return out
}
