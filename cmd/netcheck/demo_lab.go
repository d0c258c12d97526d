package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

const demoNodes = 4

// labStage runs the programs beside this one in a lab of network namespaces.
func labStage(ctx context.Context, out io.Writer) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logs, err := os.MkdirTemp("", "netchecker-demo-")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%d nodes in network namespaces, vxlan overlay, server in its pod, logs in %s\n", demoNodes, logs)
	l, err := lab.Start(ctx, lab.Config{Nodes: demoNodes})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(logs))
	}
	end := func() error { return errors.Join(l.Close(), os.RemoveAll(logs)) }
	server := l.ServerPod()
	if _, err := l.Forward(ctx, demoServer, server.Namespace, fmt.Sprintf("%s:%d", server.Addr, lab.ServerPort)); err != nil {
		return nil, errors.Join(fmt.Errorf("the demonstration's server answers on %s: %w", demoServer, err), end())
	}
	c, err := cluster.Start(ctx, l, cluster.Config{Bin: filepath.Dir(self), Logs: logs})
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return &stage{
		nodes: demoNodes,
		fault: demoFault{
			what:    "the overlay of node3: its firewall closes the vxlan port",
			command: "node3# iptables -I INPUT -p udp --dport 8472 -j DROP",
			inject:  func(ctx context.Context) (func() error, error) { return l.Inject(ctx, "fw-8472-in", 3) },
		},
		close: func() error { c.Stop(); return end() },
	}, nil
}
