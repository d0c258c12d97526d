package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// person is somebody with netcheck and a way to the server.
type person struct {
	t   *testing.T
	url string
}

// types runs netcheck and returns its exit status and what it printed.
func (p *person) types(args ...string) (int, string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(bin, "netcheck"), args...)
	cmd.Env = append(os.Environ(), "NETCHECKER_SERVER="+p.url)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// reads runs netcheck, which must work and print every part.
func (p *person) reads(parts []string, args ...string) {
	p.t.Helper()
	status, out := p.types(args...)
	if status != 0 {
		p.t.Errorf("netcheck %s: status %d: %s", strings.Join(args, " "), status, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			p.t.Errorf("netcheck %s: no %q in\n%s", strings.Join(args, " "), part, out)
		}
	}
}

// expects waits until netcheck check ends with a status.
func (p *person) expects(status int, says string) {
	p.t.Helper()
	for began := time.Now(); ; pause(p.t.Context()) {
		got, out := p.types("check")
		if got == status && strings.HasPrefix(out, says) {
			p.t.Logf("check: %s", strings.TrimSpace(out))
			return
		}
		if time.Since(began) > patience {
			p.t.Fatalf("netcheck check: status %d, want %d: %s", got, status, out)
		}
	}
}

// TestAPersonSeesAFaultBeforeDuringAndAfterIt breaks the overlay of a node and asks in every way there is,
// also once the server has been started anew.
func TestAPersonSeesAFaultBeforeDuringAndAfterIt(t *testing.T) {
	data, err := os.MkdirTemp("", "netchecker-e2e-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	if err := os.Chmod(data, 0o777); err != nil { // the server runs as user 65534
		t.Fatal(err)
	}
	c := start(t, lab.Config{Nodes: 4}, cluster.Config{ServerArgs: []string{"-diagnose", "-data-dir=" + data}})
	at := c.Lab.ServerPod()
	to := fmt.Sprintf("%s:%d", at.Addr, lab.ServerPort)
	endpoint, err := c.Lab.Forward(t.Context(), "127.0.0.1:0", at.Namespace, to)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t, "http://" + endpoint.String()}
	p.expects(0, "ok: 56 paths between 4 nodes")
	p.reads([]string{"nothing is found"}, "findings")
	p.reads([]string{"node2: OK", "FINDINGS\n  none", "AS ON HEALTHY NODES"}, "explain", "node2")
	time.Sleep(3 * time.Second) // history is written once a second: all is well in it, too
	before := time.Now().UTC()
	time.Sleep(2 * time.Second)
	heal, err := c.Lab.Inject(t.Context(), "fw-8472-in", 2)
	if err != nil {
		t.Fatal(err)
	}
	p.expects(2, "failing: ")
	awaitFinding(t, c, "overlay_broken")
	p.reads([]string{"critical: ", "overlay_broken", "check: "}, "findings")
	p.reads([]string{"node2: FAILING", "overlay_broken", "node2/host", "udp   failing", "100% lost, there 100%", "HEALTHY NODES"}, "explain", "node2")
	p.reads([]string{"node1 -> node2: FAILING", "pod-to-pod", "host-to-host"}, "explain", "node1", "node2")
	p.reads([]string{"failing  node1", "pod-to-pod"}, "pairs", "--state", "failing", "--destination", "node2")
	p.reads([]string{"FAILING", "overlay"}, "matrix")
	during := time.Now().UTC()
	time.Sleep(3 * time.Second)
	if err := heal(); err != nil {
		t.Fatal(err)
	}
	awaitAllOK(t, c)
	for began := time.Now(); !quietNow(t, c); pause(t.Context()) {
		if time.Since(began) > patience {
			t.Fatalf("still found after healing: %+v", findings(t, c))
		}
	}
	p.expects(0, "ok: 56 paths")
	past(t, c, p, before, during)

	if err := c.StopServer(); err != nil {
		t.Error(err)
	}
	if status, out := p.types("check"); status != 1 || !strings.HasPrefix(out, "cannot tell: ") {
		t.Errorf("without a server: status %d: %s", status, out)
	}
	stopped := time.Now().UTC()
	time.Sleep(2 * time.Second)
	if err := c.StartServer(); err != nil {
		t.Fatal(err)
	}
	p.expects(0, "ok: 56 paths")
	past(t, c, p, before, during)
	if status, out := p.types("matrix", "--at", stopped.Add(time.Second).Format(time.RFC3339Nano)); status != 1 || !strings.Contains(out, "when no server watched") {
		t.Errorf("a moment without a server: status %d: %s", status, out)
	}
	for bad, says := range map[string]string{"yesterday": "want a time such as", "2100-01-01T00:00:00Z": "lies in the future", "48h": "remembered is what happened from"} {
		if status, out := p.types("matrix", "--at", bad); status != 1 || !strings.Contains(out, says) || strings.Count(out, "\n") != 1 {
			t.Errorf("at %s: status %d: %s", bad, status, out)
		}
	}
}

// past asks for what was.
func past(t *testing.T, c *cluster.Cluster, p *person, before, during time.Time) {
	t.Helper()
	form := func(at time.Time) string { return at.Format(time.RFC3339Nano) }
	p.reads([]string{"node1", "node2", "pod-to-pod", "ok > failing", "  failing > ", "finding", "began", "ended"}, "history", "--since", form(before), "--state", "failing", "--destination", "node2")
	p.reads([]string{"overlay_broken", " to "}, "findings", "--since", form(before))
	p.reads([]string{"nothing is found"}, "findings", "--at", form(before))
	p.reads([]string{"overlay_broken"}, "findings", "--at", form(during))
	m, err := c.Matrix(t.Context(), url.Values{"at": {form(before)}})
	if err != nil || m.State != "ok" || len(m.Pairs) != 0 {
		t.Errorf("the moment before: %+v, %v", m, err)
	}
	m, err = c.Matrix(t.Context(), url.Values{"at": {form(during)}, "state": {"failing"}})
	if err != nil || m.State != "failing" {
		t.Fatalf("the moment in between: %v", err)
	}
	got := map[string]int{}
	for _, pair := range m.Pairs {
		if pair.Source == "node2" || pair.Destination == "node2" {
			got[pair.Path]++
		} else {
			t.Errorf("%s > %s was failing?", pair.Source, pair.Destination)
		}
	}
	if got["pod-to-pod"] != 6 || got["host-to-pod"] != 6 || len(got) != 2 {
		t.Errorf("failing in between: %v", got)
	}
	var list struct{ Findings []finding }
	if status, out := p.types("findings", "--since", form(before), "-o", "json"); status != 0 || json.Unmarshal([]byte(out), &list) != nil ||
		len(list.Findings) == 0 || list.Findings[0].ClosedAt == nil {
		t.Errorf("findings as JSON: %d: %s", status, out)
	}
}

func awaitFinding(t *testing.T, c *cluster.Cluster, kind string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; pause(t.Context()) {
		for _, f := range findings(t, c) {
			if f.Kind == kind {
				return
			}
		}
	}
	t.Fatalf("no %s is found: %+v", kind, findings(t, c))
}
