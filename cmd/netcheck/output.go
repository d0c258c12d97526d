package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"netchecker/api"
	"netchecker/cmd/cli"
)

// The forms of output.
const (
	formTable = "table"
	formWide  = "wide"
	formJSON  = "json"
	formCSV   = "csv"
)

var forms = []string{formTable, formWide, formJSON, formCSV}

// output is where and how a command prints.
type output struct {
	w      io.Writer
	form   string
	colour bool
	now    func() time.Time
}

// flags gives a command the flag that says in which form.
func (o *output) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.form, "output", "o", formTable, "`form`: "+strings.Join(forms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func (o *output) check() error {
	if !slices.Contains(forms, o.form) {
		return cli.Usagef("-o %q: want one of %s", o.form, strings.Join(forms, ", "))
	}
	return nil
}

// terminal reports whether somebody looks at w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// table is rows under a header, printed as the form asks. Columns after plain are for -o wide and csv.
type table struct {
	header []string
	plain  int
	rows   [][]string
}

// print writes the table; nothing names what there is none of.
func (t *table) print(o *output, nothing string) error {
	if o.form == formCSV {
		w := csv.NewWriter(o.w)
		w.Write(t.header) // Error says it
		w.WriteAll(t.rows)
		return w.Error()
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(o.w, nothing)
		return err
	}
	n := t.plain
	if o.form == formWide {
		n = len(t.header)
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		fmt.Fprintln(w, strings.Join(row[:n], "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimRight(text.String(), "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		if i == 0 {
			line = strings.ToUpper(line)
		}
		if _, err := fmt.Fprintln(o.w, o.paint(line)); err != nil {
			return err
		}
	}
	return nil
}

// colours are those of states and severities.
var colours = map[string]string{"failing": "31", "critical": "31", "degraded": "33", "warning": "33", "unknown": "35", "ok": "32"}

// paint colours the first word of a line that is a state.
func (o *output) paint(line string) string {
	if !o.colour {
		return line
	}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' || r == '.' || r == ',' }) {
		if c, known := colours[strings.ToLower(word)]; known {
			at := strings.Index(line, word)
			return line[:at] + "\x1b[" + c + "m" + word + "\x1b[0m" + line[at+len(word):]
		}
	}
	return line
}

// clean keeps what comes from the cluster from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// moment writes a time as the clock on the wall has it; "-" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// moment writes a time in a table; in csv, which programs read, as the server does.
func (o *output) moment(t time.Time) string {
	if o.form == formCSV {
		return api.CSVTime(t)
	}
	return moment(t)
}

// share writes a share of loss in percent; "-" when nobody knows.
func share(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.3g%%", *v*100)
}

// values makes a query of the flags that were given.
func values(flags map[string]*string) url.Values {
	out := url.Values{}
	for name, v := range flags {
		if *v != "" {
			out.Set(name, *v)
		}
	}
	return out
}

// filters gives a command a flag for each parameter of its request, described.
func filters(cmd *cobra.Command, names ...string) map[string]*string {
	says := map[string]string{
		"at":          "`time` such as 2026-01-02T15:04:05Z, or how long ago such as 15m, to look back at",
		"since":       "`time`, or how long ago, to begin at",
		"until":       "`time`, or how long ago, to end at",
		"state":       "only paths in this `state`: all, ok, degraded, failing, unknown",
		"path":        "only paths of this `kind`: pod-to-pod, host-to-pod, pod-to-host, host-to-host",
		"source":      "only paths from this `node`",
		"destination": "only paths to this `node`",
	}
	out := map[string]*string{}
	for _, name := range names {
		out[name] = cmd.Flags().String(name, "", says[name])
	}
	return out
}

// raw copies an answer as it comes.
func raw(ctx context.Context, s *asker, o *output, path string, query url.Values) error {
	return s.get(ctx, path, query, o.w)
}
