package agent_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"netchecker/cmd/agent"
	"netchecker/cmd/server"
)

// authority is a CA of one test.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, a.cert = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) sign(c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "netchecker test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// issue returns a server's certificate and key as PEM, for the name.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	k, c := a.sign(&x509.Certificate{DNSNames: []string{name}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pemOf(c), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// browser asks over TLS, believing the authority, each time on a new connection.
func (a *authority) browser() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}}
}

const webConfig = `
tls_server_config:
  cert_file: tls.crt
  key_file: tls.key
basic_auth_users:
  operator: `

// passwordHash is of the password "open sesame".
func passwordHash(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestAgentsReportOverTLSWhileReadersNeedAPassword(t *testing.T) {
	m, ca := newTrusted(t), newAuthority(t)
	cert, key := ca.issue("localhost")
	mount := secretMount{dir: t.TempDir()}
	files := map[string]string{"web.yml": webConfig + passwordHash(t) + "\n", "tls.crt": cert, "tls.key": key, "ca.crt": pemOf(ca.cert)}
	mount.put(t, files)
	m.server(8, func(c *server.Config) { c.WebConfig = mount.file("web.yml") })
	port := strings.TrimPrefix(endpoint(8), loopback(8).String())
	for i := range 2 {
		m.agent(i, func(c *agent.Config) {
			c.ServerCA, c.ServerEndpoint = mount.file("ca.crt"), "localhost"+port // gossip tells the address
		})
	}
	browser, at := ca.browser(), "https://"+endpoint(8)
	ask := func(method, path, password string) (int, []byte, string) {
		t.Helper()
		r, err := http.NewRequest(method, at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			r.SetBasicAuth("operator", password)
		}
		resp, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, body, resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, body, _ := ask("GET", "/api/v1/matrix", "open sesame")
		state, total, ok, _ := counts(body)
		var reports map[string]struct {
			Probes []struct{ HTTPCode int } `json:"network_probes"`
		}
		_, body, _ = ask("GET", "/api/v1/agents/", "open sesame")
		if json.Unmarshal(body, &reports) == nil && len(reports) == 2 && state == "ok" && total == 2 && ok == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s, %d of %d ok, reports %s: %s", state, ok, total, body, m.said.String())
		}
	}
	for _, x := range []struct {
		method, path, password string
		status                 int
	}{
		{"GET", "/api/v1/matrix", "", 401}, {"GET", "/", "", 401}, {"GET", "/metrics", "wrong", 401}, {"DELETE", "/api/v1/agents/a", "", 401},
		{"GET", "/api/v1/agents/", "", 401}, {"POST", "/api/v1/matrix", "", 401}, {"GET", "/metrics", "open sesame", 200},
		{"GET", "/healthz", "", 200}, {"GET", "/api/v1/ping", "", 200}, {"POST", "/api/v1/agents/a/row", "", 401},
	} {
		if status, body, _ := ask(x.method, x.path, x.password); status != x.status {
			t.Errorf("%s %s with password %q: %d %s, want %d", x.method, x.path, x.password, status, body, x.status)
		}
	}
	if _, body, _ := ask("POST", "/api/v1/agents/a/row", ""); !strings.Contains(string(body), "no Netchecker-Signature") {
		t.Errorf("a row without a signature was refused for another reason: %s", body)
	}
	_, _, before := ask("GET", "/healthz", "")
	files["tls.crt"], files["tls.key"] = ca.issue("localhost")
	mount.put(t, files)
	if _, _, after := ask("GET", "/healthz", ""); after == before {
		t.Error("the certificate was not read again")
	}
	m.agent(2, func(c *agent.Config) { c.ServerCA, c.ServerEndpoint = mount.file("ca.crt"), "elsewhere"+port })
	for deadline := time.Now().Add(time.Minute); !strings.Contains(m.said.String(), "not elsewhere"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a certificate for another name: %s", m.said.String())
		}
	}
}

func TestTrustThatCannotBeIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ring, token, master := file("ring", firstKey), file("token", "a token"), file("master", masterKey)
	kube := &kubernetes{}
	agentWith := func(change func(*agent.Config)) error {
		cfg := agent.Default
		cfg.Node, cfg.Pod, cfg.IPv4 = "node1", "agent", loopback(30)
		cfg.TokenFile, cfg.GossipKeyFile = token, ring
		change(&cfg)
		return agent.Run(t.Context(), cfg)
	}
	serverWith := func(change func(*server.Config)) error {
		cfg := server.Default
		cfg.Endpoint, cfg.Node, cfg.Pod, cfg.GossipPort = loopback(30).String()+":0", "node1", "server", 0
		cfg.MasterFile, cfg.GossipKeyFile, cfg.Reviewer = master, ring, kube
		change(&cfg)
		return server.Run(t.Context(), cfg)
	}
	for want, err := range map[string]error{
		"want -gossip-key-file too: it tells":     agentWith(func(c *agent.Config) { c.GossipKeyFile = "" }),
		"-token-file: open":                       agentWith(func(c *agent.Config) { c.TokenFile = filepath.Join(dir, "gone") }),
		"0 bytes, want a token":                   agentWith(func(c *agent.Config) { c.TokenFile = file("empty", "\n") }),
		"-server-ca: open":                        agentWith(func(c *agent.Config) { c.ServerCA = filepath.Join(dir, "gone") }),
		"no certificate in it":                    agentWith(func(c *agent.Config) { c.ServerCA = token }),
		"want -gossip-key-file too: by it":        serverWith(func(c *server.Config) { c.GossipKeyFile = "" }),
		"-secret-file: open":                      serverWith(func(c *server.Config) { c.MasterFile = filepath.Join(dir, "gone") }),
		"line 1: master secret of 5 bytes":        serverWith(func(c *server.Config) { c.MasterFile = file("short", "short") }),
		"no Kubernetes to ask":                    serverWith(func(c *server.Config) { c.Reviewer = nil }),
		"-gossip-key-file: open":                  serverWith(func(c *server.Config) { c.GossipKeyFile = filepath.Join(dir, "gone") }),
		"-web-config":                             serverWith(func(c *server.Config) { c.WebConfig = filepath.Join(dir, "gone") }),
		"field tls_server_confg not found":        serverWith(func(c *server.Config) { c.WebConfig = file("typo.yml", "tls_server_confg: {}\n") }),
		"missing one of cert or cert_file":        serverWith(func(c *server.Config) { c.WebConfig = file("half.yml", "tls_server_config: {key_file: k}\n") }),
		"hashedSecret too short to be a bcrypted": serverWith(func(c *server.Config) { c.WebConfig = file("users.yml", "basic_auth_users: {operator: plain}\n") }),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}
