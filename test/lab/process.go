package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// nobody is the user and group of programs under test.
const nobody = 65534

// Process is a program in a namespace of the lab. Set the fields before Start.
//
// It runs as user and group 65534 without capabilities and can gain none, in a mount namespace
// where /sys shows the namespace's devices and /etc/resolv.conf is a pod's. It dies with the
// process that owns the lab.
type Process struct {
	Args           []string // Args[0] is the program
	Env            []string // nil means the environment of this process
	Dir            string   // empty means /
	Stdout, Stderr io.Writer
	Root           bool      // run as root with all capabilities
	Caps           []uintptr // capabilities that user 65534 keeps, e.g. unix.CAP_NET_ADMIN

	lab  *Lab
	ns   string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid once done is closed
}

// Command prepares a program for a namespace; see Process.
func (l *Lab) Command(ns, name string, args ...string) *Process {
	return &Process{Args: append([]string{name}, args...), lab: l, ns: ns, done: make(chan struct{})}
}

// Start starts the program.
func (p *Process) Start() error {
	s, err := p.lab.space(p.ns)
	if err != nil {
		return err
	}
	program, err := p.open()
	if err != nil {
		return fmt.Errorf("start in %s: %w", p.ns, err)
	}
	if program != nil {
		defer program.Close()
	}
	l := p.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("start in %s: the lab is closed", p.ns)
	}
	resolv := filepath.Join(stateDir, l.cfg.Name, "resolv.conf")
	if err := l.fork.do(func() error { return s.dressed(resolv, p.cmd.Start) }); err != nil {
		if p.cmd.Process != nil { // it runs, but the thread could not return
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
		return fmt.Errorf("start %s in %s: %w", p.Args[0], p.ns, err)
	}
	l.procs[p] = true
	go p.reap()
	return nil
}

// open fills p.cmd. A binary is opened here and executed by its descriptor, so that it may lie
// where user 65534 cannot go, such as the folder of a test.
func (p *Process) open() (*os.File, error) {
	path, err := exec.LookPath(p.Args[0])
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	program, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var magic [2]byte
	if _, err := io.ReadFull(program, magic[:]); err == nil && string(magic[:]) == "#!" {
		program.Close()
		program = nil // its interpreter has to find it by name
	} else {
		path = fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	}
	p.cmd = &exec.Cmd{
		Path: path, Args: p.Args, Env: p.Env, Dir: cmp.Or(p.Dir, "/"), Stdout: p.Stdout, Stderr: p.Stderr, WaitDelay: time.Second,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true},
	}
	if !p.Root {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		p.cmd.SysProcAttr.AmbientCaps = p.Caps
	}
	return program, nil
}

func (p *Process) reap() {
	p.err = p.cmd.Wait()
	p.lab.mu.Lock()
	delete(p.lab.procs, p)
	p.lab.mu.Unlock()
	close(p.done)
}

// Pid returns the process id of a started program.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the program, or of ctx.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop asks the program to end (SIGTERM), kills it after the grace, and waits. The error is that
// of Wait: nil if the program ended well.
func (p *Process) Stop(grace time.Duration) error {
	p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
	}
	return p.err
}

// Kill kills the program and its children, and waits.
func (p *Process) Kill() {
	if err := syscall.Kill(-p.Pid(), syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
		p.cmd.Process.Kill()
	}
	<-p.done
}

// processes returns those whose short namespace name the filter accepts.
func (l *Lab) processes(in func(short string) bool) []*Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*Process
	for p := range l.procs {
		if in(strings.TrimPrefix(p.ns, l.fullName(""))) {
			found = append(found, p)
		}
	}
	return found
}

func (l *Lab) stopProcesses(grace time.Duration) {
	var wg sync.WaitGroup
	for _, p := range l.processes(func(string) bool { return true }) {
		wg.Go(func() { p.Stop(grace) })
	}
	wg.Wait()
}

func (l *Lab) killProcesses(ns string) {
	short := strings.TrimPrefix(ns, l.fullName(""))
	for _, p := range l.processes(func(s string) bool { return s == short }) {
		p.Kill()
	}
}
