// Package cluster runs a real Kubernetes cluster on this machine, as root and without a container
// engine or a registry.
//
//	this machine
//	└─ the cluster: net, mount, pid and uts namespace      10.200.0.1 on the bridge kbr0
//	   ├─ etcd, API server, controller manager, scheduler
//	   └─ node1 …: net, mount, pid, uts and ipc namespace  eth0 10.200.0.11 …
//	      ├─ vxlan1 (VNI 1, port 8472; static entries as flannel makes them)
//	      ├─ cni0 with the pods                            10.244.1.0/24 …
//	      └─ containerd, kubelet, kube-proxy (nftables mode)
//
// Services are in 10.96.0.0/16, CoreDNS is 10.96.0.10, node ports answer on the nodes' addresses.
// Everything ends with the process that started it; the next Start removes the files and cgroups
// that a killed one left.
package cluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/test/kube/controlplane"
	"netchecker/test/kube/pki"
	"netchecker/test/kube/programs"
	"netchecker/test/kube/scratch"
)

var (
	//go:embed node.sh
	nodeScript []byte
	//go:embed dns.yaml
	dnsManifest string
)

// gateway is the control plane's address.
const gateway = "10.200.0.1"

// Config says what to start.
type Config struct {
	// Nodes is their number, from 1 to 99.
	Nodes int
	// NodeGrace is how long a node may be silent until Kubernetes says that it is not ready; 0 is
	// Kubernetes' own 50 s.
	NodeGrace time.Duration
	// Log gets a line for each step; nil is none.
	Log io.Writer
}

// Cluster is a running cluster. The methods of its control plane are those of [controlplane.Plane].
type Cluster struct {
	*controlplane.Plane
	// Nodes are node1 and so on, in this order.
	Nodes []*Node

	folder *scratch.Folder
	store  *programs.Store
	space  *space
	log    io.Writer
}

// Start builds what is missing and starts a cluster; it returns when all nodes are ready and
// CoreDNS answers.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a cluster needs root: namespaces, mounts and cgroups")
	}
	if config.Nodes < 1 || config.Nodes > 99 {
		return nil, fmt.Errorf("%d nodes: want 1 to 99", config.Nodes)
	}
	c := &Cluster{log: config.Log}
	if c.log == nil {
		c.log = io.Discard
	}
	if err := usableCgroups(); err != nil {
		return nil, err
	}
	var err error
	if c.store, err = programs.Open(ctx, os.Stderr); err != nil {
		return nil, err
	}
	if err := c.store.All(ctx); err != nil {
		return nil, err
	}
	if c.folder, err = scratch.New("netchecker-cluster", removeCgroups); err != nil {
		return nil, err
	}
	if err := c.start(ctx, config); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, config Config) error {
	began := time.Now()
	if err := c.prepareSpace(ctx); err != nil {
		return err
	}
	var err error
	c.Plane, err = controlplane.StartIn(ctx, controlplane.Config{
		Dir: c.folder.Dir, Bin: c.store.Bin(), Address: gateway, Advertise: gateway,
		Ports: [4]int{6443, 2379, 2381, 2380}, Enter: c.space.enter, Dial: c.space.dial,
		APIFlags: c.apiFlags(),
	})
	if err != nil {
		return err
	}
	c.say(began, "API server ready")
	if err := c.startControllers(ctx, config); err != nil {
		return err
	}
	c.say(began, "controllers ready")
	for i := range config.Nodes {
		n, err := c.newNode(ctx, i+1, config.Nodes)
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
	}
	if err := c.eachNode(func(n *Node) error { return n.Start(ctx) }); err != nil {
		return err
	}
	c.say(began, fmt.Sprintf("%d nodes ready", config.Nodes))
	if _, err := c.Kubectl(ctx, dnsManifest, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s"); err != nil {
		return err
	}
	c.say(began, "CoreDNS ready")
	return nil
}

func (c *Cluster) say(began time.Time, what string) {
	fmt.Fprintf(c.log, "cluster: %s after %.1f s\n", what, time.Since(began).Seconds())
}

