package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// maxMessages bounds the messages that a frame keeps: who names odd versions must not fill the memory.
const maxMessages = 16

// frame is the matrix at one moment as the page draws it: of every pair of nodes the states of its
// four path kinds and nothing else. It remembers in which version each part last changed, so that
// who has one version can be told what is new.
type frame struct {
	version uint64
	// base is the first version whose rows and columns stand for the same nodes as this one's.
	base uint64
	at   time.Time
	// now is what every message says: the moment, the state and the counts.
	now                 []byte
	names               []string
	nodes, findings     []byte
	nodesAt, findingsAt uint64
	rows                [][]byte
	rowAt               []uint64

	mu       sync.Mutex // guards the two below
	messages map[uint64][]byte
	zips     map[uint64][]byte
}

// drawFrame makes the frame that follows prev, which is nil for the first.
func drawFrame(v *mesh.View, findings []diagnose.Finding, prev *frame) *frame {
	d := newDrawing(v)
	f := &frame{at: v.Generated, names: d.names, messages: map[uint64][]byte{}, zips: map[uint64][]byte{}}
	f.nodes, f.rows, f.findings = d.nodesJSON(), d.rowsJSON(), findingsJSON(findings)
	f.now = nowJSON(v)
	if prev == nil {
		prev = &frame{version: firstVersion()}
	}
	f.version, f.base = prev.version, prev.base
	next := prev.version + 1
	changed := func() uint64 { f.version = next; return next }
	f.nodesAt, f.findingsAt = prev.nodesAt, prev.findingsAt
	if !bytes.Equal(f.nodes, prev.nodes) {
		f.nodesAt = changed()
	}
	if !bytes.Equal(f.findings, prev.findings) {
		f.findingsAt = changed()
	}
	f.rowAt = make([]uint64, len(f.rows))
	if !slices.Equal(f.names, prev.names) || prev.rows == nil {
		f.base = changed()
		return f
	}
	for i, row := range f.rows {
		if f.rowAt[i] = prev.rowAt[i]; !bytes.Equal(row, prev.rows[i]) {
			f.rowAt[i] = changed()
		}
	}
	return f
}

// message returns what is new for somebody who has a version, everything when it is none to build on.
func (f *frame) message(have uint64) []byte {
	if have < f.base || have > f.version {
		have = 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.messages[have]; m != nil {
		return m
	}
	b := append([]byte(`{"version":`), strconv.FormatUint(f.version, 10)...)
	b = append(b, `,"since":`...)
	if have == 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendUint(b, have, 10)
	}
	b = append(append(b, ','), f.now...)
	if f.nodesAt > have {
		b = append(append(b, `,"nodes":`...), f.nodes...)
	}
	if f.findingsAt > have {
		b = append(append(b, `,"findings":`...), f.findings...)
	}
	b = append(b, `,"rows":{`...)
	first := true
	for i, row := range f.rows {
		if f.rowAt[i] <= have && have != 0 || have == 0 && len(row) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = strconv.AppendInt(append(b, '"'), int64(i), 10)
		b = append(append(append(b, `":[`...), row...), ']')
	}
	b = append(b, "}}\n"...)
	if len(f.messages) < maxMessages {
		f.messages[have] = b
	}
	return b
}

// zipped is message, compressed.
func (f *frame) zipped(have uint64) ([]byte, error) {
	body := f.message(have)
	f.mu.Lock()
	defer f.mu.Unlock()
	if z := f.zips[have]; z != nil {
		return z, nil
	}
	z, err := zip(body)
	if err == nil && len(f.zips) < maxMessages {
		f.zips[have] = z
	}
	return z, err
}

// nowJSON is the part of a message that says how things stand and how fresh that is.
func nowJSON(v *mesh.View) []byte {
	j := &jsonBuf{}
	j.raw(`"generated_at":`)
	j.time(v.Generated)
	j.raw(`,"state":"` + v.State().String() + `","agents":{"expected":`)
	expected, reporting, oldest := 0, 0, time.Time{}
	for i := range v.Len() {
		state, at := v.Reported(i)
		if state != mesh.ReportLeft {
			expected++
		}
		if state == mesh.Reporting {
			reporting++
			if oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	j.int(expected)
	j.raw(`,"reporting":`)
	j.int(reporting)
	j.raw(`,"oldest_report":`)
	j.time(oldest)
	j.raw(`},"paths":{`)
	j.counts(v)
	j.raw("}")
	return j.b
}

// counts writes how many paths of each kind are in each state.
func (j *jsonBuf) counts(v *mesh.View) {
	for k, counts := range v.Counts() {
		if k > 0 {
			j.raw(",")
		}
		j.text(mesh.PathKind(k).String())
		j.raw(`:{"total":`)
		j.int(counts.Total)
		for _, s := range [...]probe.State{probe.OK, probe.Degraded, probe.Failing, probe.Unknown} {
			j.raw(`,"` + s.String() + `":`)
			j.int(counts.ByState[s])
		}
		j.raw("}")
	}
}

func findingsJSON(list []diagnose.Finding) []byte {
	if len(list) == 0 {
		return []byte("[]")
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err) // the matrix's own answer would say so; a finding is plain data
	}
	return body
}
