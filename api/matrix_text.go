package api

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

const (
	// maxGrid is the most nodes whose grid still fits a terminal.
	maxGrid = 30
	// maxLines bounds the list of paths: nobody reads on, and csv has them all.
	maxLines = 500
)

// writeText writes what a person needs first: the verdict, the counts, the grid of a small cluster,
// who does not report, and the paths that are not ok with what is known of them.
func (m *snapshot) writeText(out io.Writer) error {
	w := bufio.NewWriterSize(out, chunk)
	m.textSummary(w)
	for i := range m.findings {
		fmt.Fprintf(w, "%s\n", printable(m.findings[i].Headline()))
	}
	if len(m.findings) > 0 {
		w.WriteByte('\n')
	}
	m.textCounts(w)
	if nodes := m.nodeNames(); len(nodes) > 0 && len(nodes) <= maxGrid && m.query.filter.Source == "" && m.query.filter.Destination == "" {
		m.textGrid(w, nodes)
	}
	m.textAgents(w)
	m.textPaths(w)
	w.Flush() // a reader who went away needs no error
	return nil
}

func (m *snapshot) nodeNames() (out []string) {
	for i := range m.agents {
		if len(out) == 0 || out[len(out)-1] != m.agents[i].Node {
			out = append(out, m.agents[i].Node)
		}
	}
	return out
}

func (m *snapshot) textSummary(w io.Writer) {
	var byReport [4]int
	for i := range m.agents {
		byReport[m.agents[i].Report&3]++
	}
	var parts strings.Builder
	for _, r := range [...]mesh.ReportState{mesh.Reporting, mesh.ReportStale, mesh.ReportAbsent, mesh.ReportLeft} {
		if byReport[r] > 0 || r == mesh.Reporting {
			fmt.Fprintf(&parts, ", %d %s", byReport[r], r)
		}
	}
	fmt.Fprintf(w, "%s  %s  %d nodes, %d agents%s\n\n", strings.ToUpper(m.view.State().String()),
		m.view.Generated.UTC().Format(time.RFC3339), len(m.nodeNames()), len(m.agents), parts.String())
}

func (m *snapshot) textCounts(w io.Writer) {
	fmt.Fprintf(w, "%-14s %9s %9s %9s %9s %9s\n", "PATHS", "total", "ok", "degraded", "failing", "unknown")
	for k, c := range m.view.Counts() {
		fmt.Fprintf(w, "%-14s %9d %9d %9d %9d %9d\n", mesh.PathKind(k), c.Total,
			c.ByState[probe.OK], c.ByState[probe.Degraded], c.ByState[probe.Failing], c.ByState[probe.Unknown])
	}
	io.WriteString(w, "\n")
}

// gridMarks are the states in a grid.
var gridMarks = [probe.States]byte{probe.Unknown: '?', probe.OK: '.', probe.Degraded: '~', probe.Failing: 'X'}

// textGrid writes a cell for each ordered pair of nodes, with a mark for each kind of path; of two
// families the worse.
func (m *snapshot) textGrid(w io.Writer, nodes []string) {
	at := make(map[string]int, len(nodes))
	const corner = "FROM \\ TO"
	width := len(corner) - 3 // a number stands before each name
	for i, name := range nodes {
		at[name] = i
		width = max(width, len(name))
	}
	n := len(nodes)
	states := make([]probe.State, n*n*mesh.PathKinds)
	seen := make([]bool, len(states))
	for p := range m.view.Paths(mesh.Filter{}) {
		cell := (at[p.Source.Node]*n+at[p.Destination.Node])*mesh.PathKinds + int(p.Kind())
		if seen[cell] {
			states[cell] = probe.Worst(states[cell], p.State)
		} else {
			states[cell], seen[cell] = p.State, true
		}
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%-*s  ", width+3, corner)
	for i := range nodes {
		fmt.Fprintf(&head, " %-4d", i+1)
	}
	io.WriteString(w, strings.TrimRight(head.String(), " ")+"\n")
	for i, name := range nodes {
		line := fmt.Appendf(nil, "%2d %-*s  ", i+1, width, name)
		for j := range nodes {
			line = append(line, ' ')
			for k := range mesh.PathKinds {
				mark := byte(' ')
				if cell := (i*n+j)*mesh.PathKinds + k; seen[cell] {
					mark = gridMarks[states[cell]]
				}
				line = append(line, mark)
			}
		}
		w.Write(append([]byte(strings.TrimRight(string(line), " ")), '\n'))
	}
	io.WriteString(w, "each cell: pod-to-pod, host-to-pod, pod-to-host, host-to-host; . ok  ~ degraded  X failing  ? unknown\n\n")
}

// textAgents writes which agents do not report, doubt themselves, came through a peer only, share
// their name, or see a service that is not ok.
func (m *snapshot) textAgents(w io.Writer) {
	wrote := false
	note := func(of, text string) {
		if !wrote {
			io.WriteString(w, "AGENTS\n")
			wrote = true
		}
		fmt.Fprintf(w, "%-24s %s\n", of, text)
	}
	say := func(a *mesh.AgentView, format string, args ...any) {
		note(a.Key.String(), fmt.Sprintf(format, args...))
	}
	for i := range m.agents {
		a := &m.agents[i]
		if i == 0 || m.agents[i-1].Node != a.Node {
			if text := nodeText(m.nodes[a.Node]); text != "" {
				note(a.Node, text)
			}
		}
		if m.leaving[a.Name] {
			say(a, "terminating")
		}
		if a.Report != mesh.Reporting {
			last := "never reported"
			if !a.LastReport.IsZero() {
				last = "last report " + m.ago(a.LastReport)
			}
			who := a.Name
			if address := addressOf(a); address != "" {
				who += " at " + address
			}
			say(a, "%s, %s (%s)", a.Report, last, who)
		}
		if a.Doubt != 0 {
			say(a, "doubts its own measurements: %s", a.Doubt)
		}
		if a.Via != "" && a.Report == mesh.Reporting {
			say(a, "reports arrive only through %s", a.Via)
		}
		if c, ok := m.conflicts[a.Name]; ok {
			say(a, "address conflict: %v and %v report under the name %s", c.First, c.Second, a.Name)
		}
		for j := range a.Services {
			if s := &a.Services[j]; s.State >= probe.Degraded {
				say(a, "service %s (%s %s) %s%s", printable(s.Name), printable(s.Kind), printable(s.Address), s.State, serviceText(s))
			}
		}
	}
	if wrote {
		io.WriteString(w, "\n")
	}
}

// nodeText says what Kubernetes remarks of a node, "" for nothing.
func nodeText(facts diagnose.NodeFacts) string {
	var text []string
	if facts.Cordoned {
		text = append(text, "cordoned: takes no new pods")
	}
	if facts.NotReady {
		text = append(text, "not ready, says Kubernetes")
	}
	return strings.Join(text, "; ")
}

func serviceText(s *probe.Service) (out string) {
	if s.Code != probe.CodeNone {
		out += " " + s.Code.String()
	}
	if s.Detail != "" {
		out += ": " + printable(s.Detail)
	}
	return out
}

// printable keeps what an agent sent from steering the reader's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// ago writes a moment as its time of day and how long ago it was.
func (m *snapshot) ago(t time.Time) string {
	age := m.view.Generated.Sub(t)
	form := "15:04:05"
	if age > 12*time.Hour {
		form = time.RFC3339
	}
	return fmt.Sprintf("%s (%v ago)", t.UTC().Format(form), max(age, 0).Round(time.Second))
}
