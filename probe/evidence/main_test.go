package evidence

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"netchecker/probe"
)

// childVariable makes the test binary a reader: it reads, waits and reads again, and writes the
// second snapshot in its wire form.
const childVariable = "NETCHECKER_TEST_READER"

// TestMain fails when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	if order := os.Getenv(childVariable); order != "" {
		if err := runReader(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := runtime.NumGoroutine()
	status := m.Run()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing.Value.String() != "" {
		os.Exit(status) // its workers leave package os/signal running
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			status = 1
			break
		}
	}
	os.Exit(status)
}

// order tells a child what to read: its addresses, its peers', between two readings how long to
// wait, and whether to read the packet filter.
func order(self, peers []netip.Addr, wait time.Duration, privileged bool) string {
	return fmt.Sprintf("%s|%s|%s|%t", join(self), join(peers), wait, privileged)
}

func join(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ",")
}

func runReader(order string) error {
	if os.Geteuid() == 0 {
		return fmt.Errorf("the reader has user 0: it must do without")
	}
	parts := strings.Split(order, "|")
	i := Interest{Ports: []uint16{echoPort}}
	for at, list := range []*[]netip.Addr{&i.Self, &i.Peers} {
		for text := range strings.SplitSeq(parts[at], ",") {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return err
			}
			*list = append(*list, a)
		}
	}
	wait, err := time.ParseDuration(parts[2])
	if err != nil {
		return err
	}
	r := NewReader(parts[3] == "true")
	if _, err := r.Read(context.Background(), i); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "ready")
	time.Sleep(wait)
	s, err := r.Read(context.Background(), i)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(probe.AppendSnapshot(nil, s))
	return err
}
