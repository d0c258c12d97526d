package web

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for what must come: many times what it takes.
const patience = 60 * time.Second

// tab is the page open in a tab of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	errors   []string // what the console complained of
	strange  []string // requests that left for another host
	expected bool     // requests may go wrong
}

// look is how a page is looked at.
type look struct {
	wide, high int64
	dark       bool
	scale      float64
}

var desk = look{wide: 1400, high: 900}

// open opens the page. When the test ends, the console must have been silent and every request have gone to the server.
func open(t *testing.T, url string, l look) *tab {
	t.Helper()
	if browser == nil {
		if os.Getuid() != 0 {
			t.Skip("no chromium: run test/setup.sh as root")
		}
		t.Fatal("no chromium, which test/setup.sh installs")
	}
	// A window of its own: a tab behind another one is hidden, and a hidden page rests.
	var id target.ID
	if err := chromedp.Run(browser, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = target.CreateTarget("about:blank").WithNewWindow(true).Do(cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser))
		return err
	})); err != nil {
		t.Fatal(err)
	}
	ctx, end := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	p := &tab{t: t, ctx: ctx}
	origin := url[:strings.Index(url[8:], "/")+8]
	chromedp.ListenTarget(ctx, func(event any) { p.heard(event, origin) })
	t.Cleanup(func() {
		end()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.errors {
			t.Error("console:", e)
		}
		for _, r := range p.strange {
			t.Error("request to another host:", r)
		}
	})
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of its first Run
		t.Fatal(err)
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	scale := max(l.scale, 1)
	p.run(network.Enable(), log.Enable(),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}),
		chromedp.EmulateViewport(l.wide, l.high, chromedp.EmulateScale(scale)), chromedp.Navigate(url))
	return p
}

// heard takes an event of the browser.
func (p *tab) heard(event any, origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			p.errors = append(p.errors, fmt.Sprint(e.Type, " ", string(e.Args[0].Value)))
		}
	case *log.EventEntryAdded:
		if p.expected && e.Entry.Source == log.SourceNetwork {
			return
		}
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			p.errors = append(p.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, origin) && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") {
			p.strange = append(p.strange, u)
		}
	}
}

func (p *tab) run(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// eval returns the value of an expression of JavaScript; a promise is waited for.
func eval[T any](p *tab, expression string) (out T) {
	p.t.Helper()
	p.run(chromedp.Evaluate(expression, &out, func(e *runtime.EvaluateParams) *runtime.EvaluateParams { return e.WithAwaitPromise(true) }))
	return out
}

// await waits until an expression is true and returns how long that took.
func (p *tab) await(expression string) time.Duration {
	p.t.Helper()
	begun := time.Now()
	for !eval[bool](p, "!!("+expression+")") {
		if time.Since(begun) > patience {
			p.t.Fatalf("not within %v: %s\nthe page says: %s", patience, expression, eval[string](p, "document.visibilityState + ' ' + document.body.innerText.slice(0, 2000)"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(begun)
}

// says waits until an element's text contains words.
func (p *tab) says(selector, words string) time.Duration {
	p.t.Helper()
	quoted, _ := json.Marshal(words)
	return p.await(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%s)", selector, quoted))
}

// shot keeps a picture of the page among the test's artifacts.
func (p *tab) shot(name string) {
	p.t.Helper()
	var picture []byte
	p.run(chromedp.FullScreenshot(&picture, 100))
	dir := p.t.ArtifactDir()
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.t.Log(filepath.Join(dir, name+".png"))
}

// click clicks the first element that a selector means, as a person would: at its middle.
func click(selector string) chromedp.Action {
	return chromedp.Click(selector, chromedp.ByQuery)
}
