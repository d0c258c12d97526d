package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/api"
	"netchecker/api/client"
	"netchecker/cmd/cli"
)

func newExplain(s *asker, o *output) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain NODE | SOURCE DESTINATION",
		Short: "Lays out what is known of a node or a pair: findings, paths, and in what they differ from healthy nodes",
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) < 1 || len(given) > 2 {
				return cli.Usagef("explain: want a node, or a source and a destination, not %d names", len(given))
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nodeNames(cmd, s)
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			query := url.Values{"node": given}
			if len(given) == 2 {
				query = url.Values{"source": given[:1], "destination": given[1:]}
			}
			if o.form == formJSON {
				return raw(cmd.Context(), s, o, "/api/v1/explain", query)
			}
			var e api.Explanation
			if err := s.read(cmd.Context(), "/api/v1/explain", query, &e); err != nil {
				return err
			}
			var pairs []client.Pair
			for _, p := range e.Pairs {
				var pair client.Pair
				if err := json.Unmarshal(p, &pair); err != nil {
					return fmt.Errorf("path: %w", err)
				}
				pairs = append(pairs, pair)
			}
			if o.form == formCSV {
				return pairTable(o, pairs).print(o, "")
			}
			trips := ""
			if e.Node == "" {
				trips = tripsOf(cmd.Context(), s, query)
			}
			return o.lines(explainText(&e, pairs, trips, o.form == formWide))
		},
	}
	o.flags(cmd)
	return cmd
}

// explainText lays an explanation out as an expert would: the verdict, the paths, what stands out,
// and what was looked at and is well. The trips are as tripsText lays them out.
func explainText(e *api.Explanation, pairs []client.Pair, trips string, wide bool) string {
	var b strings.Builder
	about := e.Node
	if about == "" {
		about = e.Source + " -> " + e.Destination
	}
	fmt.Fprintf(&b, "%s: %s at %s\n\n", about, strings.ToUpper(e.State), e.GeneratedAt.Format(time.RFC3339))
	if len(e.Findings) == 0 {
		b.WriteString("FINDINGS\n  none\n\n")
	} else {
		b.WriteString("FINDINGS\n")
		for i := range e.Findings {
			for line := range strings.Lines(findingText(&e.Findings[i], e.GeneratedAt)) {
				b.WriteString("  " + line)
			}
		}
		b.WriteByte('\n')
	}
	explainAgents(&b, e)
	explainCounts(&b, e)
	explainPaths(&b, e, pairs, wide)
	b.WriteString(trips)
	explainEvidence(&b, e)
	return b.String()
}

func explainAgents(b *strings.Builder, e *api.Explanation) {
	b.WriteString("AGENTS\n")
	for _, a := range e.Agents {
		fmt.Fprintf(b, "  %-24s %s", clean(a.Node)+"/"+a.Network, a.State)
		if a.Address != "" { // a pod that was never heard of has none
			fmt.Fprintf(b, " at %s", a.Address)
		}
		if a.LastReport != nil {
			fmt.Fprintf(b, ", last report %s ago", ago(e.GeneratedAt.Sub(*a.LastReport)))
		}
		if a.Via != "" {
			fmt.Fprintf(b, ", only through %s", clean(a.Via))
		}
		if a.Doubt != "" {
			fmt.Fprintf(b, ", doubts itself: %s", clean(a.Doubt))
		}
		if a.EvidenceAt == nil {
			b.WriteString(", has told nothing of its node")
		} else {
			fmt.Fprintf(b, ", read its node %s ago", ago(e.GeneratedAt.Sub(*a.EvidenceAt)))
		}
		b.WriteByte('\n')
		for _, m := range a.Missing {
			fmt.Fprintf(b, "  %-24s could not read %s\n", "", clean(m))
		}
	}
	b.WriteByte('\n')
}

func explainCounts(b *strings.Builder, e *api.Explanation) {
	width := len("from ") + max(len(e.Node), 1)
	fmt.Fprintf(b, "%-*s %7s %7s %9s %8s %8s\n", 15+width, "PATHS", "total", "ok", "degraded", "failing", "unknown")
	for _, c := range e.Counts {
		if c.Total == 0 {
			continue
		}
		way := c.Direction + " " + e.Node
		if e.Node == "" {
			way = map[string]string{"from": "there", "to": "back"}[c.Direction]
		}
		fmt.Fprintf(b, "  %-12s %-*s %7d %7d %9d %8d %8d\n", c.Path, width, clean(way), c.Total, c.OK, c.Degraded, c.Failing, c.Unknown)
	}
	b.WriteByte('\n')
}

