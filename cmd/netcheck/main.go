// Command netcheck is the person's tool: it asks the server for the matrix and shows the whole
// thing on this machine. Installed as kubectl-netcheck it is also `kubectl netcheck`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
)

var version string // stamped at link time

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	root := newRoot(filepath.Base(os.Args[0]))
	root.SetArgs(os.Args[1:])
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "netcheck: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(exitStatus(err))
	}
}

func newRoot(program string) *cobra.Command {
	use := "netcheck"
	if strings.HasPrefix(program, "kubectl-") {
		use = "kubectl netcheck"
	}
	root := &cobra.Command{
		Use:           use,
		Short:         "Says which pairs of nodes fail, on which network and in which direction",
		Version:       cli.Version(version),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &cli.UsageError{Err: err} })
	root.AddCommand(newMatrix(), newDemo())
	return root
}

// exitStatus is 2 for a wrong command line and 1 for everything else that fails.
func exitStatus(err error) int {
	if _, usage := asUsage(err); usage || strings.HasPrefix(err.Error(), "unknown command") {
		return 2
	}
	return 1
}
