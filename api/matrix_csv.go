package api

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// csvHeader names the columns: those of the path, then six of each probe.
func csvHeader() []string {
	out := []string{"source", "destination", "path", "family", "state", "since"}
	for _, k := range probe.AllKinds() {
		for _, column := range [...]string{"state", "loss", "forward_loss", "return_loss", "rtt_ms", "error"} {
			out = append(out, k.String()+"_"+column)
		}
	}
	return append(out, "mtu_max_bytes", "udp_bad_flows")
}

// writeCSV writes a line for each path, with a header. Unknown figures are empty. Every field is a
// checked name, a word of ours or a number that is not negative, so none reads as a formula.
func (m *snapshot) writeCSV(out io.Writer) error {
	w := csv.NewWriter(out)
	w.Write(csvHeader())
	fields := make([]string, 0, 40)
	for p := range m.view.Paths(m.query.filter) {
		fields = csvLine(fields[:0], &p)
		if w.Write(fields) != nil {
			return nil // a reader who went away needs no error
		}
	}
	w.Flush()
	return nil
}

func csvLine(to []string, p *mesh.Path) []string {
	to = append(to, p.Source.Node, p.Destination.Node, p.Kind().String(), p.Family.String(), p.State.String(), CSVTime(p.Since))
	for k := range p.Probes {
		s := &p.Probes[k]
		rtt := ""
		if s.RTT > 0 {
			rtt = string(appendMillis(nil, s.RTT))
		}
		to = append(to, s.State.String(), csvLoss(s.Loss), csvLoss(s.Forward), csvLoss(s.Return), rtt, s.Code.String())
	}
	most, flows := "", ""
	if n := p.Probes[probe.MTU].MaxBytes; n > 0 {
		most = strconv.Itoa(int(n))
	}
	if set := p.Probes[probe.UDP].BadFlows; set != 0 {
		flows = badFlows(set)
	}
	return append(to, most, flows)
}

// CSVTime is a time in csv, of the server and of netcheck: RFC 3339 in UTC with milliseconds, empty for none.
func CSVTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeForm)
}

func csvLoss(l probe.Loss) string {
	if l > 200 {
		return ""
	}
	return lossTexts[l]
}
