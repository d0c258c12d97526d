package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"netchecker/api/client"
	"netchecker/cmd/cli"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// The verdicts of check, which are its exit statuses.
const (
	allWell verdict = 0
	unclear verdict = 1
	notWell verdict = 2
)

// checkEvery is how often check --wait looks.
const checkEvery = 500 * time.Millisecond

// cannotTell is why check cannot tell, also when its command line is wrong: 2 would say that
// something fails.
type cannotTell struct{ error }

func (c cannotTell) Unwrap() error { return c.error }

func newCheck(s *asker, o *output) *cobra.Command {
	wait, nodes := time.Duration(0), 0
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Exits with 0 when all is well, 1 when it cannot tell, 2 when something fails",
		Long: `Exits with 0 when every path is ok and no finding is worse than an info, with 2 when a path is failing
or degraded or such a finding is open, and with 1 when it cannot tell: the server does not answer,
paths are unknown, or fewer nodes report than --nodes asks for. It prints one line that says which.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if err := cobra.NoArgs(cmd, given); err != nil {
				return cannotTell{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 || nodes < 0 {
				return cannotTell{cli.Usagef("--wait and --nodes: want 0 or more")}
			}
			v, line := s.await(cmd.Context(), wait, nodes)
			if _, err := fmt.Fprintln(o.w, o.paint(line)); err != nil {
				return cannotTell{err}
			}
			if v == allWell {
				return nil
			}
			return v
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cannotTell{err} })
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to `wait` until all is well, such as 60s")
	cmd.Flags().IntVar(&nodes, "nodes", 0, "how many `nodes` there must be at least")
	return cmd
}

// leastTime is what an answer may take at least, however little of check --wait is left.
const leastTime = 2 * time.Second

// await judges until all is well or the time is up. With --wait a silent server holds it no longer than
// that, or leastTime more; without, it asks once, as patiently as every command.
func (s *asker) await(ctx context.Context, patience time.Duration, nodes int) (verdict, string) {
	deadline := time.Now().Add(patience)
	what := "waiting until all is well, at most until " + deadline.Format(time.TimeOnly)
	wait := s.progress.begin(what)
	defer wait.end()
	for {
		asks, cancel := ctx, context.CancelFunc(func() {})
		if patience > 0 {
			asks, cancel = context.WithTimeout(ctx, max(time.Until(deadline), leastTime))
		}
		v, line := s.judge(asks, nodes)
		cancel()
		if v == allWell || ctx.Err() != nil || !time.Now().Before(deadline) {
			return v, line
		}
		wait.now(what + ": " + line)
		select {
		case <-ctx.Done():
		case <-time.After(checkEvery):
		}
	}
}

// judge asks once. It asks for the overview, which has all it wants in a few bytes: a matrix that lists the
// failing paths grows with them, and would not come in time when a large cluster falls apart.
func (s *asker) judge(ctx context.Context, nodes int) (verdict, string) {
	var m struct {
		State    string
		Paths    map[string]client.Counts
		Nodes    []struct{ Pod, Host struct{ State string } }
		Findings []diagnose.Finding
	}
	if err := s.read(ctx, "/api/v1/overview", nil, &m); err != nil {
		return unclear, "cannot tell: " + err.Error()
	}
	counts, reporting := client.Counts{}, 0
	for _, c := range m.Paths {
		counts.Total += c.Total
		counts.Failing += c.Failing
		counts.Degraded += c.Degraded
		counts.Unknown += c.Unknown
	}
	for _, n := range m.Nodes {
		if n.Pod.State == "reporting" || n.Host.State == "reporting" {
			reporting++
		}
	}
	for i := range m.Findings { // the worst comes first
		if f := &m.Findings[i]; f.Severity != diagnose.Info {
			return notWell, fmt.Sprintf("failing: %s", clean(f.Summary))
		}
	}
	state, err := probe.ParseState(m.State)
	switch {
	case err != nil:
		return unclear, fmt.Sprintf("cannot tell: the server says %q", clean(m.State))
	case state >= probe.Degraded:
		return notWell, fmt.Sprintf("failing: %d paths failing, %d degraded, of %d", counts.Failing, counts.Degraded, counts.Total)
	case counts.Total == 0:
		return unclear, "cannot tell: no path is known"
	case reporting < nodes:
		return unclear, fmt.Sprintf("cannot tell: %d nodes report, %d are asked for", reporting, nodes)
	case state != probe.OK:
		return unclear, fmt.Sprintf("cannot tell: %d of %d paths are unknown", counts.Unknown, counts.Total)
	}
	return allWell, fmt.Sprintf("ok: %d paths between %d nodes", counts.Total, len(m.Nodes))
}
