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

	"github.com/chromedp/chromedp"
)

// TestThePageInALab has nothing made up: real agents, a real overlay, a real firewall.
func TestThePageInALab(t *testing.T) {
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
	p := open(t, s.url, desk)
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	s.do("inject fw-8472-in 3")
	t.Logf("the finding stood there after %v, without a reload", p.says(".finding", "node3"))
	p.says("#headline", "12 of 56 paths between 4 nodes are failing")
	p.run(chromedp.Click(".finding .say", chromedp.ByQuery))
	p.says("#list summary", "12 paths of 6 pairs that the chosen finding explains")
	if got, want := p.litPaths(), overlayPaths(4, 3); !slices.Equal(got, want) {
		t.Errorf("lit are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	x, y := p.at("node1", "node3")
	p.run(chromedp.MouseClickXY(x, y))
	p.says("#card", "All of the requests get lost on the way from node1 to node3.")
	p.says("#card", "Otherwise than on healthy nodes (2 compared)")
	p.await("document.querySelector('#card .trips svg')")
	p.shot("lab")
	s.do("heal")
	p.says("#headline", "All 56 paths between 4 nodes are ok.")
	p.await("!document.querySelector('.finding')")
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
