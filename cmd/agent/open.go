package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"

	"netchecker/api/client"
	"netchecker/api/metrics"
	"netchecker/mesh"
	"netchecker/mesh/gossip"
	"netchecker/probe"
	"netchecker/probe/echo"
	"netchecker/probe/evidence"
	"netchecker/probe/service"
)

// open opens every socket but the TCP listener, so that a port in use is said before anything runs.
func (a *Agent) open() error {
	self := mesh.Agent{Name: a.cfg.Pod, Key: mesh.Key{Node: a.cfg.Node, Network: a.cfg.Network}, Zone: a.cfg.Zone,
		IPv4: a.cfg.IPv4, IPv6: a.cfg.IPv6, ProbePort: a.cfg.ProbePort, GossipPort: a.cfg.GossipPort, MTU: a.cfg.MTU, Boot: a.boot}
	var local4, local6 netip.Addr
	bind := netip.AddrPortFrom(netip.Addr{}, a.cfg.GossipPort)
	if a.cfg.BindAdvertised {
		local4, local6 = self.IPv4, self.IPv6
		bind = netip.AddrPortFrom(self.Primary(), a.cfg.GossipPort)
	}
	v4, v6 := self.IPv4.IsValid(), self.IPv6.IsValid()
	var err error
	if a.echo, err = echo.New(echo.Config{Self: self.ID(), Boot: a.boot, Keys: a.trust.probe, Port: a.cfg.ProbePort,
		IPv4: v4, IPv6: v6, Local4: local4, Local6: local6, Log: a.log}); err != nil {
		return fmt.Errorf("-probe-port: %w", err)
	}
	if a.engine, err = probe.NewEngine(probe.Config{Self: self.ID(), Boot: a.boot, Keys: a.trust.probe, Rate: a.cfg.ProbeRate,
		IPv4: v4, IPv6: v6, Local4: local4, Local6: local6, Log: a.log, LossHook: a.cfg.LossHook, OnRTT: a.observe}); err != nil {
		return err
	}
	a.watch = service.New(service.Config{})
	a.gossip, err = gossip.Start(gossip.Config{Self: self, Bind: bind, Seeds: a.cfg.Join, KeyFile: a.cfg.GossipKeyFile,
		Retain: a.cfg.Retain, Log: a.log})
	if err != nil {
		return err
	}
	a.metrics = metrics.NewAgent(a.cfg.Version, a.snapshot)
	a.client = client.New(a.trust.client(self, a.log))
	if name, _, err := evidence.HolderOf(self.Primary()); err == nil && a.cfg.Network == mesh.Host && !a.cfg.BindAdvertised {
		a.client.TryDevice(name)
	}
	a.relay = client.NewRelay(client.RelayConfig{Self: self.Key, Servers: a.relayable, MeshKeys: a.trust.mesh, Client: a.client, Log: a.log})
	return nil
}

// maxConns bounds the connections to the agent: probes of 10,000 peers come some 50 a second.
const maxConns = 512

// listen binds the TCP port of the agent.
func (a *Agent) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", a.listenAddr())
	if err != nil {
		return nil, fmt.Errorf("-probe-port: %w", err)
	}
	return netutil.LimitListener(l, maxConns), nil
}

// handler is the agent's HTTP face.
func (a *Agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /probe", a.echo.Handler())
	mux.Handle("POST /relay", a.relay)
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// serve serves until ctx ends; connections get a second to finish what they are at.
func (a *Agent) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second,
		WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() {
		fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(fresh) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
