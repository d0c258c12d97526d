package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/probe"
)

// maxBody bounds what is read of an answer: the probe times a path, it does not load a file.
const maxBody = 64 << 10

// HTTP is the original agent's HTTP probe: a GET on a new connection, timed phase by phase. It
// follows redirects as the original did; the phases are then those of the last request and Total
// is everything.
// roots are whom servers are believed; nil for whom the system does.
func HTTP(ctx context.Context, url string, timeout time.Duration, roots *x509.CertPool) probe.HTTPResult {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	target := url
	if !strings.Contains(url, "://") { // the flag's help always said host:port/path
		target = "http://" + url
	}
	x := get(ctx, target, true, (&net.Dialer{KeepAlive: -1}).DialContext, roots)
	out := probe.HTTPResult{URL: url, HTTPCode: x.status}
	if x.err == nil {
		out.ConnectionResult = 1
	}
	p := &x.phases
	out.Total = milliseconds(p.start, p.end)
	out.DNSLookup = milliseconds(p.lookup, p.lookedUp)
	out.TCPConnection = milliseconds(p.dial, p.connected)
	out.Connect = out.DNSLookup + out.TCPConnection
	out.ServerProcessing = milliseconds(p.wrote, p.firstByte)
	out.ContentTransfer = milliseconds(p.firstByte, p.end)
	return out
}

// HTTPAll probes all URLs like HTTP, a few at a time, in their order.
func HTTPAll(ctx context.Context, urls []string, timeout time.Duration, roots *x509.CertPool) []probe.HTTPResult {
	out := make([]probe.HTTPResult, len(urls))
	var g errgroup.Group
	g.SetLimit(8)
	for i, url := range urls {
		g.Go(func() error {
			out[i] = HTTP(ctx, url, timeout, roots)
			return nil
		})
	}
	_ = g.Wait() // nothing returns an error
	return out
}

// milliseconds returns the whole ones between two moments, 0 when one of them never came.
func milliseconds(from, to time.Time) int {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return int(to.Sub(from).Milliseconds())
}

// getService is the HTTP probe of a watched service: any answer below 400 is good. Redirects are
// not followed, they would lead to another service.
func getService(ctx context.Context, url string) Result {
	ctx, cancel := context.WithTimeout(ctx, ConnectLimit)
	defer cancel()
	x := get(ctx, url, false, dial, nil)
	rtt := x.phases.end.Sub(x.phases.start)
	switch {
	case x.err != nil:
		return failed(ctx, x.err, !x.phases.connected.IsZero())
	case x.status >= 400:
		return wrong(rtt, fmt.Sprintf("status %d", x.status))
	}
	return answered(rtt)
}

// exchange is one GET, and where its time went.
type exchange struct {
	phases phases
	status int // 0 when no answer came
	err    error
}

// phases are the moments of a request; zero where they did not come.
type phases struct {
	start, lookup, lookedUp, dial, connected, wrote, firstByte, end time.Time
}

// dialer connects to an address, as net.Dialer's DialContext does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func get(ctx context.Context, url string, redirects bool, dial dialer, roots *x509.CertPool) (x exchange) {
	w := stopwatch{phases: phases{start: time.Now()}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, w.trace()), http.MethodGet, url, nil)
	if err != nil {
		return exchange{phases: phases{start: w.phases.start, end: w.phases.start}, err: err}
	}
	// No proxy, no kept connection, no HTTP/2: the path itself is probed, each time anew.
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		DialContext:     dial,
		TLSClientConfig: &tls.Config{RootCAs: roots},
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	if !redirects {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	res, err := client.Do(req)
	if err == nil {
		x.status = res.StatusCode
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
		w.stop()
		res.Body.Close()
	} else {
		w.stop()
	}
	x.phases, x.err = w.read(), err
	return x
}

// stopwatch notes the moments. Its callbacks come from the transport's goroutines, some of them after
// the request has ended: what comes then is dropped.
type stopwatch struct {
	mu      sync.Mutex
	stopped bool
	phases  phases
}

// at sets a moment to now. Reading the clock is the first thing it does.
func (w *stopwatch) at(moment *time.Time) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		*moment = now
	}
}

// once sets a moment that has not come yet: of two dials at once the first counts.
func (w *stopwatch) once(moment *time.Time) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && moment.IsZero() {
		*moment = now
	}
}

func (w *stopwatch) stop() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phases.end, w.stopped = now, true
}

func (w *stopwatch) read() phases {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.phases
}

// again forgets the phases of the request before a redirect.
func (w *stopwatch) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.phases = phases{start: w.phases.start}
	}
}

func (w *stopwatch) trace() *httptrace.ClientTrace {
	p := &w.phases
	return &httptrace.ClientTrace{
		GetConn:      func(string) { w.again() },
		DNSStart:     func(httptrace.DNSStartInfo) { w.once(&p.lookup) },
		DNSDone:      func(httptrace.DNSDoneInfo) { w.at(&p.lookedUp) },
		ConnectStart: func(_, _ string) { w.once(&p.dial) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				w.once(&p.connected)
			}
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.at(&p.wrote) },
		GotFirstResponseByte: func() { w.at(&p.firstByte) },
	}
}
