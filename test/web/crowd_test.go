package web

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/debugger"
	"github.com/chromedp/chromedp"
)

// TestMoreWindowsThanABrowserHasConnections opens nine windows: a browser allows six connections to a
// server, and a stream holds one for as long as its page is looked at.
func TestMoreWindowsThanABrowserHasConnections(t *testing.T) {
	s := serve(t, "-nodes", "3")
	var windows []*tab
	for range 9 {
		windows = append(windows, open(t, s.url, desk))
	}
	for _, p := range windows {
		p.says("#headline", "All 30 paths between 3 nodes are ok.")
	}
	s.do("fault pair node1 node2")
	for _, p := range windows {
		p.says("#headline", "8 of 30 paths")
		if eval[bool](p, "!document.getElementById('gone').hidden") {
			t.Error("a window says that the server is gone while it answers")
		}
	}
}

// TestTwoHundredPages has two hundred pages that hear of changes: one more hears of them, too.
func TestTwoHundredPages(t *testing.T) {
	s := serve(t, "-nodes", "4")
	const pages = 200
	heard := make(chan struct{}, pages)
	ended := make(chan struct{})
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 2 * pages}}
	var bodies []interface{ Close() error }
	for range pages {
		r, err := client.Get(s.url + "api/v1/events")
		if err != nil || r.StatusCode != 200 {
			t.Fatal(r, err)
		}
		bodies = append(bodies, r.Body)
		all.Go(func() {
			for lines := bufio.NewScanner(r.Body); lines.Scan(); {
				if strings.Contains(lines.Text(), `"state":"failing"`) {
					select {
					case heard <- struct{}{}:
					case <-ended:
					}
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		close(ended)
		for _, b := range bodies {
			b.Close()
		}
		all.Wait()
		client.CloseIdleConnections()
	})
	p := open(t, s.url, desk)
	p.says("#headline", "are ok")
	p.says("#live", "live, ")
	s.do("fault overlay node3")
	t.Logf("the page beside %d others says it after %v", pages, p.says("#headline", "12 of 56 paths"))
	deadline := time.After(patience)
	for n := range pages {
		select {
		case <-heard:
		case <-deadline:
			t.Fatalf("%d of %d streams heard of it", n, pages)
		}
	}
}

// TestALaptopThatSlept stops all that the page does, as a closed lid does, while something breaks and, another time,
// while the server goes away: once it wakes, it must not go on showing what was.
func TestALaptopThatSlept(t *testing.T) {
	s := serve(t, "-nodes", "4")
	p := open(t, s.url, desk)
	p.expected = true
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.run(chromedp.ActionFunc(func(ctx context.Context) error { _, err := debugger.Enable().Do(ctx); return err }))
	sleep := func(meanwhile ...string) {
		p.run(debugger.Pause())
		for _, command := range meanwhile {
			s.do(command)
		}
		time.Sleep(8 * time.Second) // longer than the page is content with silence
		p.run(debugger.Resume())
	}
	sleep("fault overlay node3")
	t.Logf("awake, the page says what happened after %v", p.says("#headline", "12 of 56 paths"))
	if eval[bool](p, "!document.getElementById('gone').hidden") {
		t.Error("the page says that the server is gone while it answers")
	}
	sleep("heal", "down")
	t.Logf("awake, the page says that the server is gone after %v", p.says("#gone", "No news from the server"))
	p.says("#headline", "is not known")
	s.do("up")
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
}
