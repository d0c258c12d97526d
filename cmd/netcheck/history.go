package main

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"netchecker/api/client"
	"netchecker/cmd/cli"
	"netchecker/mesh/diagnose"
)

// historyPage is the answer of /api/v1/history.
type historyPage struct {
	Since, Until time.Time
	Kept         struct{ Since, Until time.Time }
	Complete     bool
	Changes      []struct {
		At   time.Time
		From string
		client.Pair
	}
	Agents []struct {
		At                               time.Time
		Node, Network, Name, From, State string
	}
	Findings []diagnose.Finding
	Next     string
}

// pageLimit is how many changes are asked for at once.
const pageLimit = 10_000

func newHistory(s *asker, o *output) *cobra.Command {
	var chosen map[string]*string
	limit := 0
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Lists what changed, the earliest first: of the last hour, or since --since",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return cli.Usagef("--limit %d: want at least 1", limit)
			}
			query := values(chosen)
			query.Set("limit", strconv.Itoa(min(limit, pageLimit)))
			if o.form == formJSON {
				return raw(cmd.Context(), s, o, "/api/v1/history", query)
			}
			return s.history(cmd, o, query, limit)
		},
	}
	o.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 1000, "at most so many `changes`; with -o json at most 10000, and next goes on")
	chosen = filters(cmd, "since", "until", "state", "path", "source", "destination")
	completeNodes(s, cmd, "source", "destination")
	return cmd
}

// history gathers the pages and prints them.
func (s *asker) history(cmd *cobra.Command, o *output, query url.Values, limit int) error {
	var all historyPage
	asked := query.Has("since")
	wait := s.progress.begin("reading the history")
	defer wait.end()
	for {
		var page historyPage
		if err := s.read(cmd.Context(), "/api/v1/history", query, &page); err != nil {
			return err
		}
		page.Changes = append(all.Changes, page.Changes...)
		page.Agents = append(all.Agents, page.Agents...)
		page.Findings = append(all.Findings, page.Findings...)
		page.Complete = page.Complete && (all.Since.IsZero() || all.Complete)
		if all.Since.IsZero() {
			query.Set("until", page.Until.Format(time.RFC3339Nano)) // the pages are of one time
			query.Set("since", page.Since.Format(time.RFC3339Nano))
		}
		all = page
		read := len(all.Changes) + len(all.Agents)
		if all.Next == "" || read >= limit {
			break
		}
		query.Set("after", all.Next)
		query.Set("limit", strconv.Itoa(min(limit-read, pageLimit)))
		wait.now(fmt.Sprintf("reading the history, %d changes", read))
	}
	wait.end()
	if err := historyTable(o, &all).print(o, "nothing changed"); err != nil {
		return err
	}
	note := func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
	if all.Next != "" {
		note("there is more: --limit, or --since %s", last(&all).Format(time.RFC3339))
	}
	if asked && all.Kept.Since.After(all.Since) {
		note("what happened before %s is not kept", moment(all.Kept.Since))
	}
	if !all.Complete {
		note("not everything of this time could be kept or read")
	}
	return nil
}

// last is the moment of the last change.
func last(h *historyPage) (at time.Time) {
	for i := range h.Changes {
		at = latest(at, h.Changes[i].At)
	}
	for i := range h.Agents {
		at = latest(at, h.Agents[i].At)
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func historyTable(o *output, h *historyPage) *table {
	type line struct {
		at  time.Time
		row []string
	}
	var lines []line
	add := func(at time.Time, what, from, to, state, why string) {
		lines = append(lines, line{at, []string{o.moment(at), what, from, to, state, why}})
	}
	for i := range h.Changes {
		c := &h.Changes[i]
		why := errorOf(&c.Pair)
		if udp := c.Probes["udp"]; udp.ForwardLoss != nil && *udp.ForwardLoss > 0 {
			why += ", there " + share(udp.ForwardLoss) + " lost"
		}
		add(c.At, c.Path, c.Source, c.Destination, c.From+" > "+c.State, why)
	}
	for i := range h.Agents {
		a := &h.Agents[i]
		add(a.At, a.Network+" agent", clean(a.Node), "", a.From+" > "+a.State, clean(a.Name))
	}
	for i := range h.Findings {
		f := &h.Findings[i]
		if !f.Since.Before(h.Since) {
			add(f.Since, "finding", placeOf(f), "", "began", clean(f.Summary))
		}
		if f.ClosedAt != nil && !f.ClosedAt.After(h.Until) {
			add(*f.ClosedAt, "finding", placeOf(f), "", "ended", clean(f.Summary))
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.row[1], b.row[1])) })
	t := &table{header: []string{"time", "what", "from", "to", "state", "why"}, plain: 6}
	for _, l := range lines {
		t.rows = append(t.rows, l.row)
	}
	return t
}