// prepareSpace makes the namespaces and the network that the nodes are plugged into.
func (c *Cluster) prepareSpace(ctx context.Context) error {
	log, err := os.Create(c.Path("space.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if c.space, err = newSpace(ctx, nil, nil, []string{filepath.Join(c.store.Bin(), "pause")}, log); err != nil {
		return err
	}
	if err := os.WriteFile(c.Path("node.sh"), nodeScript, 0o700); err != nil {
		return err
	}
	_, err = c.Exec(ctx, "sh", "-ec", `[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
hostname control-plane
mount --make-rprivate /
ip link set lo up
ip link add kbr0 type bridge
ip addr add `+gateway+`/24 dev kbr0
ip link set kbr0 up`)
	return err
}

func (c *Cluster) apiFlags() []string {
	file := func(name string) string { return filepath.Join(c.folder.Dir, "pki", name) }
	return []string{
		"--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate=" + file("apiserver-kubelet.crt"), "--kubelet-client-key=" + file("apiserver-kubelet.key"),
		"--kubelet-certificate-authority=" + file("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + file("ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + file("front-proxy.crt"), "--proxy-client-key-file=" + file("front-proxy.key"),
	}
}

func (c *Cluster) startControllers(ctx context.Context, config Config) error {
	common := func(name string) []string {
		file := c.PKI.Path(name + ".kubeconfig")
		return []string{
			"--kubeconfig=" + file, "--authentication-kubeconfig=" + file, "--authorization-kubeconfig=" + file,
			"--bind-address=127.0.0.1", "--leader-elect=false",
		}
	}
	grace := config.NodeGrace
	if grace == 0 {
		grace = 50 * time.Second
	}
	manager := c.Daemon("kube-controller-manager", append(common("controller-manager"),
		"--use-service-account-credentials", "--root-ca-file="+c.PKI.Path("ca.crt"),
		"--service-account-private-key-file="+c.PKI.Path("sa.key"), "--allocate-node-cidrs=false",
		"--service-cluster-ip-range=10.96.0.0/16", "--node-monitor-grace-period="+grace.String(),
	), c.hasDefaultAccount)
	scheduler := c.Daemon("kube-scheduler", common("scheduler"), func(ctx context.Context) error {
		return healthy(ctx, c.space, "https://127.0.0.1:10259/healthz")
	})
	if err := manager.Start(ctx); err != nil {
		return err
	}
	return scheduler.Start(ctx)
}

// hasDefaultAccount says that the controllers do their work: they make this account, and no pod
// is admitted before it is there.
func (c *Cluster) hasDefaultAccount(ctx context.Context) error {
	_, err := c.Client().CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}

func (c *Cluster) newNode(ctx context.Context, i, count int) (*Node, error) {
	n := &Node{Name: fmt.Sprintf("node%d", i), Address: fmt.Sprintf("10.200.0.%d", 10+i), cluster: c, index: i, count: count}
	subject := pki.Subject{Name: "system:node:" + n.Name, Groups: []string{"system:nodes"}, Hosts: []string{n.Name, n.Address}}
	if err := c.PKI.User(n.Name, "https://"+gateway+":6443", subject); err != nil {
		return nil, err
	}
	cidr := fmt.Sprintf("10.244.%d.0/24", i)
	_, err := c.Client().CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name},
		Spec:       corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}},
	}, metav1.CreateOptions{})
	return n, err
}

// Path returns the path of a file in the cluster's folder.
func (c *Cluster) Path(parts ...string) string {
	return filepath.Join(append([]string{c.folder.Dir}, parts...)...)
}

// Enter is the command that enters the control plane's namespaces, to be followed by another one.
func (c *Cluster) Enter() []string { return slices.Clone(c.space.enter) }

// Bin is the folder with kubectl and the other programs of Kubernetes.
func (c *Cluster) Bin() string { return c.store.Bin() }

// Env is the environment for programs that should find kubectl and the cluster.
func (c *Cluster) Env() []string {
	return append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "PATH="+c.store.Bin()+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
}

// Exec runs a command where the control plane runs, kubectl within reach, and returns what it wrote.
func (c *Cluster) Exec(ctx context.Context, name string, args ...string) (string, error) {
	return c.ExecEnv(ctx, nil, name, args...)
}

// ExecEnv is Exec with additional environment variables.
func (c *Cluster) ExecEnv(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := c.space.command(ctx, name, args...)
	if c.Plane != nil {
		cmd.Env = append(c.Env(), env...)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// HTTP returns a client beside the cluster: it reaches the nodes' addresses, not services or pods.
// It keeps no connections, since those would outlive a fault.
func (c *Cluster) HTTP() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
}

// Dial connects from beside the nodes; see HTTP.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.space.dial(ctx, network, address)
}

// ImportImage makes the image of an archive known to all nodes: there is no registry.
func (c *Cluster) ImportImage(ctx context.Context, file string) error {
	return c.eachNode(func(n *Node) error { return n.importImage(ctx, file) })
}

// eachNode runs fn for all nodes at once.
func (c *Cluster) eachNode(fn func(*Node) error) error {
	errs := make(chan error)
	for _, n := range c.Nodes {
		go func() { errs <- fn(n) }()
	}
	var all []error
	for range c.Nodes {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// Close ends everything and removes it.
func (c *Cluster) Close() error {
	for _, n := range slices.Backward(c.Nodes) {
		n.Kill()
	}
	if c.space != nil {
		c.space.close()
	}
	removeCgroups(c.folder.Dir)
	return c.folder.Close()
}
