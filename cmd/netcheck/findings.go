package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/mesh/diagnose"
)

// findingList is the answer of /api/v1/findings.
type findingList struct {
	Findings []diagnose.Finding `json:"findings"`
}

func newFindings(s *asker, o *output) *cobra.Command {
	var chosen map[string]*string
	cmd := &cobra.Command{
		Use:   "findings",
		Short: "Says what is broken and why; with --since also what was and has ended",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := values(chosen)
			if o.form == formJSON {
				return raw(cmd.Context(), s, o, "/api/v1/findings", query)
			}
			var list findingList
			if err := s.read(cmd.Context(), "/api/v1/findings", query, &list); err != nil {
				return err
			}
			return printFindings(o, list.Findings, "nothing is found")
		},
	}
	o.flags(cmd)
	chosen = filters(cmd, "at", "since")
	return cmd
}

func printFindings(o *output, list []diagnose.Finding, nothing string) error {
	if o.form == formTable {
		if len(list) == 0 {
			_, err := fmt.Fprintln(o.w, nothing)
			return err
		}
		for i := range list {
			if err := o.lines(findingText(&list[i], o.now())); err != nil {
				return err
			}
		}
		return nil
	}
	t := &table{header: []string{"severity", "since", "ended", "kind", "cause", "where", "network", "confidence", "explains", "id", "summary", "check"}, plain: 12}
	for i := range list {
		f := &list[i]
		ended := time.Time{}
		if f.ClosedAt != nil {
			ended = *f.ClosedAt
		}
		t.rows = append(t.rows, []string{string(f.Severity), o.moment(f.Since), o.moment(ended), string(f.Kind), string(f.Cause), placeOf(f), f.Location.Network,
			strconv.FormatFloat(f.Confidence, 'f', 2, 64), strconv.Itoa(f.Explains), f.ID, clean(f.Summary), clean(f.Check)})
	}
	return t.print(o, nothing)
}

// placeOf is where a finding is, in a word.
func placeOf(f *diagnose.Finding) string {
	l := &f.Location
	switch {
	case l.Source != "":
		return l.Source + " -> " + l.Destination
	case len(l.Nodes) > 3:
		return fmt.Sprintf("%s and %d more", l.Nodes[0], len(l.Nodes)-1)
	case len(l.Nodes) > 0:
		return strings.Join(l.Nodes, ", ")
	}
	return string(l.Scope)
}

// findingText lays a finding out: the sentence first, then what it rests on.
func findingText(f *diagnose.Finding, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", f.Severity, clean(f.Summary))
	when := fmt.Sprintf("since %s (%s)", moment(f.Since), ago(now.Sub(f.Since)))
	if f.ClosedAt != nil {
		when = fmt.Sprintf("from %s to %s (%s)", moment(f.Since), moment(*f.ClosedAt), ago(f.ClosedAt.Sub(f.Since)))
	}
	cause := "not known"
	if f.Cause != "" {
		cause = string(f.Cause)
	}
	fmt.Fprintf(&b, "    %s; %s, cause %s, confidence %.0f%%, explains %d paths\n", when, f.Kind, cause, f.Confidence*100, f.Explains)
	for _, a := range f.Alternatives {
		fmt.Fprintf(&b, "    or: %s\n", clean(a))
	}
	for _, e := range f.Evidence {
		fmt.Fprintf(&b, "    %s: %s is %s", clean(e.Node), clean(e.Fact), clean(e.Value))
		if e.Expected != "" {
			fmt.Fprintf(&b, ", expected %s", clean(e.Expected))
		}
		b.WriteByte('\n')
	}
	if f.Check != "" && f.ClosedAt == nil {
		fmt.Fprintf(&b, "    check: %s\n", clean(f.Check))
	}
	return b.String()
}
