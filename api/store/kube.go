package store

import (
	"context"
	_ "embed" // crd.yaml
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"netchecker/api"
)

const (
	// writesPerSecond is what the API server has to bear, whatever the number of agents.
	writesPerSecond = 20
	// writers is how many writes are under way at once: an API server that takes 150 ms for each still
	// gets them all.
	writers = 4
	// requestTime bounds one request.
	requestTime = 5 * time.Second
)

// crd is the definition of the objects, with the schema.
//
//go:embed crd.yaml
var crd []byte

// Kube keeps records in memory and, as objects agents.network-checker.ext, in Kubernetes, and follows
// what other servers put there. The objects are a checkpoint: the API server is written to at most 20
// times a second, so with N agents an object is at most N/20 s, and 5 s more, older than the last
// report. While the API server cannot be reached memory goes on, Err says why, and the last reports
// are written once it can. Any goroutine may use it.
type Kube struct {
	*shared
	client    *rest.RESTClient
	namespace string
	limit     *rate.Limiter

	placesMu sync.Mutex // guards the two below
	// versions holds the resource version of each agent's object.
	versions map[string]string
	// listed says that all objects were read once.
	listed bool
}

var _ api.Store = (*Kube)(nil)

// OpenKube returns a store over the API server, which need not answer yet: Behind says so until the
// objects were read. It creates or updates their definition where it is allowed to. The error says
// what of the configuration cannot be. Close it.
//
// It needs get, list, watch, create, update and delete of agents.network-checker.ext in the
// namespace, and uses get and patch, or create, of its CustomResourceDefinition if it has them.
func OpenKube(config *rest.Config, namespace string, log *slog.Logger) (*Kube, error) {
	config = rest.CopyConfig(config)
	version := agentVersion()
	config.APIPath, config.GroupVersion, config.NegotiatedSerializer = "/apis", &version, agentCodecs()
	config.AcceptContentTypes, config.ContentType = "", ""
	config.QPS, config.RateLimiter = -1, nil // writes have a limit of their own, reads are a few an hour
	config.WarningHandler, config.WarningHandlerWithContext = warnings{log}, nil
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("store in Kubernetes: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &Kube{shared: newShared("kubernetes", log), client: client, namespace: namespace,
		limit: rate.NewLimiter(writesPerSecond, 1), versions: map[string]string{}}
	k.stop = stop
	go k.run(ctx)
	return k, nil
}

// Stats implements api.Store.
func (k *Kube) Stats() api.StoreStats {
	st := k.shared.Stats()
	k.Memory.mu.RLock()
	agents := len(k.Memory.byName)
	k.Memory.mu.RUnlock()
	st.Bound = time.Duration(max(agents, st.Unwritten))*time.Second/writesPerSecond + requestTime
	return st
}

// run is the life of the store.
func (k *Kube) run(ctx context.Context) {
	defer close(k.done)
	if !k.define(ctx) {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { k.follow(ctx) })
	parts.Go(func() { k.write(ctx) })
	parts.Wait()
}

// define sees to the definition of the objects. It comes back when that is done or refused, or with
// false when ctx ended.
func (k *Kube) define(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := k.apply(ctx)
		if apierrors.IsForbidden(err) {
			k.log.Info("definition of agents."+group+" is left as it is: not allowed to look after it", "error", err)
			return true
		}
		var status apierrors.APIStatus
		if errors.As(err, &status) && status.Status().Code < 500 && !apierrors.IsTooManyRequests(err) {
			k.log.Error("definition of agents."+group+" not updated: going on with the one that is there", "error", err)
			return true
		}
		if err == nil {
			return true
		}
		k.setBehind(fmt.Errorf("kubernetes: %w", err))
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	return false
}

const (
	crdPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + plural + "." + group
	// schemaKey is the annotation with the number of the schema.
	schemaKey = group + "/schema"
	// schemaNumber is that of crd.yaml.
	schemaNumber = 1
)

// apply puts our definition in place of an older one, or where there is none.
func (k *Kube) apply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	there, err := k.definition(ctx)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(there.Metadata.Annotations[schemaKey]); err != nil || n < schemaNumber {
		if err := k.patch(types.ApplyPatchType, crd).Param("force", "true").Do(ctx).Error(); err != nil {
			return err
		}
	}
	if there.Spec.PreserveUnknownFields {
		// As the original made it, before there were schemas. It stands in no manifest: the API server
		// leaves out a false, so that kubectl apply would find it missing each time.
		return k.patch(types.MergePatchType, []byte(`{"spec":{"preserveUnknownFields":false}}`)).Do(ctx).Error()
	}
	return nil
}

// definition is what matters to us of a CustomResourceDefinition.
type definition struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		PreserveUnknownFields bool `json:"preserveUnknownFields"`
	} `json:"spec"`
}

// definition reads the one that is there, nothing where there is none.
func (k *Kube) definition(ctx context.Context) (there definition, err error) {
	answer := k.client.Get().AbsPath(crdPath).Do(ctx)
	if err := answer.Error(); err != nil { // what Raw returns does not say why
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return there, err
	}
	body, err := answer.Raw()
	if err != nil {
		return there, err
	}
	return there, json.Unmarshal(body, &there)
}

func (k *Kube) patch(kind types.PatchType, body []byte) *rest.Request {
	return k.client.Patch(kind).AbsPath(crdPath).Param("fieldManager", "netchecker-server").Body(body)
}

// warnings takes what the API server remarks, which is a line for every write with an older schema.
type warnings struct{ log *slog.Logger }

// HandleWarningHeader implements rest.WarningHandler.
func (w warnings) HandleWarningHeader(_ int, _, text string) {
	w.log.Debug("api server remarks", "text", text)
}
