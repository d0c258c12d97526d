package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"go.yaml.in/yaml/v3"
)

// described is a server together with what it says of itself.
type described struct {
	t     *testing.T
	url   string
	check validator.Validator
	seen  map[string]bool // "GET /path" of what was asked
	paths map[string]map[string]operation
}

// operation is what of an operation the tests read themselves.
type operation struct {
	Responses map[string]struct {
		Content map[string]struct {
			Example  any
			Examples map[string]struct{ Value any }
		}
	}
}

func describe(t *testing.T, url string) *described {
	t.Helper()
	r, err := http.Get(url + "api/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/yaml" {
		t.Fatal(r.StatusCode, r.Header, err)
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	check, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, wrong := check.ValidateDocument(); !ok {
		for _, w := range wrong {
			t.Error(w.Message, w.Reason)
		}
	}
	var all struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	d := &described{t: t, url: strings.TrimSuffix(url, "/"), check: check, seen: map[string]bool{}, paths: map[string]map[string]operation{}}
	for path, methods := range all.Paths {
		d.paths[path] = map[string]operation{}
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			var o operation
			if err := node.Decode(&o); err != nil {
				t.Fatal(path, method, err)
			}
			d.paths[path][strings.ToUpper(method)] = o
		}
	}
	return d
}

// ask makes a request and holds the answer against the description.
func (d *described) ask(method, path string, body []byte, want int) []byte {
	d.t.Helper()
	r, err := http.NewRequest(method, d.url+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != want {
		d.t.Errorf("%s %s: %d, want %d: %.300s %v", method, path, answer.StatusCode, want, text, err)
		return text
	}
	if want == 200 {
		d.seen[method+" "+d.templateOf(r.URL.Path)] = true
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	d.hold(r, answer)
	return text
}

// templateOf is the path of the description that a path is one of.
func (d *described) templateOf(path string) string {
	if _, literal := d.paths[path]; literal {
		return path
	}
	for _, end := range []string{"/row", "/enrol"} {
		if strings.HasSuffix(path, end) {
			return "/api/v1/agents/{name}" + end
		}
	}
	return "/api/v1/agents/{name}"
}

// hold holds an answer against the description.
func (d *described) hold(r *http.Request, answer *http.Response) {
	d.t.Helper()
	if ok, wrong := d.check.ValidateHttpResponse(r, answer); !ok {
		for _, w := range wrong {
			d.t.Errorf("%s %s: %s: %s", r.Method, r.URL, w.Message, w.Reason)
			for _, s := range w.SchemaValidationErrors {
				d.t.Errorf("    %s: %s", s.FieldPath, s.Reason)
			}
		}
	}
}

// TestEveryAnswerIsAsDescribed asks everything, well and badly, while things are well and broken.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	s := serve(t, "-nodes", "5")
	d := describe(t, s.url)
	report := []byte(`{"report_interval":5,"nodename":"node1","podname":"agent-pod-1","hostdate":"2026-11-23T09:21:46.5Z","nslookup":{"a":["10.96.0.1"]},` +
		`"network_probes":[{"URL":"http://x","ConnectionResult":1,"HTTPCode":200,"Total":2}],"ips":{"eth0":["10.244.1.2/24"]},"uptime":5356,"zero_extender":[0]}`)
	both := func() {
		for _, path := range []string{"/api/v1/matrix", "/api/v1/matrix?state=all", "/api/v1/matrix?state=failing,degraded&path=pod-to-pod,host-to-host",
			"/api/v1/matrix?source=node1&destination=node3&state=all", "/api/v1/matrix?format=text", "/api/v1/matrix?format=csv", "/api/v1/findings",
			"/api/v1/overview", "/api/v1/overview?since=1", "/api/v1/latency?path=host-to-pod", "/api/v1/latency/history?source=node1&destination=node3", "/api/v1/history", "/api/v1/history?since=15m&limit=10&state=failing", "/api/v1/findings?since=15m", "/api/v1/ping", "/api/v1/", "/api/v1/openapi.yaml", "/healthz", "/readyz", "/", "/metrics"} {
			d.ask(http.MethodGet, path, nil, 200)
		}
		var now struct{ Version json.Number }
		if err := json.Unmarshal(d.ask(http.MethodGet, "/api/v1/overview", nil, 200), &now); err != nil {
			t.Fatal(err)
		}
		d.ask(http.MethodGet, "/api/v1/overview?since="+now.Version.String(), nil, 200)
	}
	d.ask(http.MethodGet, "/api/v1/matrix", nil, 200)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1", report, 200)
	both()
	for _, fault := range []string{"fault overlay node3", "fault mtu node4", "fault loss node1 node2", "fault doubt node5"} {
		s.do(fault)
	}
	waitFor(t, "findings", func() bool {
		return bytes.Contains(d.ask(http.MethodGet, "/api/v1/findings", nil, 200), []byte(`"severity":"critical"`))
	})
	both()
	for _, path := range []string{"/api/v1/agents", "/api/v1/agents/", "/api/v1/agents/agent-pod-1", "/api/v1/connectivity_check"} {
		d.ask(http.MethodGet, path, nil, 200)
	}
	waitFor(t, "history", func() bool {
		r, err := http.Get(s.url + "api/v1/matrix?at=2s")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode == 200
	})
	for _, path := range []string{"/api/v1/matrix?at=2s", "/api/v1/overview?at=2s", "/api/v1/findings?at=2s"} {
		d.ask(http.MethodGet, path, nil, 200)
	}
	d.ask(http.MethodGet, "/api/v1/connectivity_check?matrix=true", nil, 400)
	for _, path := range []string{"/api/v1/matrix?state=bad", "/api/v1/matrix?sauce=node1", "/api/v1/matrix?source=nobody", "/api/v1/overview?since=x",
		"/api/v1/events?since=x", "/api/v1/latency", "/api/v1/latency?path=all", "/api/v1/latency/history", "/api/v1/latency/history?source=node1&destination=nobody", "/api/v1/history?since=tomorrow", "/api/v1/overview?at=2100-01-01T00:00:00Z", "/api/v1/overview?at=1h&since=1", "/api/v1/connectivity_check?matrix=perhaps"} {
		d.ask(http.MethodGet, path, nil, 400)
	}
	d.ask(http.MethodGet, "/api/v1/agents/nobody", nil, 404)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1", []byte("{"), 400)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1/row", []byte("NCR"), 400)
	d.ask(http.MethodPost, "/api/v1/agents/agent-pod-1/enrol", []byte("{}"), 404)
	for path, methods := range d.paths {
		for method := range methods {
			if !d.seen[method+" "+path] && path != "/api/v1/events" && !strings.HasSuffix(path, "/row") && !strings.HasSuffix(path, "/enrol") { // a stream, and what agents alone ask
				t.Errorf("%s %s is described and nobody asked it", method, path)
			}
		}
	}
}

// TestExamplesAreAsDescribed holds the examples of the description against its schemas.
func TestExamplesAreAsDescribed(t *testing.T) {
	d := describe(t, serve(t, "-nodes", "0").url)
	held := 0
	for path, methods := range d.paths {
		for method, o := range methods {
			for status, response := range o.Responses {
				for mime, c := range response.Content {
					examples := []any{c.Example}
					for _, e := range c.Examples {
						examples = append(examples, e.Value)
					}
					for _, e := range examples {
						if e == nil || mime != "application/json" {
							continue
						}
						body, err := json.Marshal(e)
						if err != nil {
							t.Fatal(err)
						}
						r, err := http.NewRequest(method, d.url+strings.ReplaceAll(path, "{name}", "agent-pod-1"), nil)
						if err != nil {
							t.Fatal(err)
						}
						code, _ := strconv.Atoi(status)
						d.hold(r, &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {mime}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r})
						held++
					}
				}
			}
		}
	}
	if held < 6 {
		t.Errorf("%d examples found", held)
	}
}
