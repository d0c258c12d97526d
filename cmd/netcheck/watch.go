package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
)

func newWatch(s *asker, o *output) *cobra.Command {
	every := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Shows the matrix live in the terminal until Ctrl-C",
		Long: `Shows the matrix live in the terminal until Ctrl-C, as much as fits. When nobody looks at its output it
prints one line when it begins and one whenever the verdict or the counts of paths change.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return cli.Usagef("--every %v: want at least 100ms", every)
			}
			live := terminal(o.w)
			show := o.changes()
			if live {
				show = o.screen
			}
			return s.watch(cmd.Context(), every, show)
		},
	}
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "`time` from one look to the next")
	return cmd
}

// watch asks again and again and shows each answer. A server that is away for a while is shown as
// such: it may come back.
func (s *asker) watch(ctx context.Context, every time.Duration, show func(text string, err error) error) error {
	for {
		var text strings.Builder
		err := s.get(ctx, "/api/v1/matrix", url.Values{"format": {"text"}}, &text)
		if ctx.Err() != nil {
			return nil
		}
		if err := show(text.String(), err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// screen shows a text from the top of the terminal, as much as fits.
func (o *output) screen(text string, err error) error {
	if err != nil {
		text = fmt.Sprintf("%s  no answer\n%v\n", time.Now().Format(time.TimeOnly), err)
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	rows, columns := sizeOf(o.w)
	if left := len(lines) - (rows - 1); left > 0 {
		lines = append(lines[:rows-2], fmt.Sprintf("… and %d more lines", left+1))
	}
	var b strings.Builder
	b.WriteString("\x1b[H") // home; what was there is overwritten, so that nothing flickers
	for _, line := range lines {
		b.WriteString(o.paint(fit(line, columns)) + "\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
	_, werr := fmt.Fprint(o.w, b.String())
	return werr
}

// changes prints a line when the verdict or the counts differ from those before.
func (o *output) changes() func(text string, err error) error {
	before := ""
	return func(text string, err error) error {
		now := "no answer: " + fmt.Sprint(err)
		if err == nil {
			now = summary(text)
		}
		if now == before {
			return nil
		}
		before = now
		_, werr := fmt.Fprintln(o.w, time.Now().UTC().Format(time.RFC3339), o.paint(now))
		return werr
	}
}

// summary is the verdict and the first finding of the text form, without its time, and the counts.
func summary(text string) string {
	lines := strings.Split(text, "\n")
	words := strings.Fields(lines[0])
	if len(words) < 3 {
		return lines[0]
	}
	out := []string{words[0] + " " + strings.Join(words[2:], " ")}
	total := [5]int{}
	for _, line := range lines {
		var kind string
		var n [5]int
		if c, _ := fmt.Sscan(line, &kind, &n[0], &n[1], &n[2], &n[3], &n[4]); c == 6 {
			for i := range n {
				total[i] += n[i]
			}
		}
	}
	out = append(out, fmt.Sprintf("%d paths: %d ok, %d degraded, %d failing, %d unknown", total[0], total[1], total[2], total[3], total[4]))
	if len(lines) > 2 && (strings.HasPrefix(lines[2], "critical: ") || strings.HasPrefix(lines[2], "warning: ")) {
		out = append(out, lines[2])
	}
	return strings.Join(out, "; ")
}
