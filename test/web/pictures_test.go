package web

import (
	"fmt"
	"testing"
)

// TestPictures keeps pictures of the page: with -artifacts they can be looked at.
func TestPictures(t *testing.T) {
	phone := look{wide: 390, high: 844, scale: 2}
	for _, nodes := range []int{4, 100, 1000} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			s := serve(t, "-nodes", fmt.Sprint(nodes))
			desk := open(t, s.url, desk)
			desk.says("#headline", fmt.Sprintf("between %s nodes are ok", map[int]string{4: "4", 100: "100", 1000: "1,000"}[nodes]))
			desk.shot("well")
			s.do("fault overlay node3")
			s.do("fault loss node1 node2")
			desk.await("document.querySelector('.finding')")
			desk.shot("light")
			dark := open(t, s.url, look{wide: 1400, high: 900, dark: true})
			dark.await("document.querySelector('.finding button')")
			dark.run(click(".finding button"))
			dark.await("location.hash.includes('finding')")
			dark.shot("dark-chosen")
			small := open(t, s.url+"#from=node1&to=node3", phone)
			small.await("document.querySelector('.path.failing')")
			small.shot("phone")
		})
	}
}
