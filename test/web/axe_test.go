package web

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// axe judges what is on the screen now.
func (p *tab) axe(what string) {
	p.t.Helper()
	library, err := os.ReadFile(filepath.Join("testdata", "axe", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		p.t.Fatalf("axe-core, which test/setup.sh installs: %v", err)
	}
	p.run(chromedp.Evaluate(string(library), nil))
	type violation struct {
		ID, Impact, Help string
		Nodes            []string
	}
	for _, v := range eval[[]violation](p, `axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.map(v =>
		({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)) })))`) {
		if v.Impact == "serious" || v.Impact == "critical" {
			p.t.Errorf("%s: %s: %s: %s %q", what, v.Impact, v.ID, v.Help, v.Nodes)
		} else {
			p.t.Logf("%s: %s: %s: %s %q", what, v.Impact, v.ID, v.Help, v.Nodes)
		}
	}
}

func TestAccessibility(t *testing.T) {
	s := serve(t, "-nodes", "6")
	for name, l := range map[string]look{"light": desk, "dark": {wide: 1400, high: 900, dark: true}, "phone": {wide: 390, high: 844}} {
		t.Run(name, func(t *testing.T) {
			p := open(t, s.url, l)
			p.expected = true
			p.says("#headline", "are ok")
			p.axe("well")
			s.do("fault overlay node3")
			s.do("fault doubt node5")
			s.do("fault loss node1 node2")
			p.says("#headline", "failing")
			p.await("document.querySelector('.finding')")
			p.run(chromedp.Click(".finding .say", chromedp.ByQuery), chromedp.Click("#list summary", chromedp.ByQuery))
			p.await("document.querySelector('#list tbody tr')")
			p.run(chromedp.Click("#list tbody button", chromedp.ByQuery))
			p.await("document.querySelector('#card .path')")
			p.axe("broken, everything open")
			s.do("down")
			p.says("#gone", "No news")
			p.axe("without a server")
			s.do("up")
			s.do("heal")
		})
	}
}
