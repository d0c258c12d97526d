// Command netcheck is the person's tool: it asks the server what is broken and since when, explains a
// node or a pair, and shows the whole thing on this machine. Installed as kubectl-netcheck it is
// also `kubectl netcheck`.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
)

var version string // stamped at link time

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	root := newRoot(filepath.Base(os.Args[0]), os.Getenv)
	root.SetArgs(os.Args[1:])
	err := root.ExecuteContext(ctx)
	stop()
	status, said := exitStatus(err)
	if said {
		fmt.Fprintf(os.Stderr, "netcheck: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	os.Exit(status)
}

func newRoot(program string, getenv func(string) string) *cobra.Command {
	return rootAt(program, getenv, time.Now)
}

// rootAt is newRoot with another clock.
func rootAt(program string, getenv func(string) string, now func() time.Time) *cobra.Command {
	root := &cobra.Command{
		Use:           "netcheck",
		Short:         "Says which pairs of nodes fail, on which network and in which direction, and why",
		Version:       cli.Version(version),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	if strings.HasPrefix(program, "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl netcheck"}
	}
	s := &asker{url: cmp.Or(getenv("NETCHECKER_SERVER"), defaultServer)}
	o := &output{now: now}
	s.flags(root)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		o.w = cmd.OutOrStdout()
		o.colour = terminal(o.w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
		if terminal(cmd.ErrOrStderr()) {
			s.progress = cmd.ErrOrStderr()
		}
		if cmd.Name() == "demo" || cmd.Name() == "help" {
			return nil
		}
		if cmd.Flags().Lookup("output") != nil {
			if err := o.check(); err != nil {
				return err
			}
		}
		return s.open()
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &cli.UsageError{Err: err} })
	root.AddCommand(newMatrix(s, o), newPairs(s, o), newFindings(s, o), newExplain(s, o), newWatch(s, o), newHistory(s, o), newCheck(s, o), newDemo())
	return root
}

// verdict is the end of check: an exit status that says something else than "it did not work".
type verdict int

func (v verdict) Error() string { return [...]string{"ok", "cannot tell", "failing"}[v] }

// exitStatus is 2 for a wrong command line and 1 for everything else that goes wrong; check has its own.
// said is whether the error is still to be said.
func exitStatus(err error) (status int, said bool) {
	if err == nil {
		return 0, false
	}
	if v, ok := errors.AsType[verdict](err); ok {
		return int(v), false
	}
	if _, cannot := errors.AsType[cannotTell](err); cannot {
		return 1, true
	}
	if _, usage := errors.AsType[*cli.UsageError](err); usage || strings.HasPrefix(err.Error(), "unknown command") {
		return 2, true
	}
	return 1, true
}

// args makes wrong arguments errors of usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return &cli.UsageError{Err: err}
		}
		return nil
	}
}
