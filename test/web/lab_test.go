package web

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestThePageInALab has nothing made up: real agents, a real overlay, a real firewall.
func TestThePageInALab(t *testing.T) {
	s := stage(t)
	p := open(t, s.url, desk)
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	s.looksBack()
	broken := time.Now()
	s.do("inject fw-8472-in 3")
	t.Logf("the finding stood there after %v, without a reload", p.says(".finding", "node3"))
	p.says("#headline", "12 of 56 paths between 4 nodes are failing")
	p.run(click(".finding .say"))
	p.lightsTheOverlay()
	x, y := p.at("node1", "node3")
	p.run(chromedp.MouseClickXY(x, y))
	p.says("#card", "All of the requests get lost on the way from node1 to node3.")
	p.cardShows("ok failing ok failing", "ok failing ok failing")
	p.says("#card", "Otherwise than on healthy nodes (2 compared)")
	p.await("document.querySelector('#card .trips svg')")
	p.shot("lab")
	failing := time.Now()

	p.slide(broken.Add(-3 * time.Second))
	p.says("#headline", "All 56 paths between 4 nodes were ok.")
	p.await("!document.querySelector('.finding')")
	p.cardShows("ok ok ok ok", "ok ok ok ok")
	p.shot("lab-before")
	p.now()
	p.says("#headline", "12 of 56 paths between 4 nodes are failing")
	s.do("heal")
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.await("!document.querySelector('.finding')")

	p.slide(failing)
	p.says("#headline", "12 of 56 paths between 4 nodes were failing.")
	p.says(".finding.chosen", "node3")
	p.lightsTheOverlay()
	p.cardShows("ok failing ok failing", "ok failing ok failing")
	p.shot("lab-during")
	p.now()
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.cardShows("ok ok ok ok", "ok ok ok ok")
}

// TestTheCardShowsTheDirectionInALab breaks one direction alone. Where nothing arrives, nothing is
// answered either, so that the echo fails both ways and only what each end heard tells them apart; a
// policy that lets answers through breaks one way alone.
func TestTheCardShowsTheDirectionInALab(t *testing.T) {
	s := stage(t)
	p := open(t, s.url+"#from=node1&to=node3", desk)
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.cardShows("ok ok ok ok", "ok ok ok ok")

	s.do("inject one-way 1 3")
	t.Logf("the finding stood there after %v", p.says(".finding", "node1"))
	p.cardShows("failing failing failing failing", "failing failing failing failing")
	p.says("#card", "All of the requests get lost on the way from node1 to node3.")
	p.run(click("#card .buttons button"))
	p.says("#card h3", "node3 → node1")
	p.says("#card", "node1 hears node3; all of the answers get lost on the way back.")
	p.run(click("#card .buttons button"))
	p.shot("lab-one-way")
	s.do("heal")
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.await("!document.querySelector('.finding')")

	s.do("inject netpol-ingress 3")
	t.Logf("the finding stood there after %v", p.says(".finding", "node3"))
	// Flows that were there pass on: a path into the pod is degraded until the last of them is replaced.
	p.cardShows("ok degraded ok degraded", "ok ok ok ok")
	p.shot("lab-policy")
	p.run(click("#card .buttons button"))
	p.says("#card h3", "node3 → node1")
	p.cardShows("ok ok ok ok", "ok degraded ok degraded")
	s.do("heal")
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.cardShows("ok ok ok ok", "ok ok ok ok")
}

// lightsTheOverlay holds what the chosen finding lights against what an overlay that is broken at node3 of
// four takes away.
func (p *tab) lightsTheOverlay() {
	p.t.Helper()
	p.says("#list summary", "12 paths of 6 pairs that the chosen finding explains")
	if got, want := p.litPaths(), overlayPaths(4, 3); !slices.Equal(got, want) {
		p.t.Errorf("lit are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// stage starts a lab of four nodes with everything in it, and waits for its server.
func stage(t *testing.T) *synthetic {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	build := exec.Command("go", "build", "-o", programs+"/", "./cmd/netchecker-server", "./cmd/netchecker-agent", "./test/lab/cmd/stage")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s := start(t, exec.Command(filepath.Join(programs, "stage"), "-bin", programs, "-nodes", "4"))
	waitFor(t, "server", func() bool {
		r, err := http.Get(s.url + "api/v1/ping")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
	return s
}

// start starts a program that prints its address and then takes commands; it ends with the test.
func start(t *testing.T, cmd *exec.Cmd) *synthetic {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(cmd.Path), err)
		}
	})
	s := &synthetic{t: t, in: in, out: bufio.NewScanner(out)}
	s.url = s.line()
	return s
}
