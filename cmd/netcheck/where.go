package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
	"netchecker/mesh/kube"
	"netchecker/mesh/kube/forward"
)

// The server on this machine: where the demonstration answers, and the node port on every node.
const (
	localAddress  = "127.0.0.1:31081"
	defaultServer = "http://" + localAddress
)

// localTime is how long the server on this machine may take to accept a connection.
const localTime = 2 * time.Second

var errNoKubeconfig = errors.New("no kubeconfig: KUBECONFIG and ~/.kube/config lead to none, and this is no pod with a service account; --kubeconfig FILE or --server URL says where netchecker is")

// where is what the flags and the environment say of the server's place.
type where struct {
	url, ca, user                  string
	kubeconfig, context, namespace string
	// env is NETCHECKER_SERVER.
	env string
	// local is the address of the server on this machine, if there is one.
	local string
	// plugin is set when kubectl called us: then the cluster is meant, not this machine.
	plugin bool
}

func newWhere(plugin bool, getenv func(string) string) where {
	return where{env: getenv("NETCHECKER_SERVER"), user: getenv("NETCHECKER_SERVER_USER"),
		namespace: cmp.Or(getenv("NETCHECKER_NAMESPACE"), forward.Namespace), local: localAddress, plugin: plugin}
}

// clusterFlags are those that mean a cluster.
var clusterFlags = []string{"kubeconfig", "context", "namespace"}

// flags gives a command the flags that say which server.
func (s *asker) flags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.url, "server", "", "`URL` of the server, with user and password where it wants them; also from NETCHECKER_SERVER")
	flags.StringVar(&s.ca, "server-ca", "", "`file` with the CA of the server's certificate")
	flags.StringVar(&s.user, "server-user", s.user, "`NAME:PASSWORD` where the server wants them; also from NETCHECKER_SERVER_USER, which no list of processes shows")
	flags.Lookup("server-user").DefValue = "" // what --help prints
	flags.StringVar(&s.kubeconfig, "kubeconfig", "", "`file` with the way to the cluster, for a port-forward to its server")
	flags.StringVar(&s.context, "context", "", "`name` of the kubeconfig's context")
	flags.StringVarP(&s.namespace, "namespace", "n", s.namespace, "`namespace` of the cluster that netchecker is in; also from NETCHECKER_NAMESPACE")
	_ = cmd.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return kube.Contexts(s.kubeconfig), cobra.ShellCompDirectiveNoFileComp
	}) // the flag is there
}

// open settles which server is meant, as far as that can be told without asking anybody: --server, or
// the cluster that a flag names, else NETCHECKER_SERVER, else, as a plugin of kubectl or with a
// password, the cluster that kubectl would take. What is left is settled by settle.
func (s *asker) open(given func(flag string) bool) error {
	cluster := ""
	for _, name := range clusterFlags {
		if given(name) {
			cluster = name
			break
		}
	}
	switch {
	case given("server") && cluster != "":
		return cli.Usagef("--server and --%s: want one of them, a URL or a cluster", cluster)
	case given("server"):
		return s.openURL("--server", s.url)
	case cluster != "":
		if err := s.openCluster(); err != nil {
			return &cli.UsageError{Err: err}
		}
		return nil
	case s.env != "":
		return s.openURL("NETCHECKER_SERVER", s.env)
	case s.plugin, s.user != "": // a password is not for whoever listens on this machine
		return s.openCluster()
	}
	s.undecided = true
	return s.openURL("the default", "http://"+s.local)
}

// settle takes the server on this machine, of a demonstration or of a node, if anything answers there,
// else the cluster that kubectl would take.
func (s *asker) settle(ctx context.Context) error {
	dialer := net.Dialer{Timeout: localTime}
	conn, err := dialer.DialContext(ctx, "tcp", s.local)
	if err == nil {
		s.undecided = false
		return conn.Close()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	none := s.base.Redacted()
	if err := s.openCluster(); err != nil {
		if errors.Is(err, errNoKubeconfig) {
			return fmt.Errorf("no server at %s and no kubeconfig: --server URL or --kubeconfig FILE says where it is", none)
		}
		return fmt.Errorf("no server at %s, and %w", none, err)
	}
	s.undecided = false
	return nil
}

func (s *asker) openURL(name, text string) (err error) {
	if s.base, err = url.Parse(text); err != nil || s.base.Host == "" || s.base.Scheme != "http" && s.base.Scheme != "https" {
		return cli.Usagef("%s %q: want a URL such as %s", name, redacted(text), defaultServer)
	}
	roots, err := s.roots()
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	s.http = &http.Client{Transport: transport}
	return s.signIn()
}

// openCluster prepares the port-forward. Whether the server wants HTTPS is known once it is found.
func (s *asker) openCluster() (err error) {
	roots, err := s.roots()
	if err != nil {
		return err
	}
	s.tunnel, err = forward.New(forward.Config{Kubeconfig: s.kubeconfig, Context: s.context, Namespace: s.namespace, Agent: "netcheck/" + cli.Version(version)})
	if errors.Is(err, kube.ErrNoCluster) {
		return errNoKubeconfig
	}
	if err != nil {
		return err
	}
	host := forward.Service + "." + s.tunnel.Namespace()
	s.base = &url.URL{Scheme: "http", Host: host + ".svc"}
	s.http = &http.Client{Transport: &http.Transport{
		DialContext:     s.tunnel.DialContext,
		TLSClientConfig: anyName(roots, forward.Service, host, host+".svc", host+".svc.cluster.local"),
	}}
	return s.signIn()
}

// roots are the CAs that --server-ca names; nil are those of the system.
func (s *asker) roots() (*x509.CertPool, error) {
	if s.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, cli.Usagef("--server-ca: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, cli.Usagef("--server-ca %q: holds no certificate", s.ca)
	}
	return pool, nil
}

// signIn takes the user and password that are not in the URL.
func (s *asker) signIn() error {
	if s.user == "" || s.base.User != nil {
		return nil
	}
	name, password, both := strings.Cut(s.user, ":")
	if !both || name == "" {
		return cli.Usagef("--server-user: want NAME:PASSWORD")
	}
	s.base.User = url.UserPassword(name, password)
	return nil
}

// anyName checks a certificate as ever, but for several names one of which must be in it: the server
// has one for the name under which its agents know it, and that is one of these.
func anyName(roots *x509.CertPool, names ...string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection does it instead, and is called also then
		VerifyConnection: func(c tls.ConnectionState) error {
			options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range c.PeerCertificates[1:] {
				options.Intermediates.AddCert(cert)
			}
			leaf := c.PeerCertificates[0]
			if _, err := leaf.Verify(options); err != nil {
				return err
			}
			for _, name := range names {
				if leaf.VerifyHostname(name) == nil {
					return nil
				}
			}
			return leaf.VerifyHostname(names[0])
		},
	}
}

// redacted is a URL without its password, also of one that cannot be parsed.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		if at := strings.LastIndex(text, "@"); at >= 0 {
			return "…" + text[at:]
		}
		return text
	}
	return u.Redacted()
}
