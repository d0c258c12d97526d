package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is a writer that can be read while it is written to.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestLabStaysUntilItIsInterrupted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	name := fmt.Sprintf("c%d", os.Getpid())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out output
	done := make(chan error)
	go func() {
		done <- run(ctx, []string{"-nodes", "3", "-zones", "3", "-ipv6", "-name", name, "-fault", "sg-pair:1,2", "-fault", "coredns-dead"}, &out)
	}()
	for begin := time.Now(); !strings.Contains(out.String(), "Ctrl-C"); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("not up: %s", out.String())
		}
	}
	for _, want := range []string{"nc-" + name + "-pod3", "fd00:10:244:3::2", "zone3", "10.96.0.81:8081", "sg-pair 1,2 is in force"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/run/netns/nc-" + name + "-node1"); err == nil {
		t.Error("a namespace is left behind")
	}
}

func TestWrongFaultsAreRefused(t *testing.T) {
	for _, spec := range []string{"nothing", "sg-pair:x", "nic-down:1,"} {
		if err := run(t.Context(), []string{"-fault", spec}, io.Discard); err == nil {
			t.Errorf("-fault %s is accepted", spec)
		}
	}
}

func TestFaultsAreListed(t *testing.T) {
	var out output
	if err := run(t.Context(), []string{"-faults"}, &out); err != nil {
		t.Fatal(err)
	}
	if want := "sg-pair:node,node"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in %s", want, out.String())
	}
}
