package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
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
	mu    sync.Mutex      // one answer is held at a time
	seen  map[string]bool // "GET /path 200" of what was asked and answered
	paths map[string]map[string]operation
}

// operation is what of an operation the tests read themselves.
type operation struct{ Responses map[string]response }

// response is one of an operation, or where it stands.
type response struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct {
		Example  any
		Examples map[string]struct{ Value any }
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
		Paths      map[string]map[string]yaml.Node
		Components struct{ Responses map[string]response }
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
			for status, r := range o.Responses {
				if r.Ref != "" {
					o.Responses[status] = all.Components.Responses[strings.TrimPrefix(r.Ref, "#/components/responses/")]
				}
			}
			d.paths[path][strings.ToUpper(method)] = o
		}
	}
	return d
}

// ask makes a request and holds the answer against the description.
func (d *described) ask(method, path string, body []byte, want int) []byte {
	d.t.Helper()
	return d.askWith(method, path, body, want, "", "")
}

// askWith is ask with one header more.
func (d *described) askWith(method, path string, body []byte, want int, header, value string) []byte {
	d.t.Helper()
	r, err := http.NewRequest(method, d.url+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	if header != "" {
		r.Header.Set(header, value)
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
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[fmt.Sprintf("%s %s %d", r.Method, d.templateOf(r.URL.Path), answer.StatusCode)] = true
	if ok, wrong := d.check.ValidateHttpResponse(r, answer); !ok {
		for _, w := range wrong {
			d.t.Errorf("%s %s: %s: %s", r.Method, r.URL, w.Message, w.Reason)
			for _, s := range w.SchemaValidationErrors {
				d.t.Errorf("    %s: %s", s.FieldPath, s.Reason)
			}
		}
	}
}
