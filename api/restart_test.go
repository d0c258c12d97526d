package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
)

func due(names ...string) (out []api.ExpectedPod) {
	for _, n := range names {
		out = append(out, api.ExpectedPod{Name: n, Due: true})
	}
	return out
}

func TestARestartedServerCannotKnowForOneInterval(t *testing.T) {
	f := serve(t, func(c *api.Config) { c.Expected = &pods{list: due("a", "b", "c", "d", "e", "f", "g")} })
	status, body, header := f.do(http.MethodGet, "/api/v1/connectivity_check", nil)
	wantError(t, status, body, 500, "Error occurred while checking the agents. Details: the server started 0 s ago and cannot know yet: "+
		"7 of 7 agents have not reported since (a, b, c, d, e, …); ask again in 70 s")
	if header.Get("Retry-After") != "70" {
		t.Errorf("Retry-After %q", header.Get("Retry-After"))
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		f.post("/api/v1/agents/"+name, oldReport(name, "n-"+name, 20)) // what they say of their interval holds for the seventh
	}
	f.pass(25 * time.Second)
	status, body = f.get("/api/v1/connectivity_check")
	wantError(t, status, body, 500, "1 of 7 agents have not reported since (g); ask again in 1 s")
	f.pass(time.Second)
	status, body = f.get("/api/v1/connectivity_check")
	mustContain(t, body, `"Absent":["g"],"Outdated":[]`)
	if status != 400 {
		t.Errorf("status %d: an agent that never reports is absent in the end", status)
	}
}

func TestAfterARestartAllAreOKAsSoonAsAllReported(t *testing.T) {
	f := serve(t, func(c *api.Config) { c.Expected = &pods{list: due("a", "b")} })
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	f.post("/api/v1/agents/b", oldReport("b", "n2", 60))
	if status, body := f.get("/api/v1/connectivity_check"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

func TestRecordsFromBeforeARestartAreNotOutdatedForOneInterval(t *testing.T) {
	kept := store.NewMemory()
	for i, name := range []string{"fresh", "old", "slow"} {
		kept.Put(t.Context(), &api.Record{Name: name, Report: api.Report{PodName: name, NodeName: name, ReportInterval: int64(60 * (1 + 9*(i/2))),
			LastUpdated: epoch.Add(-time.Hour * time.Duration(i))}})
	}
	f := serve(t, func(c *api.Config) { c.Store = kept; c.Expected = &pods{list: due("fresh", "old", "slow")} })
	f.pass(time.Minute)
	status, body := f.get("/api/v1/connectivity_check")
	wantError(t, status, body, 500, "2 of 3 agents have not reported since (old, slow)")
	f.pass(11 * time.Second)
	status, body = f.get("/api/v1/connectivity_check")
	mustContain(t, body, `"Absent":[],"Outdated":["old"]`) // what is known is said, the slow one is not known yet
	if status != 400 {
		t.Errorf("status %d", status)
	}
	f.post("/api/v1/agents/old", oldReport("old", "old", 60))
	status, body = f.get("/api/v1/connectivity_check")
	wantError(t, status, body, 500, "1 of 3 agents have not reported since (slow)")
}

// aside is a store that does not see all there is.
type aside struct {
	*store.Memory
	behind error
}

func (a *aside) Behind() error { return a.behind }
func (a *aside) Err() error    { return a.behind }

func TestAStoreThatCannotBeReadIsNoLackOfReports(t *testing.T) {
	kept := &aside{store.NewMemory(), errors.New("etcd: connection refused")}
	f := serve(t, func(c *api.Config) { c.Store = kept; c.Expected = &pods{list: due("a", "b")} })
	for _, path := range []string{"/api/v1/agents/", "/api/v1/agents/a", "/api/v1/connectivity_check"} {
		status, body, header := f.do(http.MethodGet, path, nil)
		wantError(t, status, body, 500, "etcd: connection refused")
		if header.Get(api.StoreErrorHeader) == "" {
			t.Errorf("%s: no header says that the store fails", path)
		}
	}
	if status, body := f.post("/api/v1/agents/a", oldReport("a", "n1", 60)); status != 200 {
		t.Errorf("intake: %d %s", status, body)
	}
	f.pass(time.Hour)
	f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	if status, _ := f.get("/api/v1/agents/a"); status != 200 {
		t.Errorf("what memory has is shown: %d", status)
	}
	status, body := f.get("/api/v1/agents/")
	wantError(t, status, body, 500, "nobody can know whether b reported")
	status, body = f.get("/api/v1/connectivity_check")
	wantError(t, status, body, 500, "1 of 2 agents may have reported to another server or to the one before this (b)")

	f.post("/api/v1/agents/b", oldReport("b", "n2", 60)) // now nothing is missing
	for _, path := range []string{"/api/v1/agents/", "/api/v1/connectivity_check"} {
		if status, body := f.get(path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	status, body = f.get("/readyz")
	wantError(t, status, body, 503, "connection refused")

	kept.behind = nil
	f.pass(time.Hour)
	status, body = f.get("/api/v1/connectivity_check")
	mustContain(t, body, `"Outdated":["a","b"]`)
	if status != 400 {
		t.Errorf("status %d", status)
	}
}

// Without Kubernetes the agents are those that reported: while the store cannot be read, the first of
// them to come is not all of them.
func TestTheFirstReportsAreNotAllWhileTheStoreCannotBeRead(t *testing.T) {
	f := serve(t, func(c *api.Config) { c.Store = &aside{store.NewMemory(), errors.New("etcd: connection refused")} })
	for range 2 {
		for _, path := range []string{"/api/v1/agents/", "/api/v1/connectivity_check"} {
			status, body := f.get(path)
			wantError(t, status, body, 500, "nobody can know yet which agents reported: etcd: connection refused")
		}
		f.post("/api/v1/agents/a", oldReport("a", "n1", 60))
	}
	f.pass(71 * time.Second)
	for _, path := range []string{"/api/v1/agents/", "/api/v1/connectivity_check"} {
		if status, body := f.get(path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestReadyzSaysHowFarTheStoreIsBehind(t *testing.T) {
	f := serve(t, func(c *api.Config) { c.Store = late{store.NewMemory()} })
	want := "ok\nstore kubernetes: 7 reports not written yet, the oldest 12.3 s old, at most 500.0 s while the store works\n"
	if status, body := f.get("/readyz"); status != 200 || body != want {
		t.Errorf("%d %q", status, body)
	}
	f = serve(t, nil)
	if status, body := f.get("/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("memory: %d %q", status, body)
	}
}

type late struct{ *store.Memory }

func (late) Stats() api.StoreStats {
	return api.StoreStats{Kind: "kubernetes", Unwritten: 7, Age: 12340 * time.Millisecond, Bound: 500 * time.Second}
}

func TestManyNamesAreShortened(t *testing.T) {
	var names []string
	for i := range 10_000 {
		names = append(names, fmt.Sprintf("netchecker-agent-%04d", i))
	}
	f := serve(t, func(c *api.Config) { c.Expected = &pods{list: due(names...)} })
	if _, body := f.get("/api/v1/connectivity_check"); len(body) > 500 || !strings.Contains(body, "10000 of 10000") {
		t.Errorf("%d bytes: %.600s", len(body), body)
	}
}
