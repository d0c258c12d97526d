package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/test/kube/cluster"
)

func TestAClusterRunsPodsResolvesNamesAndLeavesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: namespaces, mounts and cgroups")
	}
	ctx := t.Context()
	c, err := cluster.Start(ctx, cluster.Config{Nodes: 2, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	dir := c.Path()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(dir)); len(left) > 0 {
			t.Errorf("cgroups are left: %q", left)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the folder is left: %v", err)
		}
	})

	out, err := c.Exec(ctx, "kubectl", "get", "nodes", "-o", "name")
	if err != nil || strings.TrimSpace(out) != "node/node1\nnode/node2" {
		t.Errorf("kubectl get nodes: %q, %v", out, err)
	}
	pods, err := c.Client().CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("pods of CoreDNS: %v, %v", pods, err)
	}

	restart(t, ctx, c)
}

// restart kills a node and boots it again.
func restart(t *testing.T, ctx context.Context, c *cluster.Cluster) {
	n := c.Nodes[1]
	answers := func() bool {
		conn, err := c.Dial(ctx, "tcp", n.Address+":10250") // the kubelet's
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if !answers() {
		t.Error("a node does not answer")
	}
	n.Kill()
	if answers() {
		t.Error("a killed node answers")
	}
	began := time.Now()
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s ready again after %.1f s", n.Name, time.Since(began).Seconds())
	if _, err := n.Exec(ctx, "ip", "link", "show", "vxlan1"); err != nil {
		t.Error(err)
	}
}
