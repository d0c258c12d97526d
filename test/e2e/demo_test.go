package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// demoStory is what a demonstration must have said when it has shown everything.
var demoStory = []string{"all 56 paths ok after", "all failing paths named after", "FAILING", "all 56 paths ok again after", "curl http://127.0.0.1:31081/api/v1/connectivity_check"}

// runDemo runs the demonstration as a user and interrupts it once it has told its story, as Ctrl-C does.
func runDemo(t *testing.T, uid uint32) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var out syncBuffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "netcheck"), "demo")
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil && !strings.Contains(out.String(), "Ctrl-C ends it") {
		time.Sleep(100 * time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("demo: %v", err)
	}
	for _, part := range demoStory {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the demonstration did not say %q", part)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	return out.String()
}

func TestTheDemonstrationAsRootBreaksARealOverlay(t *testing.T) {
	out := runDemo(t, 0)
	if !strings.Contains(out, "UDP port 8472 (vxlan) is blocked inbound at node3") {
		t.Errorf("it does not say what is broken:\n%s", out)
	}
	if !strings.Contains(out, "iptables -I INPUT -p udp --dport 8472 -j DROP") {
		t.Errorf("it does not say how it breaks the overlay:\n%s", out)
	}
}

func TestTheDemonstrationWithoutRootSaysWhatItCannotShow(t *testing.T) {
	if out := runDemo(t, 65534); !strings.Contains(out, "it cannot show a real network break") {
		t.Errorf("it does not say what it cannot show:\n%s", out)
	}
}

// syncBuffer is a buffer that one goroutine fills while another reads it.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
