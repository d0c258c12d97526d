// Command cluster brings up a Kubernetes cluster on this machine to work with by hand, until Ctrl-C.
// Its arguments are archives of images to make known to the nodes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"netchecker/test/kube/cluster"
)

func main() {
	nodes := flag.Int("nodes", 3, "number of nodes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *nodes, flag.Args()); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, nodes int, images []string) error {
	c, err := cluster.Start(ctx, cluster.Config{Nodes: nodes, Log: os.Stdout})
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := c.ImportImage(ctx, image); err != nil {
			return errors.Join(err, c.Close())
		}
	}
	fmt.Printf("\nthe control plane: %s env KUBECONFIG=%s PATH=%s:$PATH bash\n", strings.Join(c.Enter(), " "), c.Kubeconfig, c.Bin())
	for _, n := range c.Nodes {
		fmt.Printf("%s (%s): %s bash\n", n.Name, n.Address, strings.Join(n.Enter(), " "))
	}
	fmt.Printf("logs: %s\nCtrl-C ends it\n", c.Path())
	<-ctx.Done()
	return c.Close()
}
