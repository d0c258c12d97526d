// Package child starts programs that do not outlive this process, however it ends.
package child

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a program that was started. It leads a process group of its own.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid once done is closed
}

// forks carries the starts to the one thread that does them. The kernel kills the children when the
// thread that forked them ends, not the process, so that thread must live as long as the process.
var forks = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// Start starts the command and waits for its end in the background.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	started := make(chan error)
	forks() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the program ended; only after Done.
func (p *Process) Err() error { return p.err }

// Signal sends a signal to the program's group.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(-p.Pid(), s) }

// Stop asks the program to end, kills its group after the grace, and waits.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	p.Kill()
}

// Kill kills the program's group and waits.
func (p *Process) Kill() {
	select {
	case <-p.done: // its id may be another's by now
	default:
		p.Signal(syscall.SIGKILL)
		<-p.done
	}
}
