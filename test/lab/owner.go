package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stateDir holds one folder per lab with the file "owner": process id and start time of the
// process that made it. A lab is dead when that process is.
const stateDir = "/run/netchecker-lab"

var (
	labName       = regexp.MustCompile(`^[a-z0-9]{1,20}$`)
	namespaceName = regexp.MustCompile(`^nc-([a-z0-9]{1,20})-`)
)

// locked runs fn while no other process claims or sweeps.
func locked(fn func() error) error {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return fn()
}

// claim removes what dead labs left and takes a name for this process.
func claim(name string) error {
	return locked(func() error {
		if _, err := sweep(); err != nil {
			return err
		}
		dir := filepath.Join(stateDir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("lab %q is in use: %w", name, err)
		}
		pid := os.Getpid()
		start, err := startTime(pid)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "owner"), fmt.Appendf(nil, "%d %s\n", pid, start), 0o644)
	})
}

// Clean removes the namespaces, processes and state of labs whose owner is dead, and returns the
// names of those labs. Start does the same.
func Clean() (names []string, err error) {
	err = locked(func() (err error) {
		names, err = sweep()
		return err
	})
	return names, err
}

func sweep() ([]string, error) {
	dead := map[string]bool{}
	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && !ownerAlive(e.Name()) {
			dead[e.Name()] = true
		}
	}
	spaces, err := os.ReadDir(netnsDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range spaces {
		m := namespaceName.FindStringSubmatch(e.Name())
		if m != nil && !ownerAlive(m[1]) {
			dead[m[1]] = true
		}
	}
	var names []string
	var errs []error
	for name := range dead {
		names = append(names, name)
		errs = append(errs, erase(name))
	}
	return names, errors.Join(errs...)
}

// ownerAlive reports whether the process that made the lab still runs. A lab without an owner
// file has no owner: claim writes it before the first namespace exists.
func ownerAlive(name string) bool {
	data, err := os.ReadFile(filepath.Join(stateDir, name, "owner"))
	if err != nil {
		return false
	}
	pidText, start, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	pid, err := strconv.Atoi(pidText)
	if err != nil {
		return false
	}
	now, err := startTime(pid)
	return err == nil && now == start
}

// startTime is field 22 of /proc/PID/stat, in clock ticks since boot. The command name before it
// may hold spaces and parentheses. A zombie counts as gone.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 || string(fields[0]) == "Z" {
		return "", fmt.Errorf("process %d: no start time", pid)
	}
	return string(fields[19]), nil
}

// erase removes every trace of a lab: processes first, state last.
func erase(name string) error {
	paths, err := filepath.Glob(filepath.Join(netnsDir, "nc-"+name+"-*"))
	if err != nil {
		return err
	}
	errs := []error{killInside(paths)}
	for _, path := range paths {
		// EINVAL: the namespace was never mounted on its name, or no longer is.
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", path, err))
		}
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(stateDir, name)))...)
}

// killInside kills every process whose network namespace is one of the named ones, whoever
// started it, and waits until they are gone.
func killInside(paths []string) error {
	inodes := map[uint64]bool{}
	for _, path := range paths {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && isNSFS(path) {
			inodes[st.Ino] = true
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	for range 100 {
		pids := processesIn(inodes)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("processes survive SIGKILL in %v", paths)
}

// isNSFS tells a mounted namespace from the bare file that a killed process left.
func isNSFS(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

func processesIn(inodes map[uint64]bool) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) == nil && inodes[st.Ino] {
			pids = append(pids, pid)
		}
	}
	return pids
}
