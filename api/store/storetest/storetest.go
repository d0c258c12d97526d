// Package storetest holds every store to one contract: that of api.Store, and what docs/stores.md says
// of restarts, of several servers and of a store that goes away.
package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/probe"
)

// Place is where stores keep their records: a file, a tree of keys, a namespace.
type Place struct {
	// Open opens a store there, as a server does when it starts. A store that is an io.Closer is closed
	// by the test.
	Open func(t *testing.T) api.Store
	// Kill ends the program behind the store as kill -9 does, and Revive starts it again with what it
	// had kept. Both are nil where there is no such program.
	Kill, Revive func(t *testing.T)
}

// Kind is one kind of store.
type Kind struct {
	// Fresh returns a place with nothing in it.
	Fresh func(t *testing.T) Place
	// Durable says that records come back when a store is closed and another one opened.
	Durable bool
	// Shared says that several stores may be open at one place.
	Shared bool
}

// Run runs all tests of the contract that apply.
func Run(t *testing.T, k Kind) {
	t.Run("contract", func(t *testing.T) { contract(t, k.Fresh(t)) })
	t.Run("many goroutines", func(t *testing.T) { concurrent(t, k.Fresh(t)) })
	if k.Durable {
		t.Run("restart", func(t *testing.T) { restart(t, k.Fresh(t)) })
	}
	if k.Shared {
		t.Run("two servers", func(t *testing.T) { twoServers(t, k.Fresh(t)) })
		t.Run("two servers hear one report", func(t *testing.T) { oneReport(t, k.Fresh(t)) })
	}
	if p := k.Fresh(t); p.Kill != nil {
		t.Run("killed in the middle", func(t *testing.T) { killed(t, p) })
		t.Run("away at the start", func(t *testing.T) { awayAtStart(t, k.Fresh(t)) })
		t.Run("removed while away", func(t *testing.T) { removedWhileAway(t, k.Fresh(t)) })
	}
}

// patience is how long anything may take on a machine that has other things to do.
const patience = 2 * time.Minute

// Await waits until ok says so.
func Await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// running is an open store that is closed once, by the test or after it.
type running struct {
	api.Store
	once sync.Once
}

// start opens a store, which may have read nothing yet.
func (p Place) start(t *testing.T) *running {
	t.Helper()
	r := &running{Store: p.Open(t)}
	t.Cleanup(r.shut)
	return r
}

// open opens a store and waits until it has read what is there.
func (p Place) open(t *testing.T) *running {
	t.Helper()
	r := p.start(t)
	Await(t, "a store that has read all", func() bool { return r.Behind() == nil })
	return r
}

// shut closes a store that can be closed. What it could not write, the tests look for.
func (r *running) shut() {
	r.once.Do(func() {
		if c, ok := r.Store.(io.Closer); ok {
			_ = c.Close()
		}
	})
}

// Settle waits until all is written.
func Settle(t *testing.T, s api.Store) {
	t.Helper()
	Await(t, "everything written", func() bool { return s.Stats().Unwritten == 0 && s.Stats().Age == 0 })
	if err := s.Err(); err != nil {
		t.Errorf("all is written, and yet: %v", err)
	}
}

// Report is a report of the agent's nth round.
func Report(name string, n int) *api.Record {
	made := time.Date(2026, 1, 1, 0, 0, n, 5, time.FixedZone("", 3600))
	return &api.Record{Name: name, Authenticated: n%2 == 1, Report: api.Report{PodName: name, NodeName: "node-" + name, ReportInterval: 60,
		Uptime: uint64(n), HostDate: made, LastUpdated: time.Now().UTC(), Network: "pod",
		LookupHost: map[string][]string{"netchecker-service": {"10.0.0.1", "fd00::1"}}, IPs: map[string][]string{"eth0": {"10.244.1.2/24"}},
		NetworkProbes: []probe.HTTPResult{{URL: "http://netchecker-service:8081/api/v1/ping", ConnectionResult: 1, HTTPCode: 200, Total: 7}}}}
}

// odd are records as they come from agents that send nonsense, and from old ones that leave out.
func odd() []*api.Record {
	bare := &api.Record{Name: "bare", Report: api.Report{LastUpdated: time.Now().UTC()}}
	nonsense := Report("nonsense", 3)
	nonsense.ReportInterval, nonsense.Uptime = -1, 1<<63-1
	nonsense.NetworkProbes = []probe.HTTPResult{{URL: "ü\"\\<\x00>", Total: 9223372036854, HTTPCode: -5, ConnectionResult: 1 << 40}, {}}
	nonsense.LookupHost = map[string][]string{"": nil, "a.b/c~d": {}, "ключ": {"", "x"}}
	nonsense.IPs = map[string][]string{}
	large := Report("large.with-dots-and-0123456789", 4)
	for i := range 400 {
		large.IPs[fmt.Sprintf("veth%d", i)] = []string{strings.Repeat("fe80::", 8), "10.0.0.1/24"}
	}
	return []*api.Record{bare, nonsense, large, Report("plain", 1), Report("unsigned", 2)}
}

// same compares records in what readers see of them.
func same(t *testing.T, got, want *api.Record) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is not there", want.Name)
		return
	}
	a, err := json.Marshal(got.Report)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want.Report)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) || got.Name != want.Name || got.Authenticated != want.Authenticated {
		t.Errorf("got %s %v %.2000s\nwant %s %v %.2000s", got.Name, got.Authenticated, a, want.Name, want.Authenticated, b)
	}
}

// Names are the names of all records, in their order.
func Names(t *testing.T, s api.Store) string {
	t.Helper()
	all, err := s.All(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(all))
	for i, r := range all {
		out[i] = r.Name
	}
	return strings.Join(out, " ")
}

// uptime is the Uptime of a record, by which the tests tell one report from another; 0 without one.
func uptime(t *testing.T, s api.Store, name string) uint64 {
	t.Helper()
	rec, err := s.Get(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	if rec == nil {
		return 0
	}
	return rec.Uptime
}

func put(t *testing.T, s api.Store, recs ...*api.Record) {
	t.Helper()
	for _, rec := range recs {
		if err := s.Put(context.Background(), rec); err != nil {
			t.Errorf("put %s: %v", rec.Name, err)
		}
	}
}

func remove(t *testing.T, s api.Store, names ...string) {
	t.Helper()
	if err := s.Delete(context.Background(), names...); err != nil {
		t.Errorf("delete %v: %v", names, err)
	}
}
