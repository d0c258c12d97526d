package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is how long nothing is said about a wait.
const quiet = time.Second

// progress tells somebody at a terminal what is waited for, once that is long: one line that goes
// when the wait is over. A nil one tells nobody.
type progress struct {
	w io.Writer

	mu         sync.Mutex
	waits      []*wait // what is waited for within what, the outermost first
	stop, done chan struct{}
}

// wait is something that is waited for.
type wait struct {
	of   *progress
	what string
}

// begin begins a wait, which must be ended. Waits of several goroutines would be shown as one within another.
func (p *progress) begin(what string) *wait {
	if p == nil {
		return nil
	}
	w := &wait{p, what}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits = append(p.waits, w); len(p.waits) == 1 {
		p.stop, p.done = make(chan struct{}), make(chan struct{})
		go p.run(p.stop, p.done)
	}
	return w
}

// now says how far it has got.
func (w *wait) now(what string) {
	if w == nil {
		return
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.what = what
}

// end ends the wait, once. When it was the last one, nothing is left on the terminal.
func (w *wait) end() {
	if w == nil {
		return
	}
	p := w.of
	p.mu.Lock()
	at := slices.Index(p.waits, w)
	if at >= 0 {
		p.waits = slices.Delete(p.waits, at, at+1)
	}
	last := at >= 0 && len(p.waits) == 0
	p.mu.Unlock()
	if last {
		close(p.stop)
		<-p.done
	}
}

func (p *progress) run(stop, done chan struct{}) {
	defer close(done)
	began, said := time.Now(), false
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			if said {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case <-tick.C:
			said = true
			fmt.Fprint(p.w, "\r"+p.line(time.Since(began))+"\x1b[K")
		}
	}
}

// line is what is waited for and since when, as much as fits.
func (p *progress) line(since time.Duration) string {
	p.mu.Lock()
	var whats []string
	for _, w := range p.waits {
		whats = append(whats, w.what)
	}
	p.mu.Unlock()
	_, columns := sizeOf(p.w)
	return fit(ago(since)+"  "+clean(strings.Join(whats, ": ")), columns-1)
}

// sizeOf is the size of a terminal, or what is usual.
func sizeOf(w io.Writer) (rows, columns int) {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 2 && size.Col > 10 {
			return int(size.Row), int(size.Col)
		}
	}
	return 24, 80
}

// fit cuts a line to a width.
func fit(line string, columns int) string {
	if runes := []rune(line); len(runes) > columns {
		return string(runes[:columns-1]) + "…"
	}
	return line
}
