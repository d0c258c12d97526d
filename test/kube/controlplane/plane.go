// Package controlplane runs etcd and a Kubernetes API server on loopback, without root: what they
// store, check and refuse is real. There are no controllers and no nodes. So nothing happens by
// itself: a pod runs when [Plane.Pod] says so, a deleted pod stays terminating until it is deleted
// with a grace of 0 seconds, and a deleted namespace stays for good. Service accounts come from
// [Plane.Namespace] and [Plane.ServiceAccount].
//
// See the comment of netchecker/test/kube for how a test package uses it.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"netchecker/test/kube/child"
	"netchecker/test/kube/pki"
	"netchecker/test/kube/programs"
	"netchecker/test/kube/scratch"
)

// Plane is a running control plane. Its methods may be called from several goroutines; those of
// Etcd and API may not.
type Plane struct {
	// Etcd is the store. While it is away, the API server answers from its watch cache or with errors.
	Etcd *child.Daemon
	// API is the API server.
	API *child.Daemon
	// EtcdURL is where etcd serves without TLS.
	EtcdURL string
	// EtcdTLSURL is where the same etcd serves clients that show a certificate.
	EtcdTLSURL string
	// EtcdTLS are the files for EtcdTLSURL.
	EtcdTLS ClientFiles
	// Kubeconfig is a file for an administrator.
	Kubeconfig string
	// PKI has the keys and certificates of all.
	PKI *pki.Folder

	config Config
	folder *scratch.Folder // nil: the folder is somebody else's
	server string          // URL of the API server
	admin  *rest.Config
	client *kubernetes.Clientset
}

// ClientFiles are the paths of what a client of TLS needs.
type ClientFiles struct {
	CA, Cert, Key string
}

// Config says where a control plane runs. Start needs none.
type Config struct {
	// Dir is for keys, data and logs.
	Dir string
	// Bin has the programs.
	Bin string
	// Address is where the API server listens; etcd listens on 127.0.0.1 in any case.
	Address string
	// Advertise is the address of the API server that its clients in the cluster are told.
	Advertise string
	// Ports are those of the API server and of etcd: plain, TLS, peers.
	Ports [4]int
	// Enter is put before each command, for instance to enter a namespace.
	Enter []string
	// Dial connects to Address; nil is the usual way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// APIFlags are further flags of the API server.
	APIFlags []string
}

// Main starts a control plane, puts it where the tests find it, runs them, and stops it. It returns
// the exit status: os.Exit(controlplane.Main(m, &plane)).
func Main(m *testing.M, plane **Plane) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := Start(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "control plane:", err)
		return 1
	}
	stop() // during the tests a signal ends the process, and with it etcd and the API server
	*plane = p
	code := m.Run()
	if err := p.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "control plane:", err)
		return 1
	}
	return code
}

// Start builds what is missing, starts etcd and the API server on free ports and returns when both
// are ready.
func Start(ctx context.Context) (*Plane, error) {
	store, err := programs.Open(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	if err := store.Kubernetes(ctx); err != nil {
		return nil, err
	}
	// A port that was free may be another's when it is bound.
	for attempt := 1; ; attempt++ {
		p, err := onLoopback(ctx, store.Bin())
		if err == nil || attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			return p, err
		}
	}
}

func onLoopback(ctx context.Context, bin string) (*Plane, error) {
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	folder, err := scratch.New("netchecker-plane", nil)
	if err != nil {
		return nil, err
	}
	p, err := StartIn(ctx, Config{
		Dir: folder.Dir, Bin: bin, Ports: ports,
		// A loopback address must not be advertised; this one need not exist.
		Address: "127.0.0.1", Advertise: "192.0.2.1",
	})
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	p.folder = folder
	return p, nil
}

// StartIn starts etcd and the API server where the configuration says. Close leaves its folder.
func StartIn(ctx context.Context, c Config) (*Plane, error) {
	folder, err := pki.New(filepath.Join(c.Dir, "pki"))
	if err != nil {
		return nil, err
	}
	p := &Plane{config: c, PKI: folder}
	if err := p.prepareEtcd(); err != nil {
		return nil, err
	}
	if err := p.prepareAPI(); err != nil {
		return nil, err
	}
	if err := p.Etcd.Start(ctx); err != nil {
		return nil, err
	}
	if err := p.API.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close stops both and removes what they wrote.
func (p *Plane) Close() error {
	p.API.Kill()
	p.Etcd.Kill()
	if p.folder == nil {
		return nil
	}
	return p.folder.Close()
}

// Admin returns a configuration that may do everything, without a limit of its rate.
func (p *Plane) Admin() *rest.Config { return rest.CopyConfig(p.admin) }

// Client returns a client that may do everything.
func (p *Plane) Client() *kubernetes.Clientset { return p.client }

// freePorts returns ports of 127.0.0.1 that nobody listens on.
func freePorts() (ports [4]int, err error) {
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer l.Close() // not before all are chosen
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
