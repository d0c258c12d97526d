// Command build builds and fetches what a cluster consists of, so that no test has to wait for it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"netchecker/test/kube/programs"
)

func main() {
	controlPlane := flag.Bool("control-plane", false, "only etcd and the Kubernetes programs, without what nodes need")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	store, err := programs.Open(ctx, os.Stdout)
	if err == nil && *controlPlane {
		err = store.Kubernetes(ctx)
	} else if err == nil {
		err = store.All(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}
