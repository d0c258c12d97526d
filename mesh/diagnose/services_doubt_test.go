package diagnose

import (
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// The pod's agent of a node gets no processor time, so that nobody tells of its broken paths; the host's
// agent sees half of what is broken.
func TestNobodyOnAStarvedNodeBlamesServices(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.services = true
	w.start()
	w.inject(fault{
		doubt: func(at place) probe.Doubt {
			if at == (place{2, mesh.Pod}) {
				return probe.DoubtLag
			}
			return 0
		},
		service: brokenService("vip", 2, probe.CodeNetUnreachable, "").service})
	w.run(10 * time.Second)
	w.onlyEver()
}

func TestWhereManyAgentsDoubtTheSilenceOfAServiceSaysNothing(t *testing.T) {
	for _, c := range []struct {
		doubting int // of 5 nodes
		code     probe.Code
		said     bool
	}{{1, probe.CodeTimeout, true}, {2, probe.CodeTimeout, false}, {2, probe.CodeRefused, true}, {3, probe.CodeBadAnswer, true}} {
		w := newWorld(t, 5, nil)
		w.services = true
		w.start()
		w.inject(fault{
			doubt: func(at place) probe.Doubt {
				if at.node < c.doubting {
					return probe.DoubtLag
				}
				return 0
			},
			service: brokenService("dns", -1, c.code, "").service})
		if found := w.run(10 * time.Second); (len(found) > 0) != c.said {
			t.Errorf("%d nodes doubt, %s: %+v", c.doubting, c.code, found)
		}
	}
}

// Agents that nap now and then never see a probe end: then it is not known what the service is.
func TestWhatIsAwaitedForLongIsNotSaidSoon(t *testing.T) {
	for _, node := range []int{-1, 2} {
		w := newWorld(t, 5, nil)
		w.services = true
		w.start()
		w.inject(fault{service: func(at place, s *probe.Service) {
			if (node < 0 || at.node == node) && isDNS(s) {
				waits(s, probe.CodeWaiting)
			}
		}})
		w.run(14 * time.Second)
		w.onlyEver()
	}
}

// Nothing tells where the endpoints behind a Service address live. A node is cut off, and from the same
// moment on the service fails from all others: they most likely live there. What fails later, or what fails
// while a node has long been cut off, is a matter of its own.
func TestWhereEndpointsAreHiddenANodeCutOffMayHaveThem(t *testing.T) {
	for _, c := range []struct {
		name  string
		later time.Duration
		at    int // where the service fails, -1 for all but the node that is cut off
		said  bool
	}{{"at once", 0, -1, false}, {"at once, from one node", 0, 4, false}, {"later", 40 * time.Second, 4, true}} {
		t.Run(c.name, func(t *testing.T) {
			const home = 1
			w := newWorld(t, 6, nil)
			w.services, w.vipsOnly = true, true
			w.start()
			broken := w.now.Add(c.later)
			w.inject(fault{
				path: func(from, to place) (effect, bool) {
					return dies(true, true), touches(from, to, home) && kindIs(from, to, pp, hp)
				},
				service: func(at place, s *probe.Service) {
					if age := w.now.Sub(broken) - detect; age >= 0 && at.node != home && (c.at < 0 || at.node == c.at) && isDNS(s) {
						fails(s, probe.CodeTimeout, "no answer in time")
						s.Age = age
					}
				}})
			found := w.run(c.later + 20*time.Second)
			said := false
			for _, f := range found {
				said = said || f.Kind == DNSFailing
			}
			if said != c.said || !c.said && len(found) != 1 {
				t.Errorf("%+v", found)
			}
		})
	}
}
