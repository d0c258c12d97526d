// Package agent wires one agent together: it starts every long-lived goroutine of it, waits for
// all of them, and takes them down in the order in which nobody is misled. The work itself is in
// the rooms it wires: probe measures, probe/echo answers, mesh/gossip knows the others, api/client
// delivers. It reads no flag, environment or signal.
package agent

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/api/client"
	"netchecker/api/metrics"
	"netchecker/mesh"
	"netchecker/mesh/gossip"
	"netchecker/probe"
	"netchecker/probe/echo"
	"netchecker/probe/evidence"
	"netchecker/probe/service"
)

// Agent is one running agent.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	boot   uint64
	gossip *gossip.Gossip
	engine *probe.Engine
	echo   *echo.Echo
	watch  *service.Watch
	client *client.Client
	codec  *mesh.Codec
	relay  *client.Relay
	trust  *trust
	plan   atomic.Pointer[plan]

	metrics *metrics.Agent
	reader  *evidence.Reader
	// evidence is what the node last read about itself.
	evidence     atomic.Pointer[probe.Snapshot]
	evidenceNews chan struct{} // length 1
	// unheard says that no server that gossip hears took the last row.
	unheard atomic.Bool

	// These belong to the goroutine that sends rows.
	sequence     uint64
	statuses     []probe.PathStatus
	heard        []probe.Heard
	serverStates map[string]*serverState

	reports uint64 // belongs to the goroutine that sends reports
}

// Run is the life of an agent: it returns when ctx has ended and the agent has said good-bye, or
// when it cannot start. The error names what is wrong with the configuration or the machine.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return err
	}
	a := &Agent{cfg: cfg, log: cfg.Log, boot: uint64(time.Now().UnixNano()), codec: mesh.NewCodec(),
		reader: evidence.NewReader(cfg.Privileged), evidenceNews: make(chan struct{}, 1)}
	var err error
	if a.trust, err = newTrust(&cfg); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	defer a.gossip.Close()
	defer a.client.Close()
	listener, err := a.listen()
	if err != nil {
		return err
	}
	a.adopt(a.gossip.Roster())
	a.watch.SetTargets(cfg.Services)
	for _, note := range a.engine.Notes() {
		a.log.Warn("probing is limited", "why", note)
	}
	if cfg.TokenFile == "" && len(cfg.Secret) == 0 {
		a.log.Warn("auth is none: anybody who reaches the server can report")
	}
	a.log.Info("agent runs", "node", cfg.Node, "network", cfg.Network.String(), "name", cfg.Pod,
		"ipv4", cfg.IPv4, "ipv6", cfg.IPv6, "mtu", cfg.MTU, "version", cfg.Version)
	return a.live(ctx, listener)
}

// live runs the goroutines. Those that answer outlive those that ask: after ctx ends the agent
// leaves the gossip and the matrix, answers on as a lame duck so that peers which have not heard
// yet lose nothing, and only then closes.
func (a *Agent) live(ctx context.Context, listener net.Listener) error {
	answering, stopAnswering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAnswering()
	asking, ask := errgroup.WithContext(ctx)
	answers, answer := errgroup.WithContext(answering)
	answers.Go(func() error { return a.echo.Run(answer) })
	answers.Go(func() error { return a.serve(answer, listener) })
	asking.Go(func() error { // whatever stops answering ends the agent
		select {
		case <-answer.Done():
			return context.Cause(answer)
		case <-ask.Done():
			return nil
		}
	})
	asking.Go(func() error { return a.engine.Run(ask) })
	asking.Go(func() error { return a.followRoster(ask) })
	asking.Go(func() error { return a.sendRows(ask) })
	asking.Go(func() error { return a.sendReports(ask) })
	asking.Go(func() error { return a.watch.Run(ask) })
	asking.Go(func() error { return a.trust.follow(ask, a.log) })
	asking.Go(func() error { return a.readEvidence(ask) })
	asking.Go(func() error { return a.followMTU(ask) })
	err := asking.Wait()
	if ctx.Err() != nil {
		a.goodbye()
	}
	stopAnswering()
	if e := answers.Wait(); err == nil {
		err = e
	}
	return err
}

func (a *Agent) goodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.LameDuck)
	defer cancel()
	a.log.Info("leaving", "answering on for", a.cfg.LameDuck)
	a.farewell(ctx)
	if err := a.gossip.Leave(ctx); err != nil {
		a.log.Warn("leave", "error", err)
	}
	<-ctx.Done()
}
