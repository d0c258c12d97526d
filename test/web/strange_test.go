package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
)

// between stands between the page and the server and changes answers.
func between(t *testing.T, server string, change func(path string, body []byte) []byte, refuse string) string {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		if change == nil || r.Header.Get("Content-Type") != "application/json" {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = change(r.Request.URL.Path, body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		r.ContentLength = int64(len(body))
		return nil
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		if r.URL.Path == refuse {
			http.Error(w, `{"error":"no"}`, http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + "/"
}

// TestMarkupIsText shows names and sentences full of markup, which a server of ours would not let in:
// the page trusts nobody.
func TestMarkupIsText(t *testing.T) {
	const evil = `<img src=x onerror="document.title='caught'"><script>document.title='caught'</script>`
	s := serve(t, "-nodes", "3")
	s.do("fault overlay node3")
	quoted, err := json.Marshal(evil + "3")
	if err != nil {
		t.Fatal(err)
	}
	front := between(t, s.url, func(_ string, body []byte) []byte {
		body = bytes.ReplaceAll(body, []byte(`"node3"`), quoted)
		return bytes.ReplaceAll(body, []byte("zone-a"), quoted[1:len(quoted)-1])
	}, "/api/v1/events")
	p := open(t, front, desk)
	p.expected = true
	p.says("#headline", "failing")
	p.await("document.querySelector('.finding')")
	p.run(chromedp.Click(".finding .say", chromedp.ByQuery), chromedp.Click("#list summary", chromedp.ByQuery))
	p.says("#list", "<img src=x")
	p.says(".finding .facts", "<img src=x")
	if n := eval[int](p, "document.querySelectorAll('main img, main script').length"); n != 0 || eval[string](p, "document.title") == "caught" {
		t.Errorf("%d elements came out of names, the title is %q", n, eval[string](p, "document.title"))
	}
}

// TestWithoutAStreamThePageAsks has a proxy in the way that lets no events through.
func TestWithoutAStreamThePageAsks(t *testing.T) {
	s := serve(t, "-nodes", "3")
	p := open(t, between(t, s.url, nil, "/api/v1/events"), desk)
	p.expected = true
	p.says("#headline", "All 30 paths between 3 nodes are ok.")
	s.do("fault pair node1 node2")
	t.Logf("after %v", p.says("#headline", "8 of 30 paths"))
	if eval[bool](p, "!document.getElementById('gone').hidden") {
		t.Error("the page says that the server is gone while it answers")
	}
}
