// Package web is the page for people: hand-written modules of JavaScript, a style sheet and a
// document, embedded as they are. Nothing is built ahead, so nothing can be stale, and a browser
// that shows the page asks this server alone. The page lives on /api/v1/overview, /api/v1/events and
// /api/v1/matrix; this package knows none of them and only hands out files.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
)

//go:embed static
var static embed.FS

// policy lets the page load from this server alone, and run and style itself by its files alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is one file as it is sent.
type file struct {
	mime, tag   string
	plain, zips []byte
}

// page is the handler.
type page struct {
	files map[string]*file // by path
}

// Handler returns the handler of GET / and of every file beneath it. What is no file of the page is
// answered with 404 and the error as JSON, like everything else of the API.
func Handler() (http.Handler, error) {
	p := &page{files: map[string]*file{}}
	entries, err := fs.ReadDir(static, "static")
	if err != nil {
		return nil, fmt.Errorf("embedded page: %w", err)
	}
	for _, e := range entries {
		body, err := static.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("embedded page: %w", err)
		}
		var zipped bytes.Buffer
		w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err != nil {
			return nil, fmt.Errorf("embedded page: %w", err)
		}
		w.Write(body) // a buffer takes everything
		w.Close()
		sum := sha256.Sum256(body)
		p.files["/"+e.Name()] = &file{mime: mimeOf(e.Name()), tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: body, zips: zipped.Bytes()}
	}
	p.files["/"] = p.files["/index.html"]
	return p, nil
}

// mimeOf does not ask the machine, whose tables differ: a module of the wrong type does not run.
func mimeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// ServeHTTP serves a file of the page.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	f := p.files[r.URL.Path]
	if f == nil {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "{\"error\":\"no such page: see /api/v1/ for those there are\"}\n")
		return
	}
	h.Set("Content-Type", f.mime)
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // asked for again, but sent only when it changed
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zips
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	w.Write(body) // nobody is left to tell when this is not read
}
