package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// looksBack waits until the server remembers a time in which all was well. The history begins with a
// first picture: what is broken by then is no change, and nothing was before it.
func (s *synthetic) looksBack() {
	s.t.Helper()
	waitFor(s.t, "history of a healthy time", func() bool {
		r, err := http.Get(s.url + "api/v1/overview?at=6s")
		if err != nil {
			s.t.Fatal(err)
		}
		defer r.Body.Close()
		var then struct{ State string }
		return r.StatusCode == http.StatusOK && json.NewDecoder(r.Body).Decode(&then) == nil && then.State == "ok"
	})
}

// slide takes the slider to a moment with the mouse, and waits until the page shows that moment. The
// moment that is reached is the right one to a few seconds: a second is a few pixels wide.
func (p *tab) slide(to time.Time) {
	p.t.Helper()
	p.await("!document.getElementById('time').hidden && +document.querySelector('#time input').min < " + fmt.Sprint(to.UnixMilli()))
	// The thumb's middle travels over the track but for half of the thumb at either end.
	xy := eval[[]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector('#time input'); r.scrollIntoView({block: 'center'});
		const at = r.getBoundingClientRect(), share = (%d - r.min) / (r.max - r.min);
		return [at.left + 8 + (at.width - 16) * share, at.top + at.height / 2]; })()`, to.UnixMilli()))
	p.run(chromedp.MouseEvent(input.MousePressed, xy[0], xy[1], chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent(input.MouseReleased, xy[0], xy[1], chromedp.ButtonLeft, chromedp.ClickCount(1)))
	p.says("#time .when", "As it was at")
	p.says("#fresh", "As it was at")
	p.await(fmt.Sprintf("Math.abs(Date.parse(new URLSearchParams(location.hash.slice(1)).get('at')) - %d) < 3000", to.UnixMilli()))
}

// now goes on with what happens.
func (p *tab) now() {
	p.t.Helper()
	p.await("document.querySelector('#time .group button:last-child:not([disabled])')")
	p.run(click("#time .group button:last-child"))
	p.says("#live", "live")
}

// cardShows waits until the card shows the states of the paths there and back, each in the order host to
// host, host to pod, pod to host, pod to pod.
func (p *tab) cardShows(there, back string) {
	p.t.Helper()
	for selector, want := range map[string]string{"#card .path": there, "#card .back tbody tr": back} {
		p.await(fmt.Sprintf("[...document.querySelectorAll(%q)].map(s => s.className.replace('path ', '')).join(' ') === %q", selector, want))
	}
}
