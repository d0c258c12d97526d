package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// forker starts programs from one OS thread that lives as long as the lab. The kernel delivers
// the parent-death signal when the thread that forked dies, not the process; no-new-privileges
// and mount namespaces are per thread, too.
type forker struct {
	jobs chan forkJob
	done chan struct{}
}

type forkJob struct {
	run func() error
	err chan error
}

func newForker() (*forker, error) {
	f := &forker{jobs: make(chan forkJob), done: make(chan struct{})}
	ready := make(chan error)
	go f.loop(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("fork thread: %w", err)
	}
	return f, nil
}

// loop never unlocks its thread: the thread ends with it.
func (f *forker) loop(ready chan<- error) {
	defer close(f.done)
	runtime.LockOSThread()
	err := errors.Join(
		unix.Unshare(unix.CLONE_FS),
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	ready <- err
	if err != nil {
		return
	}
	for job := range f.jobs {
		job.err <- job.run()
	}
}

func (f *forker) do(run func() error) error {
	job := forkJob{run: run, err: make(chan error, 1)}
	f.jobs <- job
	return <-job.err
}

func (f *forker) close() {
	close(f.jobs)
	<-f.done
}

// dressed runs fn in the namespace and in a mount namespace of its own, in which /sys shows the
// namespace's devices and /etc/resolv.conf names the cluster's DNS: what a container would see.
func (s *space) dressed(resolv string, fn func() error) (err error) {
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid()))
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNS)) }()
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return s.inside(func() error {
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
		if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
			if err := unix.Mount(resolv, target, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("mount %s: %w", target, err)
			}
		}
		return fn()
	})
}
