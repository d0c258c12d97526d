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
	"k8s.io/client-go/tools/clientcmd"

	"netchecker/test/kube/pki"
	"netchecker/test/kube/programs"
	"netchecker/test/kube/scratch"
)

// Plane is a running control plane. Its methods may be called from several goroutines; those of
// Etcd and API may not.
type Plane struct {
	// Etcd is the store. While it is away, the API server answers from its watch cache or with errors.
	Etcd *Component
	// API is the API server.
	API *Component
	// EtcdURL is where etcd serves without TLS.
	EtcdURL string
	// EtcdTLSURL is where the same etcd serves clients that show a certificate.
	EtcdTLSURL string
	// EtcdTLS are the files for EtcdTLSURL.
	EtcdTLS ClientFiles
	// Kubeconfig is a file for an administrator.
	Kubeconfig string

	pki    *pki.Folder
	bin    string
	folder *scratch.Folder
	server string // URL of the API server
	admin  *rest.Config
	client *kubernetes.Clientset
}

// ClientFiles are the paths of what a client of TLS needs.
type ClientFiles struct {
	CA, Cert, Key string
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

// Start builds what is missing, starts etcd and the API server and returns when both are ready.
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
		p, err := start(ctx, store.Bin())
		if err == nil || attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			return p, err
		}
	}
}

func start(ctx context.Context, bin string) (p *Plane, err error) {
	folder, err := scratch.New("netchecker-plane", nil)
	if err != nil {
		return nil, err
	}
	p = &Plane{folder: folder, bin: bin}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
			p = nil
		}
	}()
	if p.pki, err = pki.New(filepath.Join(folder.Dir, "pki")); err != nil {
		return p, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return p, err
	}
	if err := p.prepareEtcd(ports[0], ports[1], ports[2]); err != nil {
		return p, err
	}
	if err := p.prepareAPI(ports[3]); err != nil {
		return p, err
	}
	if err := p.Etcd.Start(ctx); err != nil {
		return p, err
	}
	return p, p.API.Start(ctx)
}

// Close stops both and removes what they wrote.
func (p *Plane) Close() error {
	for _, c := range []*Component{p.API, p.Etcd} {
		if c != nil {
			c.Kill()
		}
	}
	return p.folder.Close()
}

// Admin returns a configuration that may do everything, without a limit of its rate.
func (p *Plane) Admin() *rest.Config { return rest.CopyConfig(p.admin) }

// Client returns a client that may do everything.
func (p *Plane) Client() *kubernetes.Clientset { return p.client }

func (p *Plane) connect() (err error) {
	p.Kubeconfig = p.pki.Path("admin.kubeconfig")
	if p.admin, err = clientcmd.BuildConfigFromFlags("", p.Kubeconfig); err != nil {
		return err
	}
	p.admin.QPS = -1
	p.client, err = kubernetes.NewForConfig(p.admin)
	return err
}

// freePorts returns ports of 127.0.0.1 that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are chosen
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
