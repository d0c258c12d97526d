package controlplane_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"netchecker/test/kube/controlplane"
	"netchecker/test/kube/scratch"
)

// asVictim makes this test binary a program that starts a control plane and waits to be killed.
const asVictim = "NETCHECKER_PLANE_VICTIM"

func victim() int {
	p, err := controlplane.Start(context.Background())
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(p.Etcd.Pid(), p.API.Pid(), p.Kubeconfig)
	select {}
}

func TestAKilledOwnerLeavesNoProcessAndTheNextOneRemovesItsFolder(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asVictim+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	var etcd, api int
	var kubeconfig string
	if n, err := fmt.Sscan(line, &etcd, &api, &kubeconfig); n != 3 {
		t.Fatalf("the victim says %q: %v", line, err)
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	for _, pid := range []int{etcd, api} {
		for deadline := time.Now().Add(time.Minute); alive(pid); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
	folder, err := scratch.New("netchecker-plane", nil)
	must(t, err)
	must(t, folder.Close())
	if _, err := os.Stat(kubeconfig); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", kubeconfig, err)
	}
}

// alive reports whether a process runs. One that nobody has waited for yet does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
