package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// elsewhere are answers that are described and not provoked here, with the place that proves them.
var elsewhere = map[string]string{
	"POST /api/v1/agents/{name} 408":           "a body that does not end: api",
	"POST /api/v1/agents/{name}/row 408":       "the same",
	"POST /api/v1/agents/{name}/row 403":       "a signature of the wrong secret, whose form is that of a report's",
	"POST /api/v1/agents/{name}/enrol 200":     "needs tokens: api and test/kube",
	"POST /api/v1/agents/{name}/enrol default": "404 is asked for",
	"GET / 304": "a browser's second look",
}

// TestEveryAnswerIsAsDescribed asks everything, well and badly, while things are well and broken, of a
// server that knows agents and of one that keeps nothing and takes signed reports alone.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	d, s := watched(t)
	report := []byte(`{"report_interval":5,"nodename":"node1","podname":"agent-pod-1","hostdate":"2026-11-23T09:21:46.5Z","nslookup":{"a":["10.96.0.1"]},` +
		`"network_probes":[{"URL":"http://x","ConnectionResult":1,"HTTPCode":200,"Total":2}],"ips":{"eth0":["10.244.1.2/24"]},"uptime":5356,"zero_extender":[0]}`)
	d.ask(http.MethodGet, "/api/v1/matrix", nil, 200)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1", report, 200)
	d.wellAsked()
	s.looksBack()
	for _, fault := range []string{"fault overlay node3", "fault mtu node4", "fault loss node1 node2", "fault doubt node5"} {
		s.do(fault)
	}
	waitFor(t, "findings", func() bool {
		return bytes.Contains(d.ask(http.MethodGet, "/api/v1/findings", nil, 200), []byte(`"severity":"critical"`))
	})
	d.wellAsked()
	for _, path := range []string{"/api/v1/matrix?at=2s", "/api/v1/overview?at=2s", "/api/v1/findings?at=2s"} {
		d.ask(http.MethodGet, path, nil, 200)
	}
	d.pages()
	d.events(func() { s.do("heal") })
	d.ask(http.MethodGet, "/api/v1/findings?since=15m", nil, 200)
	s.do("fault dead node2")
	waitFor(t, "failing path", func() bool {
		return bytes.Contains(d.ask(http.MethodGet, "/api/v1/matrix?state=failing", nil, 200), []byte(`"state":"failing"`))
	})
	d.badlyAsked()
	d.askSigned(t)
	for path, methods := range d.paths {
		for method, o := range methods {
			for status := range o.Responses {
				answer := fmt.Sprintf("%s %s %s", method, path, status)
				if !d.seen[answer] && elsewhere[answer] == "" && status < "5" {
					t.Errorf("%s is described and was not answered", answer)
				}
			}
		}
	}
}

// watched starts a world whose agents post through a proxy that holds what they are answered against
// the description, too.
func watched(t *testing.T) (*described, *synthetic) {
	t.Helper()
	var d atomic.Pointer[described]
	var rows atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if d := d.Load(); d != nil {
				to, _ := url.Parse(d.url)
				r.SetURL(to)
			}
		},
		ModifyResponse: func(answer *http.Response) error {
			text, err := io.ReadAll(answer.Body)
			answer.Body = io.NopCloser(bytes.NewReader(text))
			if d := d.Load(); d != nil && err == nil {
				d.hold(answer.Request, &http.Response{StatusCode: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(text)), Request: answer.Request})
				rows.Add(1)
			}
			return err
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // the server is not known yet
	})
	t.Cleanup(proxy.Close)
	s := serve(t, "-nodes", "5", "-through", proxy.URL)
	d.Store(describe(t, s.url))
	waitFor(t, "rows", func() bool { return rows.Load() > 10 })
	return d.Load(), s
}

