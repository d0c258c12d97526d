package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/test/kube/child"
)

// space is a set of namespaces that lives as long as its first process.
type space struct {
	first   *child.Process // unshare, or what entered a space and became it
	pid     int            // of the first process, as seen from outside
	enter   []string       // command that enters the space
	netFile *os.File
}

// newSpace runs the command as the first process of new namespaces: those of net, mount, pid, uts
// and what flags add. They are made inside of what enter enters. The log gets what it writes.
func newSpace(ctx context.Context, enter, flags, command []string, log *os.File) (*space, error) {
	unshare := append([]string{"unshare", "--net", "--mount", "--pid", "--uts"}, flags...)
	unshare = append(unshare, "--fork", "--kill-child", "--mount-proc", "--")
	args := slices.Concat(enter, unshare, command)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	first, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	s := &space{first: first}
	depth := 1 // the child of unshare
	if len(enter) > 0 {
		depth = 2 // nsenter forks, too
	}
	if s.pid, err = s.descendant(ctx, depth); err != nil {
		first.Kill()
		return nil, err
	}
	s.enter = []string{"nsenter", "--wdns=/", "--target=" + strconv.Itoa(s.pid), "--net", "--mount", "--pid", "--uts"}
	s.enter = append(append(s.enter, flags...), "--")
	if s.netFile, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", s.pid)); err != nil {
		first.Kill()
		return nil, err
	}
	return s, nil
}

// descendant waits for the child of the child … of the process that was started.
func (s *space) descendant(ctx context.Context, depth int) (int, error) {
	pid := s.first.Pid()
	for depth > 0 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return 0, fmt.Errorf("namespaces: %w", err)
		}
		if children := strings.Fields(string(text)); len(children) > 0 {
			pid, err = strconv.Atoi(children[0])
			if err != nil {
				return 0, err
			}
			depth--
			continue
		}
		select {
		case <-s.first.Done():
			return 0, fmt.Errorf("namespaces: unshare ended: %v", s.first.Err())
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return pid, nil
}

// command prepares a command inside the space.
func (s *space) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	all := slices.Concat(s.enter, []string{name}, args)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// dial connects from inside the network namespace. The address must be an IP address with a port:
// a name would be resolved outside.
func (s *space) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial in a namespace: %w", err)
	}
	done := make(chan struct{})
	go func() { // a thread of its own, so that one that cannot come back does no harm
		defer close(done)
		conn, err = s.dialHere(ctx, network, address)
	}()
	<-done
	return conn, err
}

func (s *space) dialHere(ctx context.Context, network, address string) (conn net.Conn, err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	if err := unix.Setns(int(s.netFile.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the network namespace: %w", err)
	}
	conn, err = new(net.Dialer).DialContext(ctx, network, address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back) // and the thread ends, since it stays locked
	}
	runtime.UnlockOSThread()
	return conn, err
}

// close kills everything in the space and waits for its end: the first process ends after all others.
func (s *space) close() {
	s.first.Kill()
	s.netFile.Close()
	for range 3000 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", s.pid)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
