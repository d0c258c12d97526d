package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"netchecker/test/lab"
)

// ownName is a lab name that no other test process uses; TestMain looks for leftovers by it.
func ownName(suffix string) string { return fmt.Sprintf("t%dx%s", os.Getpid(), suffix) }

func namespaces(t *testing.T, name string) []string {
	t.Helper()
	left, err := filepath.Glob("/run/netns/nc-" + name + "*")
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestMain(m *testing.M) {
	if name := os.Getenv("LAB_VICTIM"); name != "" {
		victim(name)
	}
	before := links()
	code := m.Run()
	left, _ := filepath.Glob("/run/netns/nc-" + ownName("*"))
	state, _ := filepath.Glob("/run/netchecker-lab/" + ownName("*"))
	for _, link := range links() {
		if labLink.MatchString(link) && !slices.Contains(before, link) {
			left = append(left, "link "+link)
		}
	}
	if left = append(left, state...); len(left) > 0 {
		fmt.Println("left behind:", left)
		code = 1
	}
	os.Exit(code)
}

var labLink = regexp.MustCompile(`^((p|br|up|down|veth|x|d|e)\d+|cni0|flannel\.1)$`)

// links are those of the machine's own network.
func links() (names []string) {
	all, _ := net.Interfaces()
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}

// victim is the process that TestKilledLabIsRemoved kills: it builds a lab with a program in it
// and says so.
func victim(name string) {
	l, err := lab.Start(context.Background(), lab.Config{Nodes: 20, Name: name})
	if err != nil {
		fmt.Println("start:", err)
		os.Exit(1)
	}
	// The child leaves its parent's session and stays when that dies.
	p := l.Command("pod7", "sh", "-c", "setsid sleep 1000 & echo child $!; exec sleep 1000")
	p.Stdout = os.Stdout
	if err := p.Start(); err != nil {
		fmt.Println("program:", err)
		os.Exit(1)
	}
	fmt.Println("program", p.Pid())
	select {}
}

func TestKilledLabIsRemovedByTheNextStart(t *testing.T) {
	t.Parallel()
	needRoot(t)
	name := ownName("victim")
	survivor := start(t, lab.Config{Nodes: 1})
	t.Run("half way", func(t *testing.T) {
		cmd, _ := startVictim(t, name)
		for range 500 {
			if len(namespaces(t, name)) > 5 {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
		cmd.Process.Kill()
		cmd.Wait()
		restart(t, name)
	})
	t.Run("with programs", func(t *testing.T) {
		cmd, out := startVictim(t, name)
		pids := map[string]int{}
		for len(pids) < 2 && out.Scan() {
			if key, value, found := strings.Cut(out.Text(), " "); found {
				pids[key], _ = strconv.Atoi(value)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		if len(pids) != 2 {
			t.Fatalf("victim said %v", pids)
		}
		for range 100 {
			if !alive(pids["program"]) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if alive(pids["program"]) {
			t.Error("the program outlives the process that owned its lab")
		}
		restart(t, name)
		if alive(pids["child"]) {
			t.Error("a program in a removed namespace runs")
		}
	})
	if err := survivor.Do("node1", func() error { return nil }); err != nil {
		t.Errorf("a live lab was touched: %v", err)
	}
}

func startVictim(t *testing.T, name string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_VICTIM="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// restart uses the dead lab's name, so that any leftover would be in the way.
func restart(t *testing.T, name string) {
	t.Helper()
	if len(namespaces(t, name)) == 0 {
		t.Error("the killed lab left nothing: the test is void")
	}
	l := start(t, lab.Config{Nodes: 2, Name: name})
	if got, want := len(namespaces(t, name)), 1+2*2+2; got != want {
		t.Errorf("%d namespaces, want %d", got, want)
	}
	if err := ping(l, "pod1", l.Pod(2).Addr, 56, false); err != nil {
		t.Error(err)
	}
}
