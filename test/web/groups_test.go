package web

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// ink counts the pixels of a place of the matrix by the colour of each state.
type ink struct{ OK, Unknown, Degraded, Failing int }

func (p *tab) ink(from, to string) ink {
	p.t.Helper()
	return eval[ink](p, fmt.Sprintf(`(() => { const m = document.getElementById('matrix').matrix, scale = devicePixelRatio || 1;
		const at = name => m.items.findIndex(item => item.name === name), side = Math.round(m.size * scale);
		const c = new OffscreenCanvas(m.canvas.width, m.canvas.height), g = c.getContext('2d', {willReadFrequently: true});
		g.drawImage(m.canvas, 0, 0);
		const d = new Uint32Array(g.getImageData((m.left + at(%q) * m.size - m.x) * scale, (m.top + at(%q) * m.size - m.y) * scale, side, side).data.buffer);
		const [OK, Unknown, Degraded, Failing] = m.palette.pixels.map(colour => d.filter(one => one === colour).length);
		return {OK, Unknown, Degraded, Failing}; })()`, to, from))
}

// TestAGroupShowsTheShareOfItsPaths holds that one dead node of twenty does not make its zone look dead, and
// that what is unknown of a group is not drawn as ok.
func TestAGroupShowsTheShareOfItsPaths(t *testing.T) {
	s := serve(t, "-nodes", "60", "-zones", "3")
	p := open(t, s.url+"#zones=1&closed=all", desk)
	p.says("#headline", "between 60 nodes are ok.")
	p.says("#legend", "filled from below by the share of its paths")
	p.await("document.getElementById('matrix').matrix.items.length === 3")
	if all := p.ink("zone-b", "zone-a"); all.OK == 0 || all.Unknown+all.Degraded+all.Failing > 0 {
		t.Errorf("all paths are ok, drawn are %+v pixels", all)
	}
	tip := func(from, to string) {
		x, y := p.at(from, to)
		p.run(chromedp.ActionFunc(input.DispatchMouseEvent(input.MouseMoved, x, y).Do))
		p.says("#tip", from+" → "+to)
	}
	tip("zone-b", "zone-a")
	p.says("#tip", "host → host: all 400 paths ok")

	s.do("fault dead node31") // of zone-a
	p.says("#headline", ", 238 unknown.")
	tip("zone-b", "zone-a")
	p.says("#tip", "host → host: 20 of 400 paths failing")
	tip("zone-a", "zone-b")
	p.says("#tip", "pod → pod: 20 of 400 paths unknown")
	p.run(chromedp.Focus("#matrix", chromedp.ByQuery), chromedp.KeyEvent("n"))
	p.says("#spoken", "host → host: 19 of 380 paths failing, 19 unknown")
	if in := p.ink("zone-b", "zone-a"); in.Failing == 0 || in.OK < 4*in.Failing || in.Unknown > 0 {
		t.Errorf("a twentieth of the paths fails, drawn are %+v pixels", in)
	}
	if out := p.ink("zone-a", "zone-b"); out.Unknown == 0 || out.OK < 4*out.Unknown || out.Failing > 0 {
		t.Errorf("a twentieth of the paths is unknown, drawn are %+v pixels", out)
	}
	p.shot("groups")

	s.do("silence")
	p.says("#headline", "is unknown: nobody reports.")
	for _, to := range []string{"zone-a", "zone-b", "zone-c"} {
		if silent := p.ink("zone-b", to); silent.Unknown == 0 || silent.OK+silent.Degraded+silent.Failing > 0 {
			t.Errorf("nothing is known of zone-b to %s, drawn are %+v pixels", to, silent)
		}
	}
}
