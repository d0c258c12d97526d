package kube

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config is what kubectl would go by.
type Config struct {
	// REST is the way to the API server.
	REST *rest.Config
	// Context is the name of the kubeconfig's context; "" is the service account of this pod.
	Context string
	// Namespace is that of the context, or of the pod.
	Namespace string
}

// Load finds the way to a cluster as kubectl does: by the kubeconfig file, with "" by the files that
// KUBECONFIG lists or ~/.kube/config, and without any of those by the service account of this pod.
// Of a kubeconfig it takes the named context, with "" the current one. It reads files and asks
// nobody. Without any kubeconfig and outside a pod it returns ErrNoCluster; its other errors are one
// line with the file and what of it is wrong.
func Load(file, context string) (Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
	named := strings.Join(rules.GetLoadingPrecedence(), ":")
	raw, err := loader.RawConfig()
	if err != nil {
		return Config{}, explain(named, err)
	}
	if file == "" && context == "" && len(raw.Contexts) == 0 && len(raw.Clusters) == 0 {
		config, namespace, err := inCluster()
		return Config{REST: config, Namespace: namespace}, err
	}
	asked := "context"
	if context == "" {
		asked, context = "current-context", raw.CurrentContext
	}
	// client-go would take the missing half for a cluster at localhost:8080.
	if chosen := raw.Contexts[context]; chosen == nil {
		return Config{}, fmt.Errorf("kubeconfig %q: %s %q: no such context, there are: %s",
			named, asked, context, cmp.Or(strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", "), "none"))
	} else if cluster := raw.Clusters[chosen.Cluster]; cluster == nil || cluster.Server == "" {
		return Config{}, fmt.Errorf("kubeconfig %q: context %q: cluster %q has no server", named, context, chosen.Cluster)
	} else if chosen.AuthInfo != "" && raw.AuthInfos[chosen.AuthInfo] == nil {
		return Config{}, fmt.Errorf("kubeconfig %q: context %q: no such user: %q", named, context, chosen.AuthInfo)
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return Config{}, explain(named, err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return Config{}, explain(named, err)
	}
	return Config{REST: config, Context: context, Namespace: namespace}, nil
}

// Contexts lists the contexts of a kubeconfig that Load would read, sorted; none when it cannot.
func Contexts(file string) []string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	config, err := rules.Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(config.Contexts))
}
