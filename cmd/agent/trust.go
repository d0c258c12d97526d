package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"netchecker/api"
	"netchecker/api/client"
	"netchecker/cmd/cli"
	"netchecker/mesh"
	"netchecker/probe"
)

// trust holds the keys of an agent.
type trust struct {
	cfg *Config
	// probe tags probes and their answers.
	probe *probe.Keys
	// mesh tells members of the mesh from strangers, keys signs rows and reports; nil without a secret,
	// keys also where the agent enrols.
	mesh, keys *api.Keys
}

// newTrust reads the files that the configuration names, so that a bad one stops the agent at its start.
func newTrust(cfg *Config) (*trust, error) {
	t := &trust{cfg: cfg}
	var ring [][]byte
	if cfg.GossipKeyFile != "" {
		var err error
		if ring, err = cli.ReadKeyring(cfg.GossipKeyFile); err != nil {
			return nil, err
		}
	}
	secret := len(cfg.Secret) > 0
	switch {
	case cfg.TokenFile != "" && ring == nil:
		return nil, errors.New("-auth kubernetes: want -gossip-key-file too: it tells a server of the mesh from one that stands between")
	case cfg.TokenFile != "":
		if _, err := t.token(); err != nil {
			return nil, err
		}
		t.mesh = api.NewKeys(ring...)
	case secret:
		t.keys = api.NewKeys(cfg.Secret)
		t.mesh = t.keys
	}
	if ring == nil && secret { // there before any contact, as the keyring is
		ring = [][]byte{mesh.DeriveKey(cfg.Secret, "probe", 32)}
	}
	t.probe = probe.NewKeys(ring...)
	if cfg.ServerCA != "" {
		if _, err := t.tls(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// follow reads the keyring again and again, as gossip itself does: a rotation reaches the probes and
// relays too.
func (t *trust) follow(ctx context.Context, log *slog.Logger) error {
	if t.cfg.GossipKeyFile != "" {
		cli.Follow(ctx, t.cfg.GossipKeyFile, cli.ReadKeyring, func(ring [][]byte) {
			t.probe.Replace(ring...)
			if t.cfg.TokenFile != "" {
				t.mesh.Replace(ring...)
			}
		}, log)
	}
	return nil
}

// client is how the agent's client signs and connects.
func (t *trust) client(self mesh.Agent, log *slog.Logger) client.Config {
	c := client.Config{Name: self.Name, Keys: t.keys, MeshKeys: t.mesh, Boot: self.Boot, Agent: self.Key, Log: log}
	if t.cfg.TokenFile != "" {
		c.Token = t.token
	}
	if t.cfg.ServerCA != "" {
		c.TLS = t.tls
	}
	return c
}

// maxToken bounds the token: the claim with it must fit into a request.
const maxToken = api.MaxEnrol / 2

// token reads the token, which the kubelet rotates.
func (t *trust) token() (string, error) {
	text, err := os.ReadFile(t.cfg.TokenFile)
	if err != nil {
		return "", fmt.Errorf("-token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > maxToken {
		return "", fmt.Errorf("-token-file %q: %d bytes, want a token of 1 to %d", t.cfg.TokenFile, len(token), maxToken)
	}
	return token, nil
}

// tls returns how servers are spoken to: their certificate must be of the CA and name the host of
// -serverendpoint, whichever address gossip tells for the server.
func (t *trust) tls() (*tls.Config, error) {
	roots := x509.NewCertPool()
	if err := t.addCA(roots); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(t.cfg.ServerEndpoint)
	if err != nil {
		return nil, fmt.Errorf("-serverendpoint %q: want host:port", t.cfg.ServerEndpoint)
	}
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}

func (t *trust) addCA(roots *x509.CertPool) error {
	text, err := os.ReadFile(t.cfg.ServerCA)
	if err != nil {
		return fmt.Errorf("-server-ca: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("-server-ca %q: no certificate in it, want PEM", t.cfg.ServerCA)
	}
	return nil
}

// roots are whom the probes of URLs believe: whom the system does, and the servers' CA; nil for the
// system's alone.
func (t *trust) roots() *x509.CertPool {
	if t.cfg.ServerCA == "" {
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // a container from scratch has none
		roots = x509.NewCertPool()
	}
	_ = t.addCA(roots) // the rows go the same way and say what is wrong
	return roots
}
