package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// figures measures in the page: the time to draw each of 120 frames while the matrix pans and zooms.
const figures = `(async () => {
	const m = document.getElementById('matrix').matrix, took = [];
	m.cell = 6; m.layout(); // larger than fits, so that there is something to pan
	const work = await import('./paint.js');
	for (let n = 0; n < 120; n++) {
		m.x = (n * 37) % 400; m.y = (n * 23) % 300; m.clamp();
		const begun = performance.now();
		work.paint(m);
		took.push(performance.now() - begun);
		await new Promise(requestAnimationFrame);
	}
	took.sort((a, b) => a - b);
	const paints = performance.getEntriesByName('first-contentful-paint');
	return { Median: took[60], Worst: took[119], Heap: performance.memory.usedJSHeapSize / 2**20, Paint: paints.length ? paints[0].startTime : 0 };
})()`

// measured is what figures returns, in milliseconds and MiB.
type measured struct{ Median, Worst, Heap, Paint float64 }

// TestFigures tells what the page costs with 100 and with 1,000 nodes, in one run of the browser. It
// asserts only what no slow machine can change: how much memory the page takes.
func TestFigures(t *testing.T) {
	for _, nodes := range []int{100, 1000} {
		s := serve(t, "-nodes", fmt.Sprint(nodes))
		p := open(t, s.url, desk)
		p.says("#headline", fmt.Sprintf("between %s nodes are ok", map[int]string{100: "100", 1000: "1,000"}[nodes]))
		s.do("fault overlay node3")
		s.do("noise 1")
		p.await("document.querySelector('.finding')")
		got := eval[measured](p, figures)
		t.Logf("%4d nodes: first paint %.0f ms; a panned frame %.2f ms in the median, %.2f at worst; heap %.1f MiB", nodes, got.Paint, got.Median, got.Worst, got.Heap)
		if got.Heap > 100 {
			t.Errorf("%d nodes: a heap of %.1f MiB, want at most 100", nodes, got.Heap)
		}
		p.run(click("#fit"))
		pictures(t, s.url, p, fmt.Sprint(nodes), "from=node1&to=node3")
		p.run(chromedp.Focus("#matrix", chromedp.ByQuery), chromedp.KeyEvent("n"))
		p.await("document.getElementById('spoken').textContent")
		if text := eval[string](p, "document.getElementById('spoken').textContent"); !strings.Contains(text, "failing") {
			t.Errorf("the first pair that is not ok: %q", text)
		}
	}
}
