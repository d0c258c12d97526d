// Package forwardtest is a cluster for tests of port-forwards: an API server with a kubelet behind it,
// with real sockets, TLS, WebSocket and SPDY, but without rights and without pods. The servers of its
// pods are real ones.
package forwardtest

import (
	"encoding/pem"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
)

// Namespace and ServiceName are those of the one Service.
const (
	Namespace   = "netchecker"
	ServiceName = "netchecker-service"
)

// tunnelled is the subprotocol of WebSockets.
const tunnelled = "SPDY/3.1+" + portforward.PortForwardProtocolV1Name

// Cluster is the cluster of one test. Its methods may be called at any time, from any goroutine.
type Cluster struct {
	t   testing.TB
	web *httptest.Server

	mu      sync.Mutex
	service *corev1.Service
	pods    map[string]*corev1.Pod
	servers map[string]string        // pod → address of its server; one without answers nothing
	denied  map[string]bool          // "verb resource"
	hung    map[string]chan struct{} // pods whose node does not answer, until it is closed
	by      map[string]int           // connections by "websocket" and "spdy"
	open    []httpstream.Connection  // those to kubelets
	noWS    bool
	ended   chan struct{}
}

// New starts a cluster without pods; it ends with the test.
func New(t testing.TB) *Cluster {
	c := &Cluster{t: t, pods: map[string]*corev1.Pod{}, servers: map[string]string{}, denied: map[string]bool{}, hung: map[string]chan struct{}{}, by: map[string]int{}, ended: make(chan struct{})}
	c.service = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: ServiceName, Namespace: Namespace},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "netchecker-server"}, PublishNotReadyAddresses: true,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http-metrics")}}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/services/{name}", c.getService)
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods", c.listPods)
	mux.HandleFunc("/api/v1/namespaces/{namespace}/pods/{name}/portforward", c.forward)
	c.web = httptest.NewUnstartedServer(mux)
	c.web.Config.ErrorLog = log.New(t.Output(), "", 0)
	c.web.StartTLS()
	t.Cleanup(func() {
		close(c.ended)
		c.Cut()
		c.web.Close()
	})
	return c
}

// Service changes the Service.
func (c *Cluster) Service(change func(*corev1.Service)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.service)
}

// Edit changes a pod as the API server shows it.
func (c *Cluster) Edit(pod string, change func(*corev1.Pod)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.pods[pod])
}

// Deny takes rights away, each a verb and a resource such as "create pods/portforward".
func (c *Cluster) Deny(rights ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rights {
		c.denied[r] = true
	}
}

// Hang makes the node of a pod answer nothing.
func (c *Cluster) Hang(pod string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung[pod] = make(chan struct{})
}

// Wake makes the node of a pod that hangs answer again, also to who has asked before.
func (c *Cluster) Wake(pod string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.hung[pod])
	delete(c.hung, pod)
}

// WithoutWebSockets makes it an API server that knows SPDY alone.
func (c *Cluster) WithoutWebSockets() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noWS = true
}

// Down ends the API server.
func (c *Cluster) Down() { c.web.Close() }

// Pod adds a server's pod that is ready and was made a while ago, and what answers in it; nil is that nothing does.
func (c *Cluster) Pod(name string, age time.Duration, answers http.Handler) {
	if answers == nil {
		c.PodAt(name, age, "")
		return
	}
	web := httptest.NewServer(answers)
	c.t.Cleanup(web.Close)
	c.PodAt(name, age, web.Listener.Addr().String())
}

// PodAt is Pod with what answers at an address.
func (c *Cluster) PodAt(name string, age time.Duration, address string) {
	made := metav1.NewTime(time.Now().Add(-age))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods[name] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace, CreationTimestamp: made},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "server", Ports: []corev1.ContainerPort{{Name: "gossip", ContainerPort: 8096}, {Name: "http-metrics", ContainerPort: 8081}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "server", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}}
	c.servers[name] = address
}

// Gone makes a pod go while the connection to its node stays.
func (c *Cluster) Gone(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pods, name)
	delete(c.servers, name)
}

// Dies makes a pod go with its node: what is open breaks off.
func (c *Cluster) Dies(name string) {
	c.Gone(name)
	c.Cut()
}

// Cut breaks off what is open to nodes.
func (c *Cluster) Cut() {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for _, o := range open {
		_ = o.Close() // so it breaks off in any case
	}
}

// Kubeconfig writes a file that leads here, by the contexts prod, which is the current one, and spare.
func (c *Cluster) Kubeconfig() string {
	ca := filepath.Join(c.t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.web.Certificate().Raw})
	file := filepath.Join(filepath.Dir(ca), "config")
	config := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "prod",
"contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u", "namespace": "else"}}, {"name": "spare", "context": {"cluster": "c", "user": "u"}}],
"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority": %q}}],
"users": [{"name": "u", "user": {"token": "t"}}]}`, c.web.URL, ca)
	for name, text := range map[string][]byte{ca: text, file: []byte(config)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	return file
}

// Forwards counts the connections to nodes by "websocket" and "spdy".
func (c *Cluster) Forwards() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

// Open is how many of them are open.
func (c *Cluster) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
