package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/test/kube/child"
)

// Node is a node of a cluster. Its methods are for one goroutine at a time.
type Node struct {
	// Name is node1 and so on.
	Name string
	// Address is that of eth0.
	Address string
	// Containerd, Kubelet and Proxy are the node's daemons; valid while the node runs.
	Containerd, Kubelet, Proxy *child.Daemon

	cluster *Cluster
	index   int // from 1
	count   int // of the cluster's nodes
	space   *space
	booted  time.Time
}

// Start boots the node and returns when Kubernetes calls it ready. After Kill its images and its
// identity are those from before, as after a power failure.
func (n *Node) Start(ctx context.Context) error {
	if n.space != nil {
		return fmt.Errorf("%s runs already", n.Name)
	}
	if err := n.boot(ctx); err != nil {
		n.Kill()
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	if err := n.Containerd.Start(ctx); err != nil {
		return err
	}
	images, err := filepath.Glob(filepath.Join(n.cluster.store.Images(), "*.tar"))
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := n.importImage(ctx, image); err != nil {
			return err
		}
	}
	if err := n.Kubelet.Start(ctx); err != nil {
		return err
	}
	return n.Proxy.Start(ctx)
}

// boot makes the namespaces, plugs the cable in and waits for node.sh.
func (n *Node) boot(ctx context.Context) error {
	c := n.cluster
	n.booted = time.Now().Truncate(time.Second) // the resolution of times in Kubernetes
	if err := os.MkdirAll(n.path("log"), 0o755); err != nil {
		return err
	}
	log, err := os.Create(n.path("boot.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	script := []string{"bash", c.Path("node.sh"), c.folder.Dir, strconv.Itoa(n.index), strconv.Itoa(n.count),
		c.store.Debian(), filepath.Join(c.store.Bin(), "pause")}
	if n.space, err = newSpace(ctx, c.space.enter, []string{"--ipc"}, script, log); err != nil {
		return err
	}
	// Not in the cluster's pid namespace: the process id is that seen from outside.
	// The cable of a killed node goes with its namespace, which the kernel removes when it has time. The
	// other end has the same address after each boot, as a network card does.
	cable := fmt.Sprintf(`ip link delete kv%[1]d 2>/dev/null || true
ip link add kv%[1]d type veth peer name eth0 address 02:00:00:00:01:%02[1]x netns %[2]d
ip link set kv%[1]d master kbr0 up`, n.index, n.space.pid)
	outside := []string{"nsenter", "--target=" + strconv.Itoa(c.space.pid), "--net", "--"}
	if err := runAll(ctx, slices.Concat(outside, []string{"sh", "-ec", cable})); err != nil {
		text, _ := os.ReadFile(n.path("boot.log"))
		return fmt.Errorf("%w; node.sh: %s", err, text)
	}
	prepared := filepath.Join("/proc", strconv.Itoa(n.space.pid), "root", "run", "prepared")
	for {
		if _, err := os.Stat(prepared); err == nil {
			break
		}
		select {
		case <-n.space.first.Done():
			text, _ := os.ReadFile(n.path("boot.log"))
			return fmt.Errorf("node.sh ended: %v: %s", n.space.first.Err(), text)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	n.prepareDaemons()
	return nil
}

func (n *Node) prepareDaemons() {
	c := n.cluster
	bin := c.store.Bin()
	usr := filepath.Join(c.store.Debian(), "usr")
	env := []string{"PATH=" + strings.Join([]string{bin, usr + "/bin", usr + "/sbin", "/usr/sbin:/usr/bin:/sbin:/bin"}, ":")}
	daemon := func(program string, ready func(context.Context) error, args ...string) *child.Daemon {
		return &child.Daemon{
			Name: program + " of " + n.Name, Env: env, Log: n.path("log", filepath.Base(program)+".log"), Ready: ready,
			Command: slices.Concat(n.space.enter, []string{program}, args),
		}
	}
	n.Containerd = daemon(filepath.Join(usr, "bin", "containerd"), func(ctx context.Context) error {
		_, err := n.ctr(ctx, "version")
		return err
	}, "--config="+n.path("etc", "containerd.toml"))
	n.Kubelet = daemon(filepath.Join(bin, "kubelet"), n.ready,
		"--config="+n.path("etc", "kubelet.yaml"), "--kubeconfig="+c.PKI.Path(n.Name+".kubeconfig"),
		"--hostname-override="+n.Name, "--node-ip="+n.Address, "--root-dir=/var/lib/kubelet")
	n.Proxy = daemon(filepath.Join(bin, "kube-proxy"), func(ctx context.Context) error {
		return healthy(ctx, n.space, "http://127.0.0.1:10256/healthz")
	}, "--config="+n.path("etc", "proxy.yaml"))
}

// ready says whether the kubelet renewed the node's status since this boot and Kubernetes calls it
// ready.
func (n *Node) ready(ctx context.Context) error {
	node, err := n.cluster.Client().CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := healthy(ctx, n.space, "http://127.0.0.1:10248/healthz"); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		fresh := !condition.LastHeartbeatTime.Time.Before(n.booted)
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && fresh {
			return nil
		}
	}
	return errors.New("not Ready")
}

// Kill ends the node at once with all that runs on it, as when its power fails: the cable is dead
// before the first program is, so nobody is told that a port is closed.
func (n *Node) Kill() {
	if n.space == nil {
		return
	}
	// It fails where the whole cluster is gone, or the node has no cable yet.
	_ = exec.Command("nsenter", "--target="+strconv.Itoa(n.cluster.space.pid), "--net", "--", "ip", "link", "set", fmt.Sprintf("kv%d", n.index), "down").Run()
	n.space.close()
	n.space = nil
	for _, d := range []*child.Daemon{n.Proxy, n.Kubelet, n.Containerd} {
		if d != nil {
			d.Kill()
		}
	}
}

// Exec runs a command on the node as root and returns what it wrote.
func (n *Node) Exec(ctx context.Context, name string, args ...string) (string, error) {
	out, err := n.space.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %s %s: %w: %s", n.Name, name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// Enter is the command that enters the node's namespaces, to be followed by another one.
func (n *Node) Enter() []string { return slices.Clone(n.space.enter) }

// HTTP returns a client on the node's own network: it reaches services and the pods of all nodes.
func (n *Node) HTTP() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
}

// Dial connects from the node; see HTTP.
func (n *Node) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.space.dial(ctx, network, address)
}

func (n *Node) importImage(ctx context.Context, file string) error {
	file, err := filepath.Abs(file) // commands on a node start in /
	if err == nil {
		_, err = n.ctr(ctx, "images", "import", file)
	}
	return err
}

func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	program := filepath.Join(n.cluster.store.Debian(), "usr", "bin", "ctr")
	return n.Exec(ctx, program, append([]string{"--address=/run/containerd/containerd.sock", "--namespace=k8s.io"}, args...)...)
}

func (n *Node) path(parts ...string) string {
	return n.cluster.Path(append([]string{n.Name}, parts...)...)
}

// healthy returns nil when a GET from inside a space has status 200. Who answers there does not matter.
func healthy(ctx context.Context, s *space, url string) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: s.dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	}
	return nil
}