// explainPaths lists paths with what each probe found. Of a node there can be hundreds, and those that
// nobody reports have nothing to tell one by one.
func explainPaths(b *strings.Builder, e *api.Explanation, pairs []client.Pair, wide bool) {
	const most = 24
	shown, silent := pairs, 0
	if !wide && e.Node != "" {
		shown = slices.DeleteFunc(slices.Clone(pairs), func(p client.Pair) bool { return p.State == "unknown" })
		silent = unknownPaths(e)
		shown = shown[:min(len(shown), most)]
	}
	for i := range shown {
		p := &shown[i]
		fmt.Fprintf(b, "  %-9s %s -> %s %s", p.State, clean(p.Source), clean(p.Destination), p.Path)
		if p.Family != "ipv4" {
			b.WriteString(" " + p.Family)
		}
		if !p.Since.IsZero() && p.State != "ok" {
			fmt.Fprintf(b, ", for %s", ago(e.GeneratedAt.Sub(p.Since)))
		}
		b.WriteByte('\n')
		for _, name := range probeNames {
			probe := p.Probes[name]
			b.WriteString(strings.TrimRight(fmt.Sprintf("    %-5s %-9s %s", name, probe.State, probeText(&probe)), " ") + "\n")
		}
	}
	if left := len(pairs) - len(shown) - silent + e.PairsLeftOut; left > 0 {
		fmt.Fprintf(b, "  … and %d more paths: netcheck pairs lists them\n", left)
	}
	if silent > 0 {
		fmt.Fprintf(b, "  unknown   %d paths: nobody fresh reports them\n", silent)
	}
	if len(pairs) > 0 {
		b.WriteByte('\n')
	}
}

// unknownPaths counts the paths that nobody reports.
func unknownPaths(e *api.Explanation) (n int) {
	for _, c := range e.Counts {
		n += c.Unknown
	}
	return n
}

func probeText(p *client.Probe) string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if p.Loss != nil && *p.Loss > 0 {
		add("%s lost", share(p.Loss))
		if p.ForwardLoss != nil {
			add("there %s", share(p.ForwardLoss))
		}
		if p.ReturnLoss != nil {
			add("back %s", share(p.ReturnLoss))
		}
	}
	if p.Error != "" {
		add("%s", p.Error)
	}
	if p.BadFlows != "" {
		add("%s flows dead", p.BadFlows)
	}
	if p.MaxBytes > 0 {
		add("largest that passes %d bytes", p.MaxBytes)
	}
	if p.RTT > 0 && p.State != "failing" { // there it is of earlier
		add("%.4g ms", p.RTT)
	}
	return strings.Join(out, ", ")
}

func explainEvidence(b *strings.Builder, e *api.Explanation) {
	if e.Compared == 0 {
		b.WriteString("EVIDENCE\n  nothing to compare: no healthy node, or none of these, has told what it read of itself\n")
		return
	}
	fmt.Fprintf(b, "OTHERWISE THAN ON HEALTHY NODES (%d compared)\n", e.Compared)
	if len(e.Different) == 0 {
		b.WriteString("  nothing\n")
	}
	for _, d := range e.Different {
		value, usual := clean(d.Value), clean(d.Usual)
		if value == "" {
			value = "not there"
		}
		if usual == "" {
			usual = "not there"
		}
		fmt.Fprintf(b, "  %s/%s: %s is %s, elsewhere %s (%d of %d)\n", clean(d.Node), d.Network, clean(d.Fact), value, usual, d.Have, d.Of)
	}
	b.WriteString("\nAS ON HEALTHY NODES\n")
	for _, s := range e.Same {
		more := ""
		if s.Facts > len(s.Examples) {
			more = ", …"
		}
		fmt.Fprintf(b, "  %s/%s: %d %s: %s%s\n", clean(s.Node), s.Network, s.Facts, s.Sort, clean(strings.Join(s.Examples, ", ")), more)
	}
}