// wellAsked asks what has an answer at any time.
func (d *described) wellAsked() {
	d.t.Helper()
	for _, path := range []string{"/api/v1/matrix", "/api/v1/matrix?state=all", "/api/v1/matrix?state=failing,degraded&path=pod-to-pod,host-to-host",
		"/api/v1/matrix?source=node1&destination=node3&state=all", "/api/v1/matrix?format=text", "/api/v1/matrix?format=csv", "/api/v1/findings", "/api/v1/findings?since=15m",
		"/api/v1/explain?node=node3", "/api/v1/explain?node=node2", "/api/v1/explain?source=node1&destination=node3", "/api/v1/explain?source=node4&destination=node4",
		"/api/v1/overview", "/api/v1/overview?since=1", "/api/v1/latency?path=host-to-pod", "/api/v1/latency/history?source=node1&destination=node3", "/api/v1/history", "/api/v1/history?since=15m&limit=10&state=failing",
		"/api/v1/history?source=node3&path=pod-to-pod&until=1s", "/api/v1/agents", "/api/v1/agents/", "/api/v1/agents/agent-pod-1", "/api/v1/connectivity_check",
		"/api/v1/ping", "/api/v1/", "/api/v1/openapi.yaml", "/healthz", "/readyz", "/", "/metrics"} {
		d.ask(http.MethodGet, path, nil, 200)
	}
	d.ask(http.MethodGet, "/api/v1/overview?since="+d.version(), nil, 200)
}

func (d *described) version() string {
	d.t.Helper()
	var now struct{ Version json.Number }
	if err := json.Unmarshal(d.ask(http.MethodGet, "/api/v1/overview", nil, 200), &now); err != nil {
		d.t.Fatal(err)
	}
	return now.Version.String()
}

// pages reads the history page by page, once there is more than one.
func (d *described) pages() {
	d.t.Helper()
	next := ""
	read := func() bool {
		var page struct{ Next string }
		text := d.ask(http.MethodGet, "/api/v1/history?since=10m&limit=10&after="+url.QueryEscape(next), nil, 200)
		if err := json.Unmarshal(text, &page); err != nil {
			d.t.Fatal(err)
		}
		next = page.Next
		return next != ""
	}
	waitFor(d.t, "second page", read)
	waitFor(d.t, "last page", func() bool { return !read() })
}

// events reads the stream until a change of the world stands in it: what each event holds is an overview.
func (d *described) events(change func()) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, d.url+"/api/v1/events?since="+d.version(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	d.hold(r, &http.Response{StatusCode: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(strings.NewReader("")), Request: r})
	overview, err := http.NewRequest(http.MethodGet, d.url+"/api/v1/overview", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	held, changed := 0, false
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for deadline := time.Now().Add(patience); lines.Scan() && !changed; {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "" {
			continue
		}
		d.hold(overview, &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(data)), Request: overview})
		if held++; held == 1 {
			change()
		}
		changed = held > 1 && strings.Contains(data, `"rows":{"`)
		if time.Now().After(deadline) {
			break
		}
	}
	if !changed {
		d.t.Errorf("%d events, none of them with what changed: %v", held, lines.Err())
	}
}

// badlyAsked asks what is refused.
func (d *described) badlyAsked() {
	d.t.Helper()
	long := url.QueryEscape(strings.Repeat("x", 300))
	for _, path := range []string{"/api/v1/matrix?state=bad", "/api/v1/matrix?sauce=node1", "/api/v1/matrix?source=nobody", "/api/v1/matrix?path=up", "/api/v1/matrix?format=xml",
		"/api/v1/matrix?at=tomorrow", "/api/v1/matrix?source=" + long, "/api/v1/findings?at=1h&since=1h", "/api/v1/findings?since=2100-01-01T00:00:00Z", "/api/v1/findings?x=1",
		"/api/v1/explain", "/api/v1/explain?node=nobody", "/api/v1/explain?node=node1&source=node2&destination=node3", "/api/v1/explain?source=node1", "/api/v1/explain?node=%3Cb%3E", "/api/v1/explain?at=1m",
		"/api/v1/overview?since=x", "/api/v1/overview?at=2100-01-01T00:00:00Z", "/api/v1/overview?at=1h&since=1", "/api/v1/events?since=x", "/api/v1/events?x=1",
		"/api/v1/latency", "/api/v1/latency?path=all", "/api/v1/latency/history", "/api/v1/latency/history?source=node1&destination=nobody", "/api/v1/history?since=tomorrow", "/api/v1/history?limit=0", "/api/v1/history?limit=1000000", "/api/v1/history?after=x",
		"/api/v1/history?since=1m&until=2m", "/api/v1/connectivity_check?matrix=perhaps", "/api/v1/connectivity_check?matrix=true", "/api/v1/agents/" + long} {
		d.ask(http.MethodGet, path, nil, 400)
	}
	d.ask(http.MethodGet, "/api/v1/agents/nobody", nil, 404)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1", []byte("{"), 400)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1/row", []byte("NCR"), 400)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1/row?roster=x", []byte("NCR"), 400)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1/enrol", []byte("{}"), 404)
	for end, most := range map[string]int{"": 1 << 20, "/row": 8 << 20} {
		d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1"+end, make([]byte, most+1), 413)
		d.askWith(http.MethodPost, "/api/v1/agents/agent-pod-1"+end, []byte("{}"), 415, "Content-Encoding", "gzip")
	}
}

