// Command netcheck is the person's tool: it asks the server what is broken and since when, explains a
// node or a pair, and shows the whole thing on this machine. Installed as kubectl-netcheck it is
// also `kubectl netcheck`.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
	"netchecker/mesh/kube"
)

var version string // stamped at link time

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	kube.RouteLogs(slog.New(slog.DiscardHandler)) // what a person can use of it is in our errors
	root, end := rootAt(filepath.Base(os.Args[0]), os.Getenv, time.Now)
	root.SetArgs(os.Args[1:])
	err := execute(ctx, root)
	end()
	stop()
	status, said := exitStatus(err)
	if said {
		fmt.Fprintf(os.Stderr, "netcheck: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	os.Exit(status)
}

// execute runs the command line. Of a command that does not exist it says which do.
func execute(ctx context.Context, root *cobra.Command) error {
	root.DisableSuggestions = true // the list says more, in one line
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil || cmd != root || !strings.HasPrefix(err.Error(), "unknown command") {
		return err
	}
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	return &cli.UsageError{Err: fmt.Errorf("%w: want one of %s", err, strings.Join(names, ", "))}
}

// rootAt builds the commands, with a clock. What they opened is ended by end.
func rootAt(program string, getenv func(string) string, now func() time.Time) (root *cobra.Command, end func()) {
	root = &cobra.Command{
		Use:           "netcheck",
		Short:         "Says which pairs of nodes fail, on which network and in which direction, and why",
		Version:       cli.Version(version),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	plugin := strings.HasPrefix(program, "kubectl-")
	if plugin {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl netcheck"}
	}
	s := &asker{where: newWhere(plugin, getenv)}
	o := &output{now: now}
	s.flags(root)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		o.w = cmd.OutOrStdout()
		o.colour = terminal(o.w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
		if terminal(cmd.ErrOrStderr()) && getenv("TERM") != "dumb" {
			s.progress = &progress{w: cmd.ErrOrStderr()}
		}
		if cmd.Flags().Lookup("output") != nil {
			return o.check()
		}
		return nil
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &cli.UsageError{Err: err} })
	asks := []*cobra.Command{newMatrix(s, o), newPairs(s, o), newFindings(s, o), newExplain(s, o), newWatch(s, o), newHistory(s, o), newCheck(s, o)}
	for _, c := range asks {
		c.PreRunE = func(cmd *cobra.Command, _ []string) error {
			err := s.open(cmd.Flags().Changed)
			if err != nil && cmd.Name() == "check" {
				return cannotTell{err}
			}
			return err
		}
	}
	root.AddCommand(asks...)
	root.AddCommand(newDemo(s))
	return root, s.close
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
