package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"k8s.io/client-go/rest"

	"netchecker/test/kube/pki"
)

func (p *Plane) prepareEtcd(plain, tls, peer int) error {
	hosts := []string{"localhost", "127.0.0.1"}
	if err := p.pki.Issue("etcd", pki.Subject{Name: "etcd", Hosts: hosts}); err != nil {
		return err
	}
	if err := p.pki.Issue("etcd-client", pki.Subject{Name: "etcd-client"}); err != nil {
		return err
	}
	p.EtcdURL = fmt.Sprintf("http://127.0.0.1:%d", plain)
	p.EtcdTLSURL = fmt.Sprintf("https://127.0.0.1:%d", tls)
	p.EtcdTLS = ClientFiles{p.pki.Path("ca.crt"), p.pki.Path("etcd-client.crt"), p.pki.Path("etcd-client.key")}
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peer)
	urls := p.EtcdURL + "," + p.EtcdTLSURL
	p.Etcd = &Component{
		name: "etcd", program: filepath.Join(p.bin, "etcd"), log: filepath.Join(p.folder.Dir, "etcd.log"),
		args: []string{
			"--name=one", "--data-dir=" + filepath.Join(p.folder.Dir, "etcd"),
			"--listen-client-urls=" + urls, "--advertise-client-urls=" + urls,
			"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL, "--initial-cluster=one=" + peerURL,
			"--cert-file=" + p.pki.Path("etcd.crt"), "--key-file=" + p.pki.Path("etcd.key"),
			"--trusted-ca-file=" + p.pki.Path("ca.crt"), "--client-cert-auth",
			"--unsafe-no-fsync", // a killed process loses nothing by it, only a killed machine would
			"--log-level=warn",
		},
		ready: func(ctx context.Context) error { return answers(ctx, http.DefaultClient, p.EtcdURL+"/health") },
	}
	return nil
}

func (p *Plane) prepareAPI(port int) error {
	p.server = fmt.Sprintf("https://127.0.0.1:%d", port)
	if err := p.pki.ControlPlane(p.server); err != nil {
		return err
	}
	if err := p.connect(); err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(p.admin)
	if err != nil {
		return err
	}
	file := p.pki.Path
	p.API = &Component{
		name: "kube-apiserver", program: filepath.Join(p.bin, "kube-apiserver"), log: filepath.Join(p.folder.Dir, "apiserver.log"),
		args: []string{
			"--etcd-servers=" + p.EtcdURL,
			// A loopback address must not be advertised; this one need not exist.
			"--bind-address=127.0.0.1", "--advertise-address=192.0.2.1", fmt.Sprintf("--secure-port=%d", port),
			"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--allow-privileged",
			"--client-ca-file=" + file("ca.crt"), "--tls-cert-file=" + file("apiserver.crt"), "--tls-private-key-file=" + file("apiserver.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + file("sa.pub"), "--service-account-signing-key-file=" + file("sa.key"),
			"--profiling=false",
		},
		ready: func(ctx context.Context) error { return answers(ctx, client, p.server+"/readyz") },
	}
	return nil
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
