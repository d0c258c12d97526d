package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/cmd/agent"
	"netchecker/cmd/server"
	"netchecker/mesh"
	"netchecker/mesh/gossip"
	"netchecker/probe"
)

// loopbackStage runs the server and the agents in this process, each agent on a loopback address
// of its own. There is one kernel and no network in it, so it says what it cannot show.
func loopbackStage(ctx context.Context, out io.Writer) (*stage, error) {
	fmt.Fprint(out, `Not root: the agents run on loopback addresses in this process. This shows the mesh, the matrix and
the API; it cannot show a real network break: no vxlan, no firewall, no MTU, no dead node. The fault
below is a hook in the agents that drops probes. Run it as root for the real thing.

`)
	broken := new(atomic.Bool)
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	quiet := slog.New(slog.DiscardHandler)
	g.Go(func() error {
		cfg := server.Default
		cfg.Endpoint, cfg.Node, cfg.Pod, cfg.Log = demoServer, "node1", "netchecker-server", quiet
		cfg.IPv4, cfg.GossipPort, cfg.Join = netip.MustParseAddr("127.0.0.1"), demoGossipPort, demoSeeds()
		cfg.BindAdvertised = true
		return server.Run(ctx, cfg)
	})
	for i := 1; i <= demoNodes; i++ {
		for network := range mesh.Network(mesh.Networks) {
			g.Go(func() error { return agent.Run(ctx, loopbackAgent(i, network, broken, quiet)) })
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- g.Wait() }()
	select {
	case err := <-failed:
		cancel()
		return nil, err
	case <-time.After(time.Second):
	}
	return &stage{
		nodes: demoNodes,
		fault: demoFault{
			what:    "the virtual network of node3, in both directions",
			command: "(hook) drop all probes between pods of node3 and other nodes",
			inject: func(context.Context) (func() error, error) {
				broken.Store(true)
				return func() error { broken.Store(false); return nil }, nil
			},
		},
		close: func() error { cancel(); return <-failed },
	}, nil
}

// demoGossipPort is that of real agents: every agent has an address of its own.
const demoGossipPort = gossip.DefaultPort

func loopbackAddr(i int, network mesh.Network) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, 1 + byte(network), byte(i)})
}

func demoSeeds() []string {
	return []string{netip.AddrPortFrom(loopbackAddr(1, mesh.Host), demoGossipPort).String()}
}

func loopbackAgent(i int, network mesh.Network, broken *atomic.Bool, log *slog.Logger) agent.Config {
	cfg := agent.Default
	cfg.Node, cfg.Network = fmt.Sprintf("node%d", i), network
	cfg.Pod = fmt.Sprintf("netchecker-agent-%s-%d", network, i)
	cfg.IPv4, cfg.MTU = loopbackAddr(i, network), 1500
	cfg.BindAdvertised, cfg.Join, cfg.ServerEndpoint = true, demoSeeds(), demoServer
	cfg.ReportInterval, cfg.LameDuck, cfg.Log = 5*time.Second, time.Second, log
	cfg.LossHook = func(_ probe.Kind, to netip.AddrPort, _ int, _ bool) bool {
		if !broken.Load() {
			return false
		}
		b := to.Addr().As4()
		other, pod := int(b[3]), b[2] == 1+byte(mesh.Pod)
		return pod && other != i && (other == 3 || i == 3)
	}
	return cfg
}
