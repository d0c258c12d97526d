package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"netchecker/api"
)

// EtcdConfig says where etcd is and what is kept there.
type EtcdConfig struct {
	// Endpoints are host:port, or URLs with http or https, all with the same one. Without a scheme it is
	// https where one of the files below is given.
	Endpoints []string
	// Tree is the root of the keys: records stand under /TREE/agents/.
	Tree string
	// CA is the file with the certificates that etcd's must be signed by; "" means those of the system.
	CA string
	// Cert and Key are the files of the client's own certificate, both or neither. They are read again
	// for every connection, so that they can be renewed.
	Cert, Key string
	// TTL is how long records stay after the last server that knew them is gone, at least 5 s.
	TTL time.Duration
	// Timeout bounds one request; 0 means 5 s.
	Timeout time.Duration
}

const (
	defaultTree    = "netchecker"
	minTTL         = 5 * time.Second
	defaultTimeout = 5 * time.Second
)

var treeForm = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)

// Check returns an error that names the flag whose value cannot be. It reads the files.
func (c *EtcdConfig) Check() error {
	_, err := c.client()
	return err
}

// client returns what the client library wants to know.
func (c *EtcdConfig) client() (clientv3.Config, error) {
	cfg := clientv3.Config{DialTimeout: c.timeout(), DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: c.timeout(),
		Logger: zap.NewNop()} // what goes wrong, the calls say
	if !treeForm.MatchString(strings.Trim(c.Tree, "/")) {
		return cfg, fmt.Errorf("-etcd-tree %q: want names of letters, digits, '.', '_' and '-', separated by '/'", c.Tree)
	}
	scheme, err := c.scheme()
	if err != nil {
		return cfg, err
	}
	for _, e := range c.Endpoints {
		_, host, found := strings.Cut(e, "://")
		if !found {
			host = e
		}
		cfg.Endpoints = append(cfg.Endpoints, scheme+"://"+strings.TrimSuffix(host, "/"))
	}
	if scheme == "https" {
		cfg.TLS, err = c.tls()
	}
	return cfg, err
}

func (c *EtcdConfig) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return defaultTimeout
}

// scheme checks the endpoints and returns the scheme of them all.
func (c *EtcdConfig) scheme() (string, error) {
	if len(c.Endpoints) == 0 {
		return "", errors.New("-etcd-endpoints: want at least one host:port")
	}
	files := c.CA != "" || c.Cert != "" || c.Key != ""
	all := ""
	for _, e := range c.Endpoints {
		scheme := "http"
		if files {
			scheme = "https"
		}
		host := e
		if strings.Contains(e, "://") {
			u, err := url.Parse(e)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
				return "", fmt.Errorf("-etcd-endpoints %q: want host:port, http://host:port or https://host:port", e)
			}
			scheme, host = u.Scheme, u.Host
		}
		name, port, err := net.SplitHostPort(host)
		if n, perr := strconv.Atoi(port); err != nil || name == "" || perr != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("-etcd-endpoints %q: want host:port, http://host:port or https://host:port", e)
		}
		if all != "" && scheme != all {
			return "", fmt.Errorf("-etcd-endpoints %q: the others are %s, want one scheme for all", e, all)
		}
		all = scheme
	}
	if files && all == "http" {
		return "", errors.New("-etcd-ca, -etcd-cert and -etcd-key: the endpoints are http, want https")
	}
	return all, nil
}

func (c *EtcdConfig) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("-etcd-ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("-etcd-ca %q: no certificate in PEM form", c.CA)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("-etcd-cert and -etcd-key: want both or neither")
	}
	if c.Cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
			if err != nil {
				return nil, fmt.Errorf("-etcd-cert %q, -etcd-key %q: %w", c.Cert, c.Key, err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return t, nil
}

// Etcd keeps records in memory and in etcd, each in a key of its own, and follows what other servers
// put there. While etcd cannot be reached memory goes on, Err says why, and what was missed is written
// once it can. Any goroutine may use it.
//
// Keys hang on a lease of the server that wrote them, and every server keeps alive the leases of all
// records it has: records go when the last server has been gone for the TTL, and before that only when
// somebody removes them.
type Etcd struct {
	*shared
	cfg    EtcdConfig
	prefix string
	tls    *tls.Config
	client *clientv3.Client

	// What follows belongs to the goroutine of run.

	// known holds where each agent's record stands.
	known map[string]place
	lease clientv3.LeaseID // NoLease until granted
	// revision is the last that was read.
	revision int64
}

// place is one record's place in etcd.
type place struct {
	revision int64
	lease    clientv3.LeaseID
}

var _ api.Store = (*Etcd)(nil)

// OpenEtcd returns a store over etcd, which need not run yet: Behind says so until it was read. An
// error names the flag whose value cannot be. Close it.
func OpenEtcd(cfg EtcdConfig, log *slog.Logger) (*Etcd, error) {
	clientConfig, err := cfg.client()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientConfig)
	if err != nil {
		return nil, fmt.Errorf("-etcd-endpoints %q: %w", strings.Join(cfg.Endpoints, ","), err)
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Etcd{shared: newShared("etcd", log), cfg: cfg, prefix: "/" + strings.Trim(cfg.Tree, "/") + "/agents/",
		tls: clientConfig.TLS, client: client, known: map[string]place{}}
	e.stop = stop
	go e.run(ctx)
	return e, nil
}

// Stats implements api.Store.
func (e *Etcd) Stats() api.StoreStats {
	st := e.shared.Stats()
	st.Bound = 2 * e.cfg.timeout()
	return st
}
