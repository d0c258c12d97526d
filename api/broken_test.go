package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
)

// brokenStore fails as told.
type brokenStore struct {
	*store.Memory
	put, read, durable error
}

func (b *brokenStore) Put(ctx context.Context, r *api.Record) error {
	if b.put != nil {
		return b.put
	}
	return b.Memory.Put(ctx, r)
}

func (b *brokenStore) Get(ctx context.Context, name string) (*api.Record, error) {
	if b.read != nil {
		return nil, b.read
	}
	return b.Memory.Get(ctx, name)
}

func (b *brokenStore) All(ctx context.Context) ([]*api.Record, error) {
	if b.read != nil {
		return nil, b.read
	}
	return b.Memory.All(ctx)
}

func (b *brokenStore) Err() error { return b.durable }

func TestAFailingStoreIsSaidInEveryAnswerItTouches(t *testing.T) {
	b := &brokenStore{Memory: store.NewMemory()}
	f := serve(t, func(c *api.Config) { c.Store = b })
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))

	b.durable = errors.New("write reports.db:\nno space left on device")
	for _, path := range []string{"/api/v1/agents/", "/api/v1/agents/a", "/api/v1/connectivity_check"} {
		status, _, header := f.do(http.MethodGet, path, nil)
		if got := header.Get(api.StoreErrorHeader); status != 200 || got != "write reports.db:?no space left on device" {
			t.Errorf("%s: %d, %q: memory goes on and says so", path, status, got)
		}
	}
	status, body := f.get("/readyz")
	wantError(t, status, body, 503, "no space left")
	if status, _ := f.get("/healthz"); status != 200 {
		t.Errorf("healthz: %d: a restart would not help", status)
	}

	b.read = errors.New("etcdserver: request timed out")
	for _, path := range []string{"/api/v1/agents/", "/api/v1/agents/a", "/api/v1/connectivity_check", "/api/v1/connectivity_check?matrix=true"} {
		status, body := f.get(path)
		wantError(t, status, body, 500, "etcdserver: request timed out")
	}
	status, body = f.post("/api/v1/agents/a", "{}")
	wantError(t, status, body, 500, "request timed out")
	if err := f.server.Sweep(t.Context()); err == nil {
		t.Error("a sweep of an unreadable store says nothing")
	}
	if _, err := f.server.AgentSeries(t.Context()); err == nil || errors.Is(err, api.ErrPodsUnknown) {
		t.Errorf("series of an unreadable store: %v", err)
	}

	b.read, b.put = nil, errors.New("quota exceeded")
	status, body = f.post("/api/v1/agents/a", "{}")
	wantError(t, status, body, 500, "quota exceeded")
	if in := f.server.Reports(); in.Refused[api.Unstored] != 2 {
		t.Errorf("counted %+v", in)
	}
}

func TestMissedReportsCountAsTheOriginalDid(t *testing.T) {
	f := serve(t, nil)
	counts := func() (uint64, uint64) {
		s, err := f.server.AgentSeries(t.Context())
		if err != nil || len(s) != 1 {
			t.Fatalf("%v %+v", err, s)
		}
		return s[0].Reports, s[0].Missed
	}
	f.post("/api/v1/agents/netchecker-agent-1", oldReport("netchecker-agent-1", "n1", 10))
	for _, step := range []struct {
		seconds         int
		pod             string
		reports, missed uint64
	}{
		{19, "", 1, 0}, {1, "", 1, 1}, {9, "", 1, 1}, {1, "", 1, 2},
		{0, "netchecker-agent-1", 2, 2}, {10, "netchecker-agent-1", 3, 2}, {40, "", 3, 5},
		{0, "netchecker-agent-replaced", 4, 5}, {10, "", 4, 5},
	} {
		f.pass(secondsOf(step.seconds))
		if step.pod != "" {
			f.post("/api/v1/agents/"+step.pod, oldReport(step.pod, "n1", 10))
		}
		if reports, missed := counts(); reports != step.reports || missed != step.missed {
			t.Errorf("%+v: %d reports, %d missed", step, reports, missed)
		}
	}
}

func TestNoSeriesOutlivesItsAgent(t *testing.T) {
	f := serve(t, nil)
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	f.pass(2 * 3600 * 1e9)
	if s, err := f.server.AgentSeries(t.Context()); err != nil || len(s) != 0 {
		t.Errorf("%v %+v", err, s)
	}
	if err := f.server.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	if s, _ := f.server.AgentSeries(t.Context()); len(s) != 1 || s[0].Reports != 1 {
		t.Errorf("a counter survived its agent: %+v", s)
	}
}

// TestWhyTheServerIsNotReadyIsLogged once: the kubelet's Event tells the status alone.
func TestWhyTheServerIsNotReadyIsLogged(t *testing.T) {
	b := &brokenStore{Memory: store.NewMemory()}
	f := serve(t, func(c *api.Config) { c.Store = b })
	ask := func(err error, status int) {
		t.Helper()
		b.durable = err
		for range 3 {
			if got, body := f.get("/readyz"); got != status {
				t.Errorf("%d %s, want %d", got, body, status)
			}
		}
	}
	ask(nil, 200)
	ask(errors.New("etcdserver: request timed out"), 503)
	ask(errors.New("report of a: forbidden"), 503)
	f.pass(time.Minute)
	ask(errors.New("no space left on device"), 503)
	ask(nil, 200)
	log := f.log.String()
	mustContain(t, log, `msg="not ready" error="store: etcdserver: request timed out"`, `msg="not ready" error="store: no space left on device"`,
		`msg="ready again" was_not_for="store: no space left on device"`)
	if strings.Count(log, "ready") != 3 {
		t.Errorf("said %s", log)
	}
}
