package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long a daemon may take to be ready, on a machine that has other things to do.
const patience = 3 * time.Minute

// Daemon is a program that runs until it is killed and can be started again, such as etcd. Its
// methods are for one goroutine at a time.
type Daemon struct {
	// Name is what errors call it.
	Name string
	// Command is the program with its arguments.
	Command []string
	// Env is added to the environment of this process.
	Env []string
	// Log is the file that gets what it writes, of all its runs.
	Log string
	// Ready returns nil once it does its work; it is asked again and again.
	Ready func(ctx context.Context) error

	process *Process
}

// Start starts it, with more flags if wanted, and returns when it is ready. Its data and its port are
// those of the run before.
func (d *Daemon) Start(ctx context.Context, flags ...string) error {
	if d.process != nil {
		return fmt.Errorf("%s runs already", d.Name)
	}
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	args := append(append([]string{}, d.Command...), flags...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, filepath.Dir(d.Log)
	cmd.Env = append(os.Environ(), d.Env...)
	process, err := Start(cmd)
	if err != nil {
		return err
	}
	d.process = process
	if err := d.await(ctx); err != nil {
		d.Kill()
		return fmt.Errorf("%s: %w\n%s", d.Name, err, d.Tail(15))
	}
	return nil
}

func (d *Daemon) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := d.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.process.Done():
			return fmt.Errorf("ended: %v", d.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Pid returns the id of the process that was started; only while it runs.
func (d *Daemon) Pid() int { return d.process.Pid() }

// Kill is kill -9. A killed daemon stays away until Start.
func (d *Daemon) Kill() {
	if d.process != nil {
		d.process.Kill()
		d.process = nil
	}
}

// Freeze stops it without closing its connections: it answers nobody, as on a machine that hangs.
func (d *Daemon) Freeze() error { return d.process.Signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (d *Daemon) Thaw() error { return d.process.Signal(syscall.SIGCONT) }

// Tail returns the last lines of its log.
func (d *Daemon) Tail(lines int) string {
	text, err := os.ReadFile(d.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
