package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// world is the agents that are made up and what is broken between them.
type world struct {
	zones int
	long  bool
	every time.Duration // between two rows of an agent; 0 as real ones

	agents []mesh.Agent
	zoneOf map[string]string // by node
	table  *mesh.Table
	same   [mesh.Networks]*mesh.Row // what most agents of a network say, in a big mesh; nil until somebody says it
	codec  *mesh.Codec
	boot   time.Time

	mu       sync.Mutex // guards what follows
	faults   []fault
	noise    int // percent
	quiet    bool
	changed  chan struct{} // closed by the next change
	sequence uint64
}

func (w *world) build(nodes int) error {
	w.codec, w.changed, w.boot, w.zoneOf = mesh.NewCodec(), make(chan struct{}), time.Now(), map[string]string{}
	registry := mesh.NewRegistry(24*time.Hour, 2*time.Minute)
	for n := 1; n <= nodes; n++ {
		for network := range mesh.Network(mesh.Networks) {
			a := w.agent(n, network)
			w.agents = append(w.agents, a)
			w.zoneOf[a.Node] = a.Zone
			registry.Alive(a, w.boot)
		}
	}
	var err error
	w.table, err = mesh.TableOf(registry.Roster())
	return err
}

func (w *world) agent(n int, network mesh.Network) mesh.Agent {
	name := fmt.Sprintf("node%d", n)
	if w.long {
		name += "." + strings.Repeat("x", mesh.MaxName-len(name)-1)
	}
	a := mesh.Agent{Name: fmt.Sprintf("agent-%s-%d", network, n), Key: mesh.Key{Node: name, Network: network},
		IPv4: netip.AddrFrom4([4]byte{10, 244 + byte(network), byte(n >> 8), byte(n)}), ProbePort: 8095, GossipPort: 8096, MTU: 1450,
		Boot: uint64(w.boot.UnixNano())}
	if w.zones > 0 {
		a.Zone = fmt.Sprintf("zone-%c", 'a'+(n-1)%w.zones)
	}
	return a
}

// interval is how often an agent reports when nothing changes, as real ones do unless a flag says otherwise.
func (w *world) interval() time.Duration {
	if w.every > 0 {
		return w.every
	}
	return min(max(time.Second, time.Duration(len(w.agents)/2)*time.Second/20), 15*time.Second)
}

// report posts the rows of all agents, round after round, until ctx ends. While the server is away
// it goes on trying, as agents do.
func (w *world) report(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		begun := time.Now()
		for i := range w.agents {
			if ctx.Err() != nil {
				return nil
			}
			w.post(ctx, client, url, i)
			select { // what changed is told at once, in a new round
			case <-changed:
			default:
				w.pace(ctx, changed, begun, i)
			}
		}
		if len(w.agents) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
		}
	}
}

// pace spreads the rows of a round over the interval; the first round and one after a change hurry.
func (w *world) pace(ctx context.Context, changed chan struct{}, begun time.Time, i int) {
	if time.Since(w.boot) < w.interval() {
		return
	}
	due := begun.Add(w.interval() * time.Duration(i+1) / time.Duration(len(w.agents)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

// post sends one agent's row. An error needs no words: the server is away.
func (w *world) post(ctx context.Context, client *http.Client, url string, i int) {
	row := w.row(i)
	if row == nil {
		return
	}
	for _, withTable := range []bool{false, true} {
		body := w.codec.Encode(nil, row, withTable)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/agents/"+row.Source.Name+"/row?roster=1", bytes.NewReader(body))
		if err != nil {
			return
		}
		resp, err := client.Do(r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusConflict {
			return
		}
	}
}

// row is what agent i says now, nil when it is dead.
func (w *world) row(i int) *mesh.Row {
	w.mu.Lock()
	defer w.mu.Unlock()
	self := w.agents[i]
	if w.quiet || w.dead(self.Node) {
		return nil
	}
	w.sequence++
	if w.likeMost(self) {
		if w.same[self.Network] == nil {
			w.same[self.Network] = w.measure(self)
		}
		row := *w.same[self.Network]
		row.Source, row.Sequence = self, w.sequence
		row.Seal()
		return &row
	}
	return w.measure(self)
}

// likeMost reports whether an agent may say what all others of its network say: in a big mesh, as long as
// nothing that is broken concerns it in particular. Making up 100 million cells a round takes minutes.
func (w *world) likeMost(self mesh.Agent) bool {
	return len(w.agents) > 4000 && w.noise == 0 && !slices.ContainsFunc(w.faults, func(f fault) bool {
		return f.kind == "zone" || f.a == self.Node || f.b == self.Node
	})
}

// measure is the row of an agent, with every cell made up. The path to itself is none to the server,
// whatever a row says of it.
func (w *world) measure(self mesh.Agent) *mesh.Row {
	row := mesh.NewRow(self, w.table)
	row.Sequence, row.Interval = w.sequence, w.interval()
	for _, f := range w.faults {
		if f.kind == "doubt" && f.a == self.Node {
			row.Doubt = probe.DoubtLag
		}
	}
	for c := range w.table.Len() {
		to := w.table.Dest(c).Key
		status := w.status(self.Key, to)
		row.Set(c, &status)
		heard := w.heard(to, self.Key)
		row.SetHeard(c, &heard)
	}
	row.Seal()
	return row
}

func (w *world) command(words []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch words[0] {
	case "heal":
		w.faults, w.noise, w.quiet = nil, 0, false
	case "silence":
		w.quiet = true
	case "noise":
		if len(words) != 2 {
			return fmt.Errorf("want noise PERCENT")
		}
		var err error
		if w.noise, err = strconv.Atoi(words[1]); err != nil {
			return err
		}
	case "fault":
		f, err := w.parse(words[1:])
		if err != nil {
			return err
		}
		w.faults = append(w.faults, f)
	default:
		return fmt.Errorf("no such command %q", words[0])
	}
	clear(w.same[:])
	close(w.changed)
	w.changed = make(chan struct{})
	return nil
}

// chance is a number of a pair of agents that stays the same: FNV-1a without the garbage, since 5,000
// nodes ask for it a hundred million times a round.
func chance(a, b mesh.Key) uint32 {
	h := uint32(2166136261)
	for _, key := range [...]mesh.Key{a, b} {
		for i := range len(key.Node) {
			h = (h ^ uint32(key.Node[i])) * 16777619
		}
		h = (h ^ uint32('/'+key.Network)) * 16777619
	}
	return h
}
