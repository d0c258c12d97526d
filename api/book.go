package api

import (
	"math"
	"strings"
	"sync"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// book counts reports and missed reports under the agents' old metric label. A label is NODE and
// network, not the pod: a replaced pod goes on counting where its predecessor stopped.
type book struct {
	mu      sync.Mutex
	byLabel map[string]*tally
}

type tally struct {
	reports, missed uint64
	last            time.Time
	interval        time.Duration
}

func (b *book) init() { b.byLabel = map[string]*tally{} }

// reported counts a report, and as missed the intervals since the one before. since is when counting
// began for a label not known yet: the silence while no server ran is no agent's fault.
func (b *book) reported(label string, interval time.Duration, since, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.byLabel[label]
	if t == nil {
		t = &tally{last: since, interval: interval}
		b.byLabel[label] = t
	}
	t.missed += missedIn(now.Sub(t.last), t.interval)
	t.reports, t.last, t.interval = t.reports+1, now, interval
}

// missedIn is how many reports the original server counts as missed in a silence: one for each
// whole interval after the first.
func missedIn(silence, interval time.Duration) uint64 {
	return uint64(max(int64(silence/interval)-1, 0))
}

// count returns the reports and the missed ones so far; since serves a label not known yet.
func (b *book) count(label string, interval time.Duration, since, now time.Time) (reports, missed uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.byLabel[label]
	if t == nil {
		return 0, missedIn(now.Sub(since), interval)
	}
	return t.reports, t.missed + missedIn(now.Sub(t.last), t.interval)
}

// keep drops the labels not in use: no series outlives its agent.
func (b *book) keep(used map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for label := range b.byLabel {
		if !used[label] {
			delete(b.byLabel, label)
		}
	}
}

// key is the agent's node and network: what it says itself, or what the original server guessed
// from the pod's name.
func (r *Record) key() mesh.Key {
	k := mesh.Key{Node: r.NodeName}
	if n, err := mesh.ParseNetwork(r.Network); err == nil {
		k.Network = n
	} else if strings.Contains(r.Name, "hostnet") {
		k.Network = mesh.Host
	}
	return k
}

// label is the value of the original metrics' agent label.
func (r *Record) label() string {
	return r.NodeName + [...]string{"-private_network", "-host_network"}[r.key().Network]
}

// AgentSeries is what the original metrics say of one agent.
type AgentSeries struct {
	// Label is NODE-private_network or NODE-host_network.
	Label string
	// Reports counts the agent's reports, Missed the intervals that passed without one, both since the
	// server started.
	Reports, Missed uint64
	// Probes holds one result for each URL; what cannot be is left out, as NaN.
	Probes []ProbeSeries
}

// ProbeSeries is one HTTP probe's result in figures, NaN where the agent sent nonsense. Times are in ms.
type ProbeSeries struct {
	URL                                                                         string
	ConnectionResult, HTTPCode                                                  float64
	Total, ContentTransfer, TCPConnection, DNSLookup, Connect, ServerProcessing float64
}

// maxProbeSeries bounds the URLs of one agent that become series.
const maxProbeSeries = 64

// Series returns the distinct probes of a report; of two with one URL the later counts.
func (r *Report) Series() []ProbeSeries {
	var out []ProbeSeries
	at := map[string]int{}
	for i := range r.NetworkProbes {
		p := probeSeries(&r.NetworkProbes[i])
		if j, known := at[p.URL]; known {
			out[j] = p
		} else if len(out) < maxProbeSeries {
			at[p.URL] = len(out)
			out = append(out, p)
		}
	}
	return out
}

func probeSeries(p *probe.HTTPResult) ProbeSeries {
	return ProbeSeries{URL: strings.ToValidUTF8(p.URL, "\uFFFD"),
		ConnectionResult: figure(p.ConnectionResult, 1), HTTPCode: figure(p.HTTPCode, 999),
		Total: figure(p.Total, maxMillis), ContentTransfer: figure(p.ContentTransfer, maxMillis),
		TCPConnection: figure(p.TCPConnection, maxMillis), DNSLookup: figure(p.DNSLookup, maxMillis),
		Connect: figure(p.Connect, maxMillis), ServerProcessing: figure(p.ServerProcessing, maxMillis)}
}

// maxMillis is the longest time believed: no probe outlives the longest report interval. The original
// agent sends 9223372036854 when a phase never ended.
const maxMillis = int(maxInterval / time.Millisecond)

func figure(v, most int) float64 {
	if v < 0 || v > most {
		return math.NaN()
	}
	return float64(v)
}
