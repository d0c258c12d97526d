package api

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// textPaths lists the paths, the worst first. What an agent that does not report would say of its
// paths is one line.
func (m *snapshot) textPaths(w io.Writer) {
	l := &pathLines{m: m, w: w, silent: -1}
	for _, state := range [...]probe.State{probe.Failing, probe.Degraded, probe.Unknown, probe.OK} {
		filter := m.query.filter
		if filter.States != 0 && filter.States&mesh.WantState(state) == 0 {
			continue
		}
		filter.States = mesh.WantState(state)
		for ref := range m.view.Refs(filter) {
			l.path(ref)
		}
		l.silence()
	}
	switch {
	case len(m.agents) == 0:
		io.WriteString(w, "no agent is known yet\n")
	case l.n == 0:
		io.WriteString(w, m.query.none()+"\n")
	case l.more > 0:
		fmt.Fprintf(w, "… and %d more: format=csv has them all\n", l.more)
	}
}

// none says that no path was found, of those alone that were looked at: others may be failing.
func (q *query) none() string {
	few := q.filter != mesh.Filter{States: q.filter.States}
	switch {
	case few && q.filter.States == notOK:
		return "no path asked for is degraded, failing or unknown"
	case few:
		return "no path asked for is in that state"
	case q.filter.States == notOK:
		return "no path is degraded, failing or unknown"
	}
	return "no path is in the state asked for"
}

// pathLines writes the list of paths, as far as it may go.
type pathLines struct {
	m       *snapshot
	w       io.Writer
	n, more int
	// silent is the number of the agent whose unknown paths are being counted, -1 for none, dumb theirs.
	silent int
	dumb   int
	since  time.Time
}

func (l *pathLines) path(ref mesh.Ref) {
	view := l.m.view
	from, _, _ := view.Ends(ref)
	if l.silent == from {
		l.dumb++
		return
	}
	l.silence()
	if l.m.agents[from].Report != mesh.Reporting {
		p := view.Path(ref)
		l.silent, l.dumb, l.since = from, 1, p.Since
		return
	}
	if l.n == maxLines { // of 100 million paths those that are not shown are counted alone
		l.more++
		return
	}
	p := view.Path(ref)
	kind := p.Kind().String()
	if p.Family == mesh.IPv6 {
		kind += " v6"
	}
	l.line(p.State, p.Source.Node+" -> "+p.Destination.Node, kind, p.Since, pathText(&p))
}

// silence writes the line of an agent that does not report.
func (l *pathLines) silence() {
	if l.silent >= 0 {
		a := &l.m.agents[l.silent]
		l.line(probe.Unknown, a.Key.String(), fmt.Sprintf("%d paths", l.dumb), l.since, "nobody fresh reports them: the agent is "+a.Report.String())
	}
	l.silent = -1
}

func (l *pathLines) line(state probe.State, from, kind string, since time.Time, text string) {
	if l.n == maxLines {
		l.more++
		return
	}
	if l.n++; l.n == 1 {
		fmt.Fprintf(l.w, pathForm+"\n", "STATE", "FROM -> TO", "PATH", "SINCE", "PROBES")
	}
	ago := "-"
	if !since.IsZero() {
		ago = l.m.ago(since)
	}
	io.WriteString(l.w, strings.TrimRight(fmt.Sprintf(pathForm, state, from, kind, ago, text), " ")+"\n")
}

const pathForm = "%-9s %-28s %-15s %-21s %s"

// pathText says what each probe that is not ok found: its state, loss by direction, error and size.
// Probes that found the same stand together.
func pathText(p *mesh.Path) string {
	var names, texts []string
	for k := range p.Probes {
		s := &p.Probes[k]
		if s.State == probe.OK && p.State != probe.OK || s.State == probe.Unknown && s.Code == probe.CodeNone {
			continue
		}
		text := probeText(s)
		if at := slices.Index(texts, text); at >= 0 {
			names[at] += ", " + probe.Kind(k).String()
			continue
		}
		names, texts = append(names, probe.Kind(k).String()), append(texts, text)
	}
	if len(texts) == 0 {
		return "nobody fresh reports it"
	}
	for i := range texts {
		texts[i] = names[i] + " " + texts[i]
	}
	return strings.Join(texts, "; ")
}

func probeText(s *probe.Status) string {
	out := s.State.String()
	if s.State == probe.OK && s.RTT > 0 {
		return out + " " + string(appendMillis(nil, s.RTT)) + " ms"
	}
	if loss, known := s.Loss.Ratio(); known && s.Loss > 0 {
		out += fmt.Sprintf(" %.3g%% lost", loss*100)
		if ways := strings.TrimPrefix(direction(", there ", s.Forward)+direction(", back ", s.Return), ", "); ways != "" {
			out += " (" + ways + ")"
		}
	}
	if s.Code != probe.CodeNone {
		out += " " + s.Code.String()
	}
	if s.BadFlows != 0 {
		out += ", " + badFlows(s.BadFlows) + " flows dead"
	}
	if s.MaxBytes > 0 {
		out += fmt.Sprintf(", largest that passes %d bytes", s.MaxBytes)
	}
	if s.Code == probe.CodeSlow && s.RTT > 0 {
		out += ", " + string(appendMillis(nil, s.RTT)) + " ms"
	}
	return out
}

func direction(word string, l probe.Loss) string {
	if ratio, known := l.Ratio(); known {
		return fmt.Sprintf("%s%.3g%%", word, ratio*100)
	}
	return ""
}
