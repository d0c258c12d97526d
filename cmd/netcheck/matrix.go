package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/api/client"
)

func newMatrix(s *asker, o *output) *cobra.Command {
	var chosen map[string]*string
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Prints the verdict, the findings, the grid and the paths that are not ok",
		Long: `Prints the verdict, the findings, the grid of a small cluster and the paths that are not ok.
With -o wide all paths; json and csv are as the server has them.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := values(chosen)
			switch o.form {
			case formJSON, formCSV:
				query.Set("format", o.form)
				return raw(cmd.Context(), s, o, "/api/v1/matrix", query)
			case formWide:
				if query.Get("state") == "" {
					query.Set("state", "all")
				}
			}
			query.Set("format", "text")
			var text strings.Builder
			if err := s.get(cmd.Context(), "/api/v1/matrix", query, &text); err != nil {
				return err
			}
			return o.lines(text.String())
		},
	}
	o.flags(cmd)
	chosen = filters(cmd, "at", "state", "path", "source", "destination")
	completeNodes(s, cmd, "source", "destination")
	return cmd
}

// lines prints a text, coloured where somebody looks.
func (o *output) lines(text string) error {
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(o.w, o.paint(strings.TrimRight(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func newPairs(s *asker, o *output) *cobra.Command {
	var chosen map[string]*string
	cmd := &cobra.Command{
		Use:   "pairs",
		Short: "Lists the paths that are not ok, one a line",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := values(chosen)
			if o.form == formJSON {
				return raw(cmd.Context(), s, o, "/api/v1/matrix", query)
			}
			var m client.Matrix
			if err := s.read(cmd.Context(), "/api/v1/matrix", query, &m); err != nil {
				return err
			}
			return pairTable(o, m.Pairs).print(o, noPairs(query))
		},
	}
	o.flags(cmd)
	chosen = filters(cmd, "at", "state", "path", "source", "destination")
	completeNodes(s, cmd, "source", "destination")
	return cmd
}

// noPairs says that there are no pairs, of those alone that were asked for: others may be failing.
func noPairs(query url.Values) string {
	few, state := query.Has("path") || query.Has("source") || query.Has("destination"), query.Has("state")
	switch {
	case few && state:
		return "no path asked for is in that state"
	case few:
		return "no path asked for is degraded, failing or unknown"
	case state:
		return "no path is in the state asked for"
	}
	return "no path is degraded, failing or unknown"
}

// probeNames are the probes in the order of the API.
var probeNames = [...]string{"udp", "mtu", "tcp", "icmp"}

func pairTable(o *output, pairs []client.Pair) *table {
	t := &table{header: []string{"state", "from", "to", "path", "since", "udp", "mtu", "tcp", "icmp", "lost there", "lost back", "rtt ms", "family", "max bytes", "flows", "error"}, plain: 11}
	for i := range pairs {
		p := &pairs[i]
		udp, mtu := p.Probes["udp"], p.Probes["mtu"]
		row := []string{p.State, p.Source, p.Destination, p.Path, o.moment(p.Since)}
		for _, name := range probeNames {
			row = append(row, p.Probes[name].State)
		}
		row = append(row, share(udp.ForwardLoss), share(udp.ReturnLoss), number(udp.RTT), p.Family, number(float64(mtu.MaxBytes)), udp.BadFlows, errorOf(p))
		t.rows = append(t.rows, row)
	}
	return t
}

// number writes a number; nothing for 0, which stands for what nobody measured.
func number(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g", v)
}

// errorOf is the first error of a path's probes.
func errorOf(p *client.Pair) string {
	for _, name := range probeNames {
		if e := p.Probes[name].Error; e != "" && p.Probes[name].State != "ok" {
			return name + " " + e
		}
	}
	return ""
}

// completionTime is how long somebody waits for what a shell completes.
const completionTime = 5 * time.Second

// nodeNames asks for the names of all nodes, for completion.
func nodeNames(cmd *cobra.Command, s *asker) ([]string, cobra.ShellCompDirective) {
	var m client.Matrix
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	if s.open(cmd.Flags().Changed) != nil || s.read(ctx, "/api/v1/matrix", url.Values{"state": {"failing"}, "path": {"host-to-host"}}, &m) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // a shell's line is no place for errors
	}
	var out []string
	for _, n := range m.Nodes {
		out = append(out, n.Name)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeNodes completes the values of flags with the names of nodes.
func completeNodes(s *asker, cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return nodeNames(cmd, s)
		}) // the flag is there
	}
}

// ago writes how long something has lasted.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return d.Round(time.Second).String()
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
