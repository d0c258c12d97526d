package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"netchecker/api/web"
)

func get(t *testing.T, path string, headers ...string) *http.Response {
	t.Helper()
	h, err := web.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// names finds the files that a file of the page asks for.
var names = regexp.MustCompile(`(?:src|href)="([a-z]+\.[a-z]+)"|from '\./([a-z]+\.js)'`)

// TestThePageIsWholeAndSmall follows everything that the page loads: each file is there, of the right
// type, strict about what may run, and all together stay small.
func TestThePageIsWholeAndSmall(t *testing.T) {
	types := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml", "html": "text/html; charset=utf-8"}
	size, seen := int64(0), map[string]bool{}
	for left := []string{"index.html"}; len(left) > 0; left = left[1:] {
		name := left[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		r := get(t, "/"+name)
		if want := types[name[strings.Index(name, ".")+1:]]; r.StatusCode != 200 || r.Header.Get("Content-Type") != want {
			t.Errorf("%s: %d %s, want 200 %s", name, r.StatusCode, r.Header.Get("Content-Type"), want)
		}
		policy := r.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
			t.Errorf("%s: policy %q", name, policy)
		}
		zipped := get(t, "/"+name, "Accept-Encoding", "br, gzip")
		size += zipped.ContentLength
		z, err := gzip.NewReader(zipped.Body)
		if err != nil {
			t.Fatal(err)
		}
		unzipped, err := io.ReadAll(z)
		body := text(t, r)
		if err != nil || string(unzipped) != body {
			t.Errorf("%s differs when compressed: %v", name, err)
		}
		// What names a language of markup is never asked for.
		if strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%s names another host", name)
		}
		for _, found := range names.FindAllStringSubmatch(body, -1) {
			left = append(left, found[1]+found[2])
		}
	}
	t.Logf("%d files, %.1f KiB compressed", len(seen), float64(size)/1024)
	if len(seen) < 10 || size > 60<<10 {
		t.Errorf("%d files of %d bytes compressed, want all and at most 60 KiB", len(seen), size)
	}
}

func TestTheRootIsThePage(t *testing.T) {
	r := get(t, "/")
	if body := text(t, r); r.StatusCode != 200 || !strings.Contains(body, "<title>netchecker</title>") {
		t.Errorf("%d %.200s", r.StatusCode, body)
	}
	if again := get(t, "/", "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %d", again.StatusCode)
	}
	for _, path := range []string{"/nothing", "/static/main.js", "/../web.go", "/api/v1/nothing"} {
		if r := get(t, path); r.StatusCode != 404 || r.Header.Get("Content-Type") != "application/json" || !strings.Contains(text(t, r), `"error"`) {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
	}
}
