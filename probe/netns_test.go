package probe_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is two network namespaces joined by a veth: a has 10.99.0.1 and fd99::1, b has 10.99.0.2 and
// fd99::2 and answers for all of 10.98.0.0/16 and fd98::/64.
type pair struct{ a, b string }

// newPair makes the namespaces and removes them when the test ends; it skips where that is not permitted.
func newPair(t testing.TB) pair {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need ip(8)")
	}
	p := pair{a: fmt.Sprintf("ncprobe-a-%d", os.Getpid()), b: fmt.Sprintf("ncprobe-b-%d", os.Getpid())}
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", p.a).Run()
		_ = exec.Command("ip", "netns", "del", p.b).Run()
	})
	for _, name := range []string{p.a, p.b} {
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("network namespaces are not permitted here: %v: %s", err, out)
		}
	}
	script := `
ip -n A link add eth0 type veth peer name eth0 netns B
for n in A B; do ip -n $n link set lo up; ip netns exec $n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0; ip -n $n link set eth0 up; done
ip -n A addr add 10.99.0.1/24 dev eth0; ip -n B addr add 10.99.0.2/24 dev eth0
ip -n A addr add fd99::1/64 dev eth0 nodad; ip -n B addr add fd99::2/64 dev eth0 nodad
ip -n A route add 10.98.0.0/16 via 10.99.0.2; ip -n B route add local 10.98.0.0/16 dev lo
ip -n A route add fd98::/64 via fd99::2; ip -n B route add local fd98::/64 dev lo
ip netns exec B sysctl -qw net.ipv6.ip_nonlocal_bind=1 net.ipv4.icmp_ratelimit=0
for n in A B; do ip netns exec $n ethtool -K eth0 tso off gso off gro off >/dev/null 2>&1 || true; done
`
	script = strings.NewReplacer("-n A", "-n "+p.a, "-n B", "-n "+p.b, "netns B", "netns "+p.b, "in A B", "in "+p.a+" "+p.b, "exec B", "exec "+p.b).Replace(script)
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("set up namespaces: %v: %s", err, out)
	}
	return p
}

// sh runs a command line in a namespace.
func sh(t testing.TB, namespace, line string) {
	t.Helper()
	if out, err := exec.Command("ip", "netns", "exec", namespace, "sh", "-ec", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %q: %v: %s", namespace, line, err, out)
	}
}

// inside runs f on a thread of its own in a namespace; sockets that f opens stay there.
func inside(t testing.TB, namespace string, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		fd, err := unix.Open("/var/run/netns/"+namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("enter namespace %q: %v", namespace, err)
	}
}
