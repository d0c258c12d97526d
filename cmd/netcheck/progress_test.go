package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestWaitsWithinOneAnotherAreOneLine(t *testing.T) {
	p := &progress{w: io.Discard}
	outer := p.begin("reading the history")
	inner := p.begin("waiting for the\x1b[31m server")
	if got := p.line(2 * time.Second); got != "2s  reading the history: waiting for the?[31m server" {
		t.Errorf("%q", got)
	}
	inner.end()
	inner.end() // once more is nothing
	outer.now("reading the history, " + strings.Repeat("9", 100) + " changes")
	if got := p.line(3 * time.Minute); !strings.HasPrefix(got, "3m  reading the history, 99") || len([]rune(got)) != 79 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d characters: %q", len([]rune(got)), got)
	}
	outer.end()
	again := p.begin("a second wait") // after all have ended
	again.end()
	var nobody *progress
	w := nobody.begin("nothing")
	w.now("nothing")
	w.end()
}
