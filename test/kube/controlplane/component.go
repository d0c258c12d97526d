package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"netchecker/test/kube/child"
)

// patience is how long a component may take to be ready, on a machine that has other things to do.
const patience = 3 * time.Minute

// Component is etcd or the API server. Its methods are for one goroutine at a time.
type Component struct {
	name    string
	program string
	args    []string
	log     string // file
	ready   func(ctx context.Context) error
	process *child.Process
}

// Start starts it, with more flags if wanted, and returns when it is ready. Its data and its port are
// those of the run before.
func (c *Component) Start(ctx context.Context, flags ...string) error {
	if c.process != nil {
		return fmt.Errorf("%s runs already", c.name)
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(c.program, append(append([]string{}, c.args...), flags...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, filepath.Dir(c.log)
	if c.process, err = child.Start(cmd); err != nil {
		return err
	}
	if err := c.await(ctx); err != nil {
		c.Kill()
		return fmt.Errorf("%s: %w\n%s", c.name, err, tail(c.log, 15))
	}
	return nil
}

func (c *Component) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := c.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.process.Done():
			return fmt.Errorf("ended: %v", c.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Kill is kill -9. A killed component stays away until Start.
func (c *Component) Kill() {
	if c.process != nil {
		c.process.Kill()
		c.process = nil
	}
}

// Freeze stops it without closing its connections: it answers nobody, as on a machine that hangs.
func (c *Component) Freeze() error { return c.process.Signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (c *Component) Thaw() error { return c.process.Signal(syscall.SIGCONT) }

// tail returns the last lines of a file.
func tail(file string, n int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
