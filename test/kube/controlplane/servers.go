package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"netchecker/test/kube/child"
	"netchecker/test/kube/pki"
)

// Daemon prepares one of the Kubernetes programs to run where the control plane does.
func (p *Plane) Daemon(program string, flags []string, ready func(ctx context.Context) error) *child.Daemon {
	return &child.Daemon{
		Name:    program,
		Command: slices.Concat(p.config.Enter, []string{filepath.Join(p.config.Bin, program)}, flags),
		Log:     filepath.Join(p.config.Dir, program+".log"),
		Ready:   ready,
	}
}

func (p *Plane) prepareEtcd() error {
	if err := p.PKI.Issue("etcd", pki.Subject{Name: "etcd", Hosts: []string{"localhost", "127.0.0.1"}}); err != nil {
		return err
	}
	if err := p.PKI.Issue("etcd-client", pki.Subject{Name: "etcd-client"}); err != nil {
		return err
	}
	ports := p.config.Ports
	p.EtcdURL = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	p.EtcdTLSURL = fmt.Sprintf("https://127.0.0.1:%d", ports[2])
	p.EtcdTLS = ClientFiles{p.PKI.Path("ca.crt"), p.PKI.Path("etcd-client.crt"), p.PKI.Path("etcd-client.key")}
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[3])
	urls := p.EtcdURL + "," + p.EtcdTLSURL
	client := &http.Client{Transport: &http.Transport{DialContext: p.config.Dial, DisableKeepAlives: true}}
	p.Etcd = p.Daemon("etcd", []string{
		"--name=one", "--data-dir=" + filepath.Join(p.config.Dir, "etcd"),
		"--listen-client-urls=" + urls, "--advertise-client-urls=" + urls,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=one=" + peer,
		"--cert-file=" + p.PKI.Path("etcd.crt"), "--key-file=" + p.PKI.Path("etcd.key"),
		"--trusted-ca-file=" + p.PKI.Path("ca.crt"), "--client-cert-auth",
		"--unsafe-no-fsync", // a killed process loses nothing by it, only a killed machine would
		"--log-level=warn",
	}, func(ctx context.Context) error { return answers(ctx, client, p.EtcdURL+"/health") })
	return nil
}

func (p *Plane) prepareAPI() error {
	c := p.config
	p.server = fmt.Sprintf("https://%s:%d", c.Address, c.Ports[0])
	if err := p.PKI.ControlPlane(p.server, c.Address); err != nil {
		return err
	}
	if err := p.connect(); err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(p.admin)
	if err != nil {
		return err
	}
	file := p.PKI.Path
	p.API = p.Daemon("kube-apiserver", append([]string{
		"--etcd-servers=" + p.EtcdURL,
		"--bind-address=" + c.Address, "--advertise-address=" + c.Advertise, fmt.Sprintf("--secure-port=%d", c.Ports[0]),
		"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--allow-privileged",
		"--client-ca-file=" + file("ca.crt"), "--tls-cert-file=" + file("apiserver.crt"), "--tls-private-key-file=" + file("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + file("sa.pub"), "--service-account-signing-key-file=" + file("sa.key"),
		"--profiling=false",
	}, c.APIFlags...), func(ctx context.Context) error { return answers(ctx, client, p.server+"/readyz") })
	return nil
}

func (p *Plane) connect() (err error) {
	p.Kubeconfig = p.PKI.Path("admin.kubeconfig")
	if p.admin, err = clientcmd.BuildConfigFromFlags("", p.Kubeconfig); err != nil {
		return err
	}
	p.admin.QPS, p.admin.Dial = -1, p.config.Dial
	p.client, err = kubernetes.NewForConfig(p.admin)
	return err
}

// answers returns nil when a GET has status 200.
func answers(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<14))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return err
}
