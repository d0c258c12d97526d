package web

import "testing"

// TestPictures keeps pictures of the page: with -artifacts they can be looked at.
func TestPictures(t *testing.T) {
	s := serve(t, "-nodes", "4")
	p := open(t, s.url, desk)
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.shot("4-well")
	s.do("fault overlay node3")
	s.do("fault loss node1 node2")
	p.await("document.querySelector('.finding')")
	pictures(t, s.url, p, "4", "from=node1&to=node3")
}

// pictures keeps pictures of a broken mesh: the page as it is, in the dark with a finding chosen, on a
// phone with a pair open, which the words of an address choose.
func pictures(t *testing.T, url string, p *tab, name, pair string) {
	t.Helper()
	p.shot(name + "-light")
	dark := open(t, url, look{wide: 1400, high: 900, dark: true})
	dark.expected = p.expected
	dark.await("document.querySelector('.finding button')")
	dark.run(click(".finding button"))
	dark.await("location.hash.includes('finding')")
	dark.shot(name + "-dark-chosen")
	phone := open(t, url+"#"+pair, look{wide: 390, high: 844, scale: 2})
	phone.expected = p.expected
	phone.await("document.querySelector('.path.failing') || document.querySelector('#card .lost')")
	if over := eval[int](phone, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
		t.Errorf("%s: on a phone the page scrolls sideways by %d", name, over)
	}
	phone.shot(name + "-phone")
}
