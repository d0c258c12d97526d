package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// listener reads the findings until stopped and keeps what was ever said.
type listener struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	said map[string]bool
	read int
}

func listen(t *testing.T, c *cluster.Cluster) *listener {
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{stop: cancel, said: map[string]bool{}}
	l.done.Go(func() {
		for ; ctx.Err() == nil; pause(ctx) {
			if code, _, err := c.Get(ctx, "/api/v1/ping"); err != nil || code != 200 {
				continue // the server is just being restarted
			}
			found := findings(t, c)
			l.mu.Lock()
			l.read++
			for _, f := range found {
				l.said[fmt.Sprintf("%s/%s %v: %s", f.Kind, f.Cause, f.Location.Nodes, f.Summary)] = true
			}
			l.mu.Unlock()
		}
	})
	return l
}

func (l *listener) close() {
	l.stop()
	l.done.Wait()
}

// nothing fails the test if anything was said since the last call.
func (l *listener) nothing(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == 0 {
		t.Error("the findings were never read")
	}
	for text := range l.said {
		t.Errorf("said: %s", text)
	}
	t.Logf("FIGURE nothing said in %d readings", l.read)
	clear(l.said)
	l.read = 0
}

// TestNothingIsFoundWhereNothingIsWrong does to a healthy cluster what happens every day; rolling restarts are
// in TestARollingRestartWithNewAddressesShowsNoFailingPath.
func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	c := start(t, lab.Config{Nodes: 4, IPv6: true}, cluster.Config{})
	l := listen(t, c)
	defer l.close()
	for _, day := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"a node is drained and comes back", func(t *testing.T) {
			for network := range mesh.Network(mesh.Networks) {
				if err := c.StopAgent(3, network); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(12 * time.Second)
			restart(t, c, 3, mesh.Pod)
			restart(t, c, 3, mesh.Host)
		}},
		{"agents freeze", func(t *testing.T) {
			for i := range 4 {
				wake, err := c.FreezeAgent(1+i%4, mesh.Network(i%mesh.Networks))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(1500 * time.Millisecond)
				wake()
				time.Sleep(2 * time.Second)
			}
		}},
		{"others take the processors", func(t *testing.T) { starve(t, c, 10*time.Second) }},
		{"an IPv6 neighbour flaps", func(t *testing.T) { flap(t, c, 6*time.Second) }},
		{"the server is replaced", func(t *testing.T) {
			if err := c.StopServer(); err != nil {
				t.Error(err)
			}
			if err := c.StartServer(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(day.name, func(t *testing.T) {
			day.do(t)
			awaitAllOK(t, c)
			time.Sleep(afterwards)
			l.nothing(t)
		})
	}
}

// starve runs more busy loops than there are processors.
func starve(t *testing.T, c *cluster.Cluster, d time.Duration) {
	t.Helper()
	for range 8 {
		p := c.Lab.Command(c.Lab.Node(2).Namespace, "sh", "-c", "while :; do :; done")
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		defer p.Kill()
	}
	time.Sleep(d)
}

// flap adds and removes neighbours and addresses of the family that the mesh does not use.
func flap(t *testing.T, c *cluster.Cluster, d time.Duration) {
	t.Helper()
	node := c.Lab.Node(2).Namespace
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		line := "ip -6 neigh replace 2001:db8::99 lladdr 02:00:00:00:00:99 dev eth0; ip -6 addr add 2001:db8::42/128 dev eth0 nodad; sleep 0.2; " +
			"ip -6 addr del 2001:db8::42/128 dev eth0; ip -6 neigh del 2001:db8::99 dev eth0; ip -6 neigh flush dev eth0"
		if out, err := c.Lab.Run(node, "sh", "-ec", line); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// TestTheServersNodeIsCutOff breaks the one node whose trouble hides all others: the server hears that
// node alone. It must say so from what that node knows, and blame no other.
func TestTheServersNodeIsCutOff(t *testing.T) {
	c := start(t, lab.Config{Nodes: 4}, cluster.Config{})
	home := c.Lab.ServerPod().Node
	for _, broken := range [][2]string{{"nic-down", "node_unreachable"}, {"dup-ip", "node_unreachable"}, {"iptables-flush", "forwarding_broken"}} {
		t.Run(broken[0], func(t *testing.T) {
			heal, err := c.Lab.Inject(t.Context(), broken[0], home)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for end := (time.Time{}); end.IsZero() || time.Now().Before(end); pause(t.Context()) {
				for _, f := range findings(t, c) {
					if f.Kind != broken[1] || !slices.Equal(f.Location.Nodes, []string{lab.NodeName(home)}) {
						t.Errorf("says %s/%s %v: %s", f.Kind, f.Cause, f.Location.Nodes, f.Summary)
					} else if end.IsZero() {
						end = time.Now().Add(afterwards)
						t.Logf("FIGURE after %.1f s: %s", time.Since(began).Seconds(), f.Summary)
					}
				}
				if end.IsZero() && time.Since(began) > patience {
					t.Error("nothing is said")
					break
				}
			}
			if err := heal(); err != nil {
				t.Error(err)
			}
			for began := time.Now(); !quietNow(t, c); pause(t.Context()) {
				if time.Since(began) > patience {
					t.Fatalf("still found after healing: %+v", findings(t, c))
				}
			}
			awaitAllOK(t, c)
		})
	}
}
