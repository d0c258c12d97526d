package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// place is what the matrix draws at a row and a column.
type place struct {
	From, To, State string
	Cell, Lit       int
}

// places returns everything that the matrix draws.
func (p *tab) places() []place {
	p.t.Helper()
	return eval[[]place](p, `(() => { const m = document.getElementById('matrix').matrix, n = m.items.length, out = [];
		for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out.push(m.inspect(i, j)); return out; })()`)
}

// litPaths lists the paths that are lit, as "node1>node2 pod-to-pod".
func (p *tab) litPaths() (out []string) {
	p.t.Helper()
	for _, at := range p.places() {
		for k, kind := range []string{"pod-to-pod", "host-to-pod", "pod-to-host", "host-to-host"} {
			if at.Lit>>(3*k)&7 != 0 && at.Cell>>(3*k)&7 != 4 {
				out = append(out, at.From+">"+at.To+" "+kind)
			}
		}
	}
	slices.Sort(out)
	return out
}

// overlayPaths are those that a broken overlay at one of some nodes takes away, as litPaths lists them.
func overlayPaths(nodes, at int) (out []string) {
	for i := 1; i <= nodes; i++ {
		for j := 1; j <= nodes; j++ {
			if i != j && (i == at || j == at) {
				for _, kind := range []string{"pod-to-pod", "host-to-pod"} {
					out = append(out, fmt.Sprintf("node%d>node%d %s", i, j, kind))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// at is the middle of a cell in the window, scrolled into view.
func (p *tab) at(from, to string) (x, y float64) {
	p.t.Helper()
	xy := eval[[]float64](p, fmt.Sprintf(`(() => { const m = document.getElementById('matrix').matrix;
		const at = name => m.items.findIndex(item => item.name === name);
		m.canvas.scrollIntoView({block: 'center'});
		const r = m.canvas.getBoundingClientRect();
		return [r.left + m.left + (at(%q) + .5) * m.size - m.x, r.top + m.top + (at(%q) + .5) * m.size - m.y]; })()`, to, from))
	return xy[0], xy[1]
}

func TestAFaultAppearsIsLitAndGoesAway(t *testing.T) {
	s := serve(t, "-nodes", "5")
	p := open(t, s.url, desk)
	p.says("#headline", "All 90 paths between 5 nodes are ok.")
	p.says("#fresh", "All 10 agents report")
	if p.await("document.getElementById('verdict').dataset.state === 'ok'"); eval[int](p, "document.querySelectorAll('.finding').length") != 0 {
		t.Error("a finding while all is well")
	}
	s.do("fault overlay node3")
	s.do("fault loss node1 node2")
	t.Logf("the finding stood there after %v, without a reload", p.says(".finding", "node3"))
	p.says("#headline", "16 of 90 paths between 5 nodes are failing")
	p.says(".finding .facts", "explains 16 paths")

	p.run(chromedp.Click(".finding .say", chromedp.ByQuery))
	p.await("document.querySelector('.finding .say').getAttribute('aria-expanded') === 'true'")
	want := overlayPaths(5, 3)
	if got := p.litPaths(); !slices.Equal(got, want) {
		t.Errorf("lit are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p.says("#list summary", "16 paths of 8 pairs that the chosen finding explains")
	p.says(".check code", "vxlan")

	x, y := p.at("node1", "node3")
	p.run(chromedp.MouseClickXY(x, y))
	p.says("#card h3", "node1 → node3")
	p.says("#card", "All of the requests get lost on the way from node1 to node3.")
	p.cardShows("ok failing ok failing", "ok failing ok failing")
	p.says("#card .back h4", "The way back, node3 → node1")
	p.says("#card", "reporting at 10.244.0.3")
	p.run(chromedp.Click("#card .buttons button", chromedp.ByQuery))
	p.says("#card h3", "node3 → node1")
	p.says("#card", "node1 hears node3; all of the answers get lost on the way back.")

	p.run(chromedp.Reload())
	p.says("#card h3", "node3 → node1")
	p.await("document.querySelector('.finding.chosen')")
	if got := p.litPaths(); !slices.Equal(got, want) {
		t.Errorf("after a reload lit are\n%s", strings.Join(got, "\n"))
	}
	s.do("heal")
	p.says("#headline", "All 90 paths between 5 nodes are ok.")
	p.await("!document.querySelector('.finding')")
	p.await("document.querySelectorAll('#card .path.ok').length === 4")
}

func TestEverythingWorksWithTheKeyboard(t *testing.T) {
	s := serve(t, "-nodes", "5")
	p := open(t, s.url, desk)
	p.says("#headline", "are ok")
	s.do("fault oneway node2 node4")
	p.says("#headline", "failing")
	p.run(chromedp.Focus("#matrix", chromedp.ByQuery), chromedp.KeyEvent("n"))
	p.says("#spoken", "node2 → node4")
	p.says("#spoken", "pod → pod: failing")
	p.run(chromedp.KeyEvent("n"))
	p.says("#spoken", "node4 → node2")
	p.run(chromedp.KeyEvent("p"), chromedp.KeyEvent("\r"))
	p.says("#card h3", "node2 → node4")
	p.run(chromedp.KeyEvent("\u001b"))
	p.await("document.getElementById('card').hidden")
	p.run(chromedp.KeyEvent("0"), chromedp.KeyEvent("+"), chromedp.KeyEvent("+"))
	p.await("location.hash.includes('view=')")
	p.run(chromedp.KeyEvent("0"))
	p.await("!location.hash.includes('view=')")
	// Every control can be reached: none is taken out of the order of tabs.
	if n := eval[int](p, `document.querySelectorAll('[tabindex="-1"]:is(button, a, input, select)').length`); n != 0 {
		t.Errorf("%d controls cannot be reached by Tab", n)
	}
}

func TestAServerThatGoesAwayIsSaidAndNothingStaysGreen(t *testing.T) {
	s := serve(t, "-nodes", "4")
	p := open(t, s.url, desk)
	p.expected = true
	p.says("#headline", "are ok")
	green := `(() => { const m = document.getElementById('matrix').matrix, c = new OffscreenCanvas(m.canvas.width, m.canvas.height), g = c.getContext('2d', {willReadFrequently: true});
		g.drawImage(m.canvas, 0, 0);
		const d = g.getImageData(0, 0, m.canvas.width, m.canvas.height).data;
		const ok = m.palette.pixels[0] & 0xffffff; let n = 0; for (let i = 0; i < d.length; i += 4) if ((d[i] | d[i + 1] << 8 | d[i + 2] << 16) === ok) n++; return n; })()`
	if n := eval[int](p, green); n < 1000 {
		t.Fatalf("%d pixels in the colour of ok while all is well", n)
	}
	s.do("down")
	t.Logf("said after %v", p.says("#gone", "No news from the server"))
	p.await("document.getElementById('verdict').dataset.state === 'unknown'")
	p.says("#headline", "is not known")
	p.await("!document.getElementById('gone').hidden")
	p.await(green + " === 0")
	s.do("up")
	t.Logf("back after %v", p.says("#headline", "All 56 paths between 4 nodes are ok."))
	p.await("document.getElementById('gone').hidden")
	p.await(green + " > 1000")
}

func TestAgentsThatFallSilentBecomeUnknown(t *testing.T) {
	s := serve(t, "-nodes", "3")
	p := open(t, s.url, desk)
	p.says("#headline", "are ok")
	s.do("silence")
	p.says("#headline", "The state of all 30 paths between 3 nodes is unknown: nobody reports.")
	p.says("#fresh", "0 of 6 agents report")
	for _, at := range p.places() {
		if at.State != "unknown" {
			t.Errorf("%s to %s is %s", at.From, at.To, at.State)
		}
	}
}

func TestSmallMeshesAndLongNames(t *testing.T) {
	for flags, says := range map[string]string{
		"-nodes 0":                      "No agent has reported yet.",
		"-nodes 1":                      "All 2 paths on the only node are ok.",
		"-nodes 2":                      "All 12 paths between 2 nodes are ok.",
		"-nodes 6 -long-names -zones 0": "All 132 paths between 6 nodes are ok.",
	} {
		t.Run(flags, func(t *testing.T) {
			s := serve(t, strings.Fields(flags)...)
			for _, l := range []look{desk, {wide: 390, high: 844}} {
				p := open(t, s.url, l)
				p.says("#headline", says)
				if strings.Contains(flags, "long") {
					s.do("heal")
					s.do("fault dead node2")
					p.says("#headline", "failing")
					p.await("document.querySelector('.finding')")
					p.run(chromedp.Focus("#matrix", chromedp.ByQuery), chromedp.KeyEvent("n"), chromedp.KeyEvent("\r"))
					p.says("#card h3", "node1."+strings.Repeat("x", 200))
					p.await("document.querySelector('#card .path')")
					s.do("heal")
				}
				if over := eval[int](p, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("%d pixels wide: the page scrolls sideways by %d because of %s", l.wide, over, eval[string](p, `[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className).slice(0, 5).join(' ')`))
				}
			}
		})
	}
}

func TestManyNodesAreGroupedSearchedAndSorted(t *testing.T) {
	s := serve(t, "-nodes", "60", "-zones", "3")
	p := open(t, s.url+"#zones=1&closed=all", desk)
	p.says("#headline", "between 60 nodes are ok.")
	p.await("document.getElementById('matrix').matrix.items.length === 3")
	s.do("fault dead node31")
	p.says("#headline", "failing")
	states := map[string]string{}
	for _, at := range p.places() {
		states[at.From+">"+at.To] = at.State
	}
	if states["zone-b>zone-a"] != "failing" || states["zone-a>zone-c"] != "ok" { // node31 is in zone-a
		t.Errorf("zones: %v", states)
	}
	x, y := p.at("zone-b", "zone-a")
	p.run(chromedp.MouseClickXY(x, y))
	p.await("document.getElementById('matrix').matrix.items.length > 3") // a click opened a zone
	p.run(chromedp.Click("#expand", chromedp.ByQuery), chromedp.Click("#zones", chromedp.ByQuery), chromedp.Click("#worst", chromedp.ByQuery))
	p.await("document.getElementById('matrix').matrix.items[0].name === 'node31'")
	p.run(chromedp.Click("#worst", chromedp.ByQuery), chromedp.SendKeys("#q", "node44", chromedp.ByQuery))
	p.await("document.getElementById('matrix').matrix.items[0].name === 'node44'")
	p.await("location.hash.includes('q=node44')")
	p.run(chromedp.Click("#list summary", chromedp.ByQuery))
	p.await("document.querySelectorAll('#list tbody tr').length > 50")
}

func TestFlowsAreShownOneByOne(t *testing.T) {
	s := serve(t, "-nodes", "3")
	s.do("fault loss node1 node2")
	p := open(t, s.url+"#from=node1&to=node2", desk)
	p.says("#card .flows", "3 of 16 source ports lose everything")
	if label := eval[string](p, "document.querySelector('#card .flows [role=img]').getAttribute('aria-label')"); label != "by source port: 1, 5, 9 of 16 lose everything" {
		t.Errorf("the flows are called %q", label)
	}
	p.says("#card .way", "30 % of the requests get lost on the way from node1 to node2.")
}

func TestRoundTripsOnDemand(t *testing.T) {
	s := serve(t, "-nodes", "4")
	p := open(t, s.url+"#colour=host-to-host", desk)
	p.says("#headline", "are ok")
	p.says("#legend", "0.02 ms")
	x, y := p.at("node1", "node2")
	p.await("document.getElementById('matrix').matrix.heat")
	p.run(chromedp.ActionFunc(input.DispatchMouseEvent(input.MouseMoved, x, y).Do))
	p.says("#tip", " ms")
}

func TestTheSliderShowsTheMomentBefore(t *testing.T) {
	s := serve(t, "-nodes", "4")
	p := open(t, s.url, desk)
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	s.looksBack()
	const changes = "+(document.querySelector('#time .when').textContent.match(/Now; ([0-9]+)/)?.[1] ?? 0)"
	before := eval[int](p, changes) // that agents appeared may be one
	s.do("fault overlay node3")
	p.says("#headline", "12 of 56 paths")
	p.await("document.querySelector('.finding')")
	p.await("!document.getElementById('time').hidden")
	p.await(fmt.Sprintf("%s > %d", changes, before))
	// The button goes to just before the last change; the slider itself moves by the keyboard.
	p.run(chromedp.Focus("#time input", chromedp.ByQuery), chromedp.KeyEvent(kb.ArrowLeft))
	p.says("#time .when", "As it was at")
	p.run(chromedp.KeyEvent(kb.End))
	p.says("#time .when", "Now")
	p.run(chromedp.Click("#time .group button", chromedp.ByQuery))
	p.says("#headline", "were ok")
	p.says("#time .when", "As it was at")
	p.await("!document.querySelector('.finding') && location.hash.includes('at=')")
	p.run(chromedp.Reload()) // the address is the view
	p.says("#headline", "All 56 paths between 4 nodes were ok.")
	x, y := p.at("node1", "node3")
	p.run(chromedp.MouseClickXY(x, y))
	p.await("document.querySelectorAll('#card .path.ok').length === 4")
	p.says("#card", "As it was at")
	p.says("#card", "What the nodes read of themselves is not kept")
	p.now()
	p.says("#headline", "12 of 56 paths between 4 nodes are failing")
	p.await("document.querySelectorAll('#card .path.failing').length === 2")
	p.says("#card .trips figcaption", "round trip: 0.") // a moment every ten seconds
	if label := eval[string](p, "document.querySelector('#card .trips svg').getAttribute('aria-label')"); !strings.Contains(label, "Round trips from node1 to node3, host → host, from ") {
		t.Errorf("the chart is called %q", label)
	}
	p.await("document.querySelectorAll('#card .path.failing .trips .lost').length > 0")
	for _, at := range []string{"2001-01-01T00:00:00Z", "yesterday"} {
		p.expected = true
		p.run(chromedp.Navigate(s.url+"#at="+at), chromedp.Reload())
		p.says("#gone", "cannot be shown")
		p.says("#headline", "is not known")
	}
}
