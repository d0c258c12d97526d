package lab_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/test/lab"
)

func TestProgramRunsUnprivilegedInAContainerLikePlace(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 2})
	var out bytes.Buffer
	p := l.Command(l.Pod(2).Namespace, "sh", "-c",
		"id -u; id -g; id -G; grep -E 'CapEff|CapPrm|CapAmb|NoNewPrivs' /proc/self/status; ls /sys/class/net; cat /etc/resolv.conf; ip -4 -o addr; cat /proc/self/comm")
	p.Stdout, p.Stderr = &out, &out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"65534 65534 65534 ", "CapPrm: 0000000000000000", "CapEff: 0000000000000000", "NoNewPrivs: 1",
		" eth0 lo nameserver 10.96.0.10", "10.244.2.2/24"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if hostname := "nameserver " + lab.DNSVIP; strings.Contains(readFile(t, "/etc/resolv.conf"), hostname) {
		t.Error("the machine's own resolv.conf was changed")
	}
}

func TestProgramKeepsTheCapabilitiesItIsGiven(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 1})
	var out bytes.Buffer
	p := l.Command("node1", "iptables", "-w", "-S", "KUBE-FORWARD")
	p.Stdout, p.Stderr = &out, &out
	p.Caps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
	p.Env = append(os.Environ(), "XTABLES_LOCKFILE=/dev/null")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil || !strings.Contains(out.String(), "ESTABLISHED") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// The folder of a test is closed to user 65534.
func TestProgramMayLieWhereItsUserCannotGo(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 1})
	source, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prog"), []byte(readFile(t, source)), 0o755); err != nil {
		t.Fatal(err)
	}
	p := l.Command("pod1", filepath.Join(dir, "prog"))
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopAsksFirstAndKillsAfterTheGrace(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 1})
	polite := startProgram(t, l, "pod1", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")
	deaf := startProgram(t, l, "pod1", "sh", "-c", "trap '' TERM; while :; do sleep 0.01; done")
	time.Sleep(100 * time.Millisecond) // let the shells set their traps
	if err := polite.Stop(5 * time.Second); err != nil {
		t.Errorf("polite program: %v", err)
	}
	if err := deaf.Stop(100 * time.Millisecond); err == nil {
		t.Error("deaf program ended well")
	}
	if alive(polite.Pid()) || alive(deaf.Pid()) {
		t.Error("a stopped program runs")
	}
}

func TestCloseEndsPrograms(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 1})
	p := startProgram(t, l, "node1", "sleep", "1000")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(p.Pid()) {
		t.Error("the program outlives its lab")
	}
	if err := l.Command("node1", "true").Start(); err == nil {
		t.Error("a closed lab starts a program")
	}
}

func TestPowerOffKillsTheNodesProgramsAndCallsTheHooks(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 3})
	var killed, revived []int
	l.NodeKilled = func(node int) { killed = append(killed, node) }
	l.NodeRevived = func(node int) { revived = append(revived, node) }
	young, err := l.ReplacePod(3)
	if err != nil {
		t.Fatal(err)
	}
	dead := []*lab.Process{startProgram(t, l, "node3", "sleep", "1000"), startProgram(t, l, young.Namespace, "sleep", "1000")}
	other := startProgram(t, l, l.Pod(2).Namespace, "sleep", "1000")
	heal, err := l.Inject(t.Context(), "node-dead", 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range dead {
		if alive(p.Pid()) {
			t.Error("a program of the dead node runs")
		}
	}
	if !alive(other.Pid()) {
		t.Error("a program of another node was killed")
	}
	for range 2 {
		if err := heal(); err != nil {
			t.Error(err)
		}
	}
	if len(killed) != 1 || len(revived) != 1 || killed[0] != 3 || revived[0] != 3 {
		t.Errorf("hooks: killed %v, revived %v, want one call each for node 3", killed, revived)
	}
}

func startProgram(t *testing.T, l *lab.Lab, ns, name string, args ...string) *lab.Process {
	t.Helper()
	p := l.Command(ns, name, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	return !strings.Contains(string(data), ") Z ")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