// askSigned asks a server with a secret and without a history.
func (d *described) askSigned(t *testing.T) {
	t.Helper()
	build := exec.Command("go", "build", "-o", programs+"/", "./cmd/netchecker-server")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("known to nobody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	cmd := exec.Command(filepath.Join(programs, "netchecker-server"), "-endpoint", at, "-gossip-port", "0", "-auth", "secret", "-secret-file", secret, "-history-size", "0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	waitFor(t, "server", func() bool {
		r, err := http.Get("http://" + at + "/healthz")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
	d.url = "http://" + at
	for _, path := range []string{"/api/v1/matrix?at=1m", "/api/v1/findings?since=1m", "/api/v1/findings?at=1m", "/api/v1/overview?at=1m", "/api/v1/history"} {
		d.ask(http.MethodGet, path, nil, 404)
	}
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1", []byte("{}"), 401)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1/row", []byte("NCR"), 401)
	d.askWith(http.MethodPost, "/api/v1/agents/agent-pod-1", []byte("{}"), 403, "Netchecker-Signature", "v1 1 1 "+strings.Repeat("0", 64))
}

// TestUnknownPathsAndMethodsAreErrorsAsDescribed: the description promises it for what it does not list.
func TestUnknownPathsAndMethodsAreErrorsAsDescribed(t *testing.T) {
	s := serve(t, "-nodes", "0")
	for _, c := range []struct {
		method, path string
		want         int
	}{{http.MethodGet, "api/v1/matrices", 404}, {http.MethodGet, "nothing", 404}, {http.MethodPost, "api/v1/matrix", 405}, {http.MethodDelete, "api/v1/agents/a", 405},
		{http.MethodGet, "api/v1/agents/a/row", 405}, {http.MethodGet, "api/v1/agents/a/enrol", 405}} {
		ask, err := http.NewRequest(c.method, s.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Error string }
		err = json.NewDecoder(r.Body).Decode(&answer)
		r.Body.Close()
		if err != nil || r.StatusCode != c.want || answer.Error == "" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %v %+v %v, want %d", c.method, c.path, r.StatusCode, r.Header, answer, err, c.want)
		}
	}
	r, err := http.Head(s.url + "api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD api/v1/events: %d %v", r.StatusCode, r.Header)
	}
}

// TestExamplesAreAsDescribed holds the examples of the description against its schemas. Whatever is
// read as JSON has one.
func TestExamplesAreAsDescribed(t *testing.T) {
	d := describe(t, serve(t, "-nodes", "0").url)
	for path, methods := range d.paths {
		for method, o := range methods {
			for status, response := range o.Responses {
				for mime, c := range response.Content {
					if mime != "application/json" {
						continue
					}
					examples := []any{}
					if c.Example != nil {
						examples = append(examples, c.Example)
					}
					for _, e := range c.Examples {
						examples = append(examples, e.Value)
					}
					if len(examples) == 0 && method == http.MethodGet && status != "500" {
						t.Errorf("%s %s: %s has no example", method, path, status)
					}
					for _, e := range examples {
						body, err := json.Marshal(e)
						if err != nil {
							t.Fatal(err)
						}
						r, err := http.NewRequest(method, d.url+strings.ReplaceAll(path, "{name}", "agent-pod-1"), nil)
						if err != nil {
							t.Fatal(err)
						}
						code, _ := strconv.Atoi(status) // "default" is of no code in particular
						d.hold(r, &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {mime}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r})
					}
				}
			}
		}
	}
}
