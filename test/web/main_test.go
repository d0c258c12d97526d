// Package web proves the page in a real browser against a real server whose agents are made up,
// and once in a lab, and holds the API's description against what the server really answers. It is
// a module of its own, so that neither the browser's driver nor the validator is a dependency of
// the product.
package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// programs is the folder with the programs under test.
var programs string

// browser is the one Chromium that all tests open their pages in; nil when there is none.
var browser context.Context

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "netchecker-web-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // agents of a lab run as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	programs = dir
	build := exec.Command("go", "build", "-o", dir+"/", "./test/synthetic")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		fmt.Fprintln(os.Stderr, "no chromium: run test/setup.sh as root")
		return m.Run() // the tests that need it fail by name
	}
	// The flags keep the browser from looking for anything outside this machine.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("enable-precise-memory-info", true), chromedp.WSURLReadTimeout(60*time.Second))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chromium:", err)
		return 1
	}
	browser = ctx
	return m.Run()
}

// synthetic is a running server with made-up agents.
type synthetic struct {
	t   *testing.T
	url string
	in  io.WriteCloser
	out *bufio.Scanner
}

// serve starts one with the flags; it ends with the test.
func serve(t *testing.T, flags ...string) *synthetic {
	t.Helper()
	return start(t, exec.Command(filepath.Join(programs, "synthetic"), flags...))
}

func (s *synthetic) line() string {
	s.t.Helper()
	if !s.out.Scan() {
		s.t.Fatal("synthetic ended: ", s.out.Err())
	}
	return s.out.Text()
}

// do gives the world a command.
func (s *synthetic) do(command string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		s.t.Fatal(err)
	}
	if answer := s.line(); answer != "ok" {
		s.t.Fatalf("%s: %s", command, strings.TrimPrefix(answer, "error: "))
	}
}

// waitFor waits until done says so.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begun := time.Now(); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}
