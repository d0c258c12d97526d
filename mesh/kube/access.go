package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
)

const (
	// queriesPerSecond and queryBurst bound what one client asks of the API server. Watches are a
	// handful of requests in an hour; what counts against them are Events.
	queriesPerSecond, queryBurst = 20, 40
	// reviewsPerSecond and reviewBurst bound the reviews of tokens, each of which is reviewQueries
	// requests, by a client of their own: 10,000 agents that start at once would otherwise wait for a
	// quarter of an hour, and watches and Events with them. Who reviews admits fewer than that, so that
	// nobody waits in the client, unseen.
	reviewsPerSecond, reviewBurst, reviewQueries = 60, 120, 2
	// requestTime bounds a request that is no watch. The client has no time-out of its own: it would
	// end the watches too.
	requestTime = 15 * time.Second
)

// The files that Kubernetes mounts into a pod with a service account.
const (
	mountedNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	mountedCA        = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
)

// ErrNoCluster says that there is no Kubernetes: no kubeconfig was named and the process is in no
// pod with a service account.
var ErrNoCluster = errors.New("not in a pod with a service account, and no kubeconfig")

// Access is a way to one API server. Any goroutine may use it.
type Access struct {
	config    *rest.Config
	client    kubernetes.Interface
	reviews   kubernetes.Interface // for tokens alone
	namespace string
}

// Connect prepares the access by a kubeconfig file, or with file "" by the service account of the
// pod: ErrNoCluster when there is none. It reads files but does not ask the API server, which may
// be down for now; its errors name the file and what of it is wrong. The agent is how the API
// server's audit log calls us.
func Connect(file, agent string) (*Access, error) {
	config, namespace, err := inCluster()
	if file != "" {
		config, namespace, err = fromFile(file)
	}
	if err != nil {
		return nil, err
	}
	config.UserAgent = agent
	access, err := newAccess(config, namespace)
	if err != nil {
		return nil, explain(file, err)
	}
	return access, nil
}

func newAccess(config *rest.Config, namespace string) (*Access, error) {
	config.QPS, config.Burst = queriesPerSecond, queryBurst
	// Half the bytes of JSON and a fifth of the time to read it; JSON for what is no built-in type.
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	own := rest.CopyConfig(config)
	own.QPS, own.Burst = reviewsPerSecond*reviewQueries, reviewBurst*reviewQueries
	reviews, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, err
	}
	return &Access{config: config, client: client, reviews: reviews, namespace: namespace}, nil
}

// Namespace is where the server and its agents run: that of the pod, or of the kubeconfig's context.
func (a *Access) Namespace() string { return a.namespace }

// Host is the API server's URL, for log lines.
func (a *Access) Host() string { return a.config.Host }

// REST returns the access as client-go takes it, for the store of Kubernetes objects. It speaks
// JSON, as custom resources must, and has a budget of requests of its own.
func (a *Access) REST() *rest.Config {
	config := rest.CopyConfig(a.config)
	config.AcceptContentTypes, config.ContentType = "", ""
	return config
}

func inCluster() (*rest.Config, string, error) {
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster), errors.Is(err, fs.ErrNotExist):
		return nil, "", ErrNoCluster
	case err != nil:
		return nil, "", fmt.Errorf("service account: %w", err)
	}
	// Without it client-go goes on and calls every API server a fraud.
	if _, err := certutil.NewPool(mountedCA); err != nil {
		return nil, "", fmt.Errorf("service account: %s: %w", mountedCA, err)
	}
	namespace, err := os.ReadFile(mountedNamespace)
	if err != nil {
		return nil, "", fmt.Errorf("service account: %w", err)
	}
	return config, strings.TrimSpace(string(namespace)), nil
}

func fromFile(file string) (*rest.Config, string, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, "", fmt.Errorf("kubeconfig: %w", err)
	}
	config, err := Load(file, "")
	if err != nil {
		return nil, "", err
	}
	return config.REST, config.Namespace, nil
}

// explain says in one line what client-go says in several, and of which file.
func explain(file string, err error) error {
	if file == "" {
		return fmt.Errorf("service account: %w", err)
	}
	return fmt.Errorf("kubeconfig %q: %w", file, oneLine{err})
}

// oneLine is an error without the line breaks of aggregates and of YAML's complaints.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }
