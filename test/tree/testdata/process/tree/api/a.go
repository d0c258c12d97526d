package api

import (
	"flag"
	stdos "os"
)

func bad() {
	_ = stdos.Getenv("HOME")
	flag.Parse()
	stdos.Exit(1)
}

func good() {
	_, _ = stdos.ReadFile("x")
	var stdos struct{ Exit func(int) }
	stdos.Exit(1)
}
