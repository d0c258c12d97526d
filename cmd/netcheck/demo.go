package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// demoServer is where the demonstration's server answers: the address the user's document gives.
const demoServer = localAddress

// demoFault is what the demonstration breaks: the stage says in words how.
type demoFault struct {
	what    string
	command string
	inject  func(ctx context.Context) (heal func() error, err error)
}

// stage is a running mesh to demonstrate on.
type stage struct {
	nodes int
	fault demoFault
	close func() error
	// progress is told of waits.
	progress *progress
}

func newDemo(s *asker) *cobra.Command {
	seconds := 0
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Runs a mesh of four nodes on this machine, breaks a path and heals it",
		Long: `Runs a mesh of four nodes on this machine, breaks a path and heals it.

As root: four nodes and their pods in network namespaces with a real vxlan overlay, the server in its
own pod and eight agents as user 65534, all as in a cluster. Without root: the agents on loopback
addresses, and the fault is a hook in them. The server answers on http://` + demoServer + ` either way.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if seconds > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
				defer cancel()
			}
			return demo(ctx, cmd.OutOrStdout(), s.progress)
		},
	}
	cmd.Flags().IntVar(&seconds, "seconds", 0, "stop after so many `seconds`; 0 stays until Ctrl-C")
	return cmd
}

func demo(ctx context.Context, out io.Writer, p *progress) (err error) {
	build := loopbackStage
	if os.Getuid() == 0 {
		build = labStage
	}
	s, err := build(ctx, out)
	if err != nil {
		return err
	}
	s.progress = p
	defer func() { err = errors.Join(err, s.close()) }()
	err = s.play(ctx, out)
	if ctx.Err() != nil {
		return nil // what was cut short may have failed; what it broke ends with the stage
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `
The mesh goes on running. Open http://%[1]s/ in a browser, or try, in another terminal:

  curl http://%[1]s/api/v1/connectivity_check
  curl 'http://%[1]s/api/v1/matrix?format=text'
  curl 'http://%[1]s/api/v1/matrix?state=failing'
  curl 'http://%[1]s/api/v1/matrix?state=all&source=node1&destination=node3'
  curl http://%[1]s/api/v1/agents/
  curl http://%[1]s/metrics
  bin/netcheck explain node3
  bin/netcheck history

Ctrl-C ends it.
`, demoServer)
	<-ctx.Done()
	return nil
}

// play shows the healthy mesh, the broken one and the healed one. A demonstration cut short is no error.
func (s *stage) play(ctx context.Context, out io.Writer) error {
	total := 4*s.nodes*s.nodes - 2*s.nodes
	began := time.Now()
	ready := func(m *demoMatrix) bool { return m.State == "ok" && m.count("total") == total }
	if !s.await(ctx, out, fmt.Sprintf("waiting for all %d paths", total), ready) {
		return nil
	}
	fmt.Fprintf(out, "all %d paths ok after %.1f s\n\n", total, time.Since(began).Seconds())
	if err := show(ctx, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nNow we break %s:\n  %s\n", s.fault.what, s.fault.command)
	began = time.Now()
	heal, err := s.fault.inject(ctx)
	if err != nil {
		return err
	}
	if !s.await(ctx, out, "waiting for the matrix to say so", func(m *demoMatrix) bool {
		return m.State == "failing" && m.Paths["pod-to-pod"]["failing"] == 2*(s.nodes-1) && m.Paths["host-to-pod"]["failing"] == 2*(s.nodes-1)
	}) {
		return heal()
	}
	fmt.Fprintf(out, "all failing paths named after %.1f s\n\n", time.Since(began).Seconds())
	if err := show(ctx, out); err != nil {
		return errors.Join(err, heal())
	}
	s.explain(ctx, out, began)
	fmt.Fprintf(out, "\nNow we heal it.\n")
	began = time.Now()
	if err := heal(); err != nil {
		return err
	}
	if !s.await(ctx, out, "waiting for all paths", ready) {
		return nil
	}
	fmt.Fprintf(out, "all %d paths ok again after %.1f s\n", total, time.Since(began).Seconds())
	return nil
}

// explainTime is how long the demonstration waits for the cause.
const explainTime = 20 * time.Second

// explain waits until the server names what is broken and says it.
func (s *stage) explain(ctx context.Context, out io.Writer, began time.Time) {
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	fmt.Fprintln(out)
	var found []demoFinding
	if !s.await(ctx, out, "waiting for the cause", func(m *demoMatrix) bool { found = m.Findings; return len(found) > 0 }) {
		return
	}
	fmt.Fprintf(out, "what is broken, after %.1f s (curl http://%s/api/v1/findings):\n", time.Since(began).Seconds(), demoServer)
	for _, f := range found {
		fmt.Fprintf(out, "  %s: %s\n", f.Severity, f.Summary)
	}
}

// demoMatrix is what the demonstration reads of the matrix.
type demoMatrix struct {
	State    string                    `json:"state"`
	Paths    map[string]map[string]int `json:"paths"`
	Findings []demoFinding             `json:"findings"`
}

type demoFinding struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
}

// count adds up what the path kinds have: total, or a state.
func (m *demoMatrix) count(what string) (n int) {
	for _, p := range m.Paths {
		n += p[what]
	}
	return n
}

// await asks the server until ready is true; false when ctx ended first.
func (s *stage) await(ctx context.Context, out io.Writer, what string, ready func(*demoMatrix) bool) bool {
	fmt.Fprintf(out, "%s ...\n", what)
	wait := s.progress.begin(what)
	defer wait.end()
	for ctx.Err() == nil {
		var text strings.Builder
		m := new(demoMatrix)
		if demoAsk(ctx, nil, &text) == nil && json.Unmarshal([]byte(text.String()), m) == nil {
			if ready(m) {
				return true
			}
			wait.now(fmt.Sprintf("%s: %d paths ok, %d failing", what, m.count("ok"), m.count("failing")))
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false
}

func show(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "$ curl 'http://%s/api/v1/matrix?format=text'\n", demoServer)
	err := demoAsk(ctx, url.Values{"format": {"text"}}, out)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// demoAsk asks the demonstration's server for the matrix.
func demoAsk(ctx context.Context, query url.Values, out io.Writer) error {
	s := &asker{}
	if err := s.openURL("the demonstration", "http://"+demoServer); err != nil {
		return err
	}
	defer s.close()
	return s.get(ctx, "/api/v1/matrix", query, out)
}
