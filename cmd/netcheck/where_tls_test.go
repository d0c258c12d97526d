package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"netchecker/mesh/kube/forward/forwardtest"
)

// certificate is one for a name, as file for --server-ca and for a server.
func certificate(t *testing.T, name string) (file string, pair tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestThroughTheClusterToAServerWithHTTPSAndAPassword(t *testing.T) {
	w := newWorld(t)
	w.pass(false)
	to, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	ca, pair := certificate(t, "netchecker-service")
	otherCA, _ := certificate(t, "netchecker-service")
	strangeCA, strange := certificate(t, "another-service")
	serve := func(pair tls.Certificate) string {
		web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name, password, _ := r.BasicAuth(); name != "operator" || password != "s3:cret" {
				http.Error(w, "Unauthorized", http.StatusUnauthorized)
				return
			}
			proxy.ServeHTTP(w, r)
		}))
		web.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		web.Config.ErrorLog = log.New(t.Output(), "", 0)
		web.StartTLS()
		t.Cleanup(web.Close)
		return web.Listener.Addr().String()
	}
	c := forwardtest.New(t)
	c.PodAt("server-1", time.Hour, serve(pair))
	alone(t, c.Kubeconfig())
	for _, test := range []struct {
		user, args string
		status     int
		says       string
	}{
		{"operator:s3:cret", "--server-ca " + ca, 0, "ok: "},
		{"", "--server-user operator:s3:cret --server-ca " + ca, 0, "ok: "},
		{"", "--server-ca " + ca, 1, "401 Unauthorized: --server-user or NETCHECKER_SERVER_USER says NAME:PASSWORD"},
		{"operator:s3:cret", "", 1, "HTTPS server"},
		{"operator:s3:cret", "--server-ca " + otherCA, 1, "x509: certificate signed by unknown authority"},
		{"operator", "--server-ca " + ca, 1, "--server-user: want NAME:PASSWORD"},
	} {
		env := func(name string) string { return map[string]string{"NETCHECKER_SERVER_USER": test.user}[name] }
		status, out := typedAs("kubectl-netcheck", env, w.clock, append([]string{"check"}, strings.Fields(test.args)...)...)
		if status != test.status || !strings.Contains(out, test.says) || strings.Contains(out, "s3:cret") {
			t.Errorf("%q, %s: status %d, want %d: %s", test.user, test.args, status, test.status, out)
		}
	}
	// What the probes say is enough where the system knows the CA; here it does not.
	c.Edit("server-1", func(p *corev1.Pod) {
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS}}}
	})
	if _, out := typedAs("kubectl-netcheck", func(string) string { return "" }, w.clock, "check"); !strings.Contains(out, "x509: ") {
		t.Errorf("with a CA that nobody knows: %s", out)
	}
	c.PodAt("server-1", time.Hour, serve(strange))
	if _, out := typedAs("kubectl-netcheck", func(string) string { return "" }, w.clock, "check", "--server-ca", strangeCA); !strings.Contains(out, "x509: certificate is valid for another-service, not netchecker-service") {
		t.Errorf("with a certificate for another name: %s", out)
	}
}
