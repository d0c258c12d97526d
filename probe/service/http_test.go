package service

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netchecker/probe"
)

func TestTheHTTPProbeTellsItsPhasesApart(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(60 * time.Millisecond)
		_, _ = w.Write([]byte("first"))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(60 * time.Millisecond)
		_, _ = w.Write([]byte("second"))
	}))
	defer server.Close()
	got := HTTP(t.Context(), server.URL, 5*time.Second, nil)
	if got.URL != server.URL || got.ConnectionResult != 1 || got.HTTPCode != 200 {
		t.Errorf("%+v", got)
	}
	// The first byte may be read late, and what is left of the pause is then shorter.
	if got.ServerProcessing < 60 || got.ContentTransfer < 30 || got.Total < got.ServerProcessing+got.ContentTransfer {
		t.Errorf("phases %+v", got)
	}
	if got.DNSLookup != 0 || got.Connect != got.TCPConnection {
		t.Errorf("an address was looked up: %+v", got)
	}
}

func TestEveryHTTPProbeConnectsAnew(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for range 3 {
		HTTP(t.Context(), server.URL, 5*time.Second, nil)
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections for 3 probes", n)
	}
}

func TestTheURLMayLackItsScheme(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }))
	defer server.Close()
	plain := strings.TrimPrefix(server.URL, "http://") + "/path"
	got := HTTP(t.Context(), plain, 5*time.Second, nil)
	if got.URL != plain || got.HTTPCode != 404 || got.ConnectionResult != 1 {
		t.Errorf("%+v", got)
	}
}

func TestTheHTTPProbeFollowsRedirectsAsTheOriginalDid(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/old", http.RedirectHandler("/new", http.StatusFound))
	mux.HandleFunc("/new", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	defer server.Close()
	if got := HTTP(t.Context(), server.URL+"/old", 5*time.Second, nil); got.HTTPCode != 200 || got.ConnectionResult != 1 {
		t.Errorf("%+v", got)
	}
	if got := Probe(t.Context(), Target{Kind: probe.ServiceHTTP, Address: server.URL + "/old"}); got.State != probe.OK {
		t.Errorf("a watched service: %+v", got)
	}
}

func TestAFailedHTTPProbeHasNoResult(t *testing.T) {
	for _, url := range []string{"http://" + closedPort(t).String() + "/", "http://[bad", "gopher://127.0.0.1/"} {
		got := HTTP(t.Context(), url, time.Second, nil)
		if got.URL != url || got.ConnectionResult != 0 || got.HTTPCode != 0 || got.Total < 0 || got.Total > 1000 {
			t.Errorf("%+v", got)
		}
	}
}

func TestABodyThatDoesNotComeIsNoConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("first"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	got := HTTP(t.Context(), server.URL, 150*time.Millisecond, nil)
	if got.ConnectionResult != 0 || got.HTTPCode != 200 || got.Total < 100 {
		t.Errorf("%+v", got)
	}
}

func TestALongBodyIsNotReadToItsEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	if got := HTTP(t.Context(), server.URL, 10*time.Second, nil); got.ConnectionResult != 1 || got.Total > 5000 {
		t.Errorf("%+v", got)
	}
}

func TestAllURLsAreProbedInTheirOrder(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	urls := []string{server.URL + "/a", "http://" + closedPort(t).String() + "/b", server.URL + "/c"}
	for i, got := range HTTPAll(t.Context(), urls, 5*time.Second, nil) {
		if want := []int{1, 0, 1}[i]; got.URL != urls[i] || got.ConnectionResult != want {
			t.Errorf("%+v, want %s with %d", got, urls[i], want)
		}
	}
}

func TestAWatchedHTTPServiceIsJudgedByItsStatus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer server.Close()
	got := Probe(t.Context(), Target{Kind: probe.ServiceHTTP, Address: server.URL})
	if got.State != probe.Failing || got.Code != probe.CodeBadAnswer || got.Detail != "status 503" {
		t.Errorf("%+v", got)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	got = Probe(t.Context(), Target{Kind: probe.ServiceHTTP, Address: secure.URL})
	if got.State != probe.Failing || got.Code != probe.CodeOther || !strings.Contains(got.Detail, "certificate") || len(got.Detail) > maxDetail {
		t.Errorf("an unknown certificate: %+v", got)
	}
}

func TestAHungHTTPServiceConnectsAndIsSilent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	got := Probe(ctx, Target{Kind: probe.ServiceHTTP, Address: server.URL})
	if got.State != probe.Failing || got.Code != probe.CodeHung {
		t.Errorf("%+v, want hung", got)
	}
}

func TestTCPConnects(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if got := Probe(t.Context(), Target{Kind: probe.ServiceTCP, Address: listener.Addr().String()}); got.State != probe.OK || got.RTT <= 0 {
		t.Errorf("%+v", got)
	}
	if got := TCP(t.Context(), closedPort(t).String()); got.State != probe.Failing || got.Code != probe.CodeRefused {
		t.Errorf("%+v, want refused", got)
	}
	if got := TCP(t.Context(), "no.such.name.invalid:1"); got.State != probe.Failing || !strings.HasPrefix(got.Detail, "lookup of no.such.name.invalid") {
		t.Errorf("%+v, want the lookup named", got)
	}
}

func TestLookupNamesEveryName(t *testing.T) {
	got := Lookup(t.Context(), []string{"127.0.0.1", "localhost", "no.such.name.invalid"})
	if len(got) != 3 || len(got["127.0.0.1"]) != 1 || len(got["localhost"]) == 0 {
		t.Errorf("%v", got)
	}
	if got["no.such.name.invalid"] == nil || len(got["no.such.name.invalid"]) != 0 {
		t.Errorf("a name without an address has %v, want an empty list", got["no.such.name.invalid"])
	}
}
