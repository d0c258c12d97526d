package forwardtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// refuses answers as RBAC does and reports that it did.
func (c *Cluster) refuses(w http.ResponseWriter, verb, resource, name string) bool {
	c.mu.Lock()
	denied := c.denied[verb+" "+resource]
	c.mu.Unlock()
	if denied {
		c.fails(w, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, name, fmt.Errorf("%s %q cannot %s resource %q in API group \"\"\nin the namespace %q", "User", "eve", verb, resource, Namespace)))
	}
	return denied
}

func (c *Cluster) fails(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	status.Kind, status.APIVersion = "Status", "v1"
	c.writes(w, int(status.Code), status)
}

func (c *Cluster) writes(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		c.t.Error(err)
	}
}

func (c *Cluster) getService(w http.ResponseWriter, r *http.Request) {
	if c.refuses(w, "get", "services", ServiceName) {
		return
	}
	c.mu.Lock()
	service := c.service.DeepCopy()
	c.mu.Unlock()
	if r.PathValue("namespace") != Namespace || r.PathValue("name") != ServiceName {
		c.fails(w, apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, r.PathValue("name")))
		return
	}
	c.writes(w, http.StatusOK, service)
}

func (c *Cluster) listPods(w http.ResponseWriter, r *http.Request) {
	if c.refuses(w, "list", "pods", "") {
		return
	}
	list := &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	c.mu.Lock()
	for _, p := range c.pods {
		list.Items = append(list.Items, *p.DeepCopy())
	}
	c.mu.Unlock()
	if r.FormValue("labelSelector") != "app=netchecker-server" {
		list.Items = nil
	}
	c.writes(w, http.StatusOK, list)
}

// forward is what the API server and the kubelet do with a port-forward.
func (c *Cluster) forward(w http.ResponseWriter, r *http.Request) {
	verb := map[string]string{http.MethodGet: "get", http.MethodPost: "create"}[r.Method]
	pod := r.PathValue("name")
	if c.refuses(w, verb, "pods/portforward", pod) {
		return
	}
	c.mu.Lock()
	hung, noWS := c.hung[pod], c.noWS
	c.mu.Unlock()
	if r.Method == http.MethodGet && noWS { // the API server says so itself
		c.fails(w, apierrors.NewBadRequest("Upgrade request required"))
		return
	}
	if hung != nil {
		select {
		case <-hung:
		case <-c.ended:
			return
		case <-r.Context().Done():
			return
		}
	}
	if r.Method == http.MethodGet {
		up := websocket.Upgrader{Subprotocols: []string{tunnelled}}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			c.t.Error(err)
			return
		}
		s, err := streamspdy.NewServerConnection(portforward.NewTunnelingConnection("test", conn), c.streams(pod))
		if err != nil {
			c.t.Error(err)
			return
		}
		c.holds("websocket", s)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		c.t.Error(err)
		return
	}
	c.holds("spdy", streamspdy.NewResponseUpgrader().UpgradeResponse(w, r, c.streams(pod)))
}

// holds keeps a connection until the other side ends it.
func (c *Cluster) holds(by string, conn httpstream.Connection) {
	c.mu.Lock()
	c.by[by]++
	c.open = append(c.open, conn)
	c.mu.Unlock()
	<-conn.CloseChan()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = slices.DeleteFunc(c.open, func(o httpstream.Connection) bool { return o == conn })
}

// streams pairs the streams of a connection and copies between them and the pod's server.
func (c *Cluster) streams(pod string) httpstream.NewStreamHandler {
	var mu sync.Mutex
	complaints := map[string]httpstream.Stream{}
	return func(s httpstream.Stream, replySent <-chan struct{}) error {
		id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
		mu.Lock()
		defer mu.Unlock()
		if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
			complaints[id] = s
			return nil
		}
		to, port := complaints[id], s.Headers().Get(corev1.PortHeader)
		go func() {
			<-replySent
			defer s.Close()
			defer to.Close()
			c.mu.Lock()
			at := c.servers[pod]
			c.mu.Unlock()
			if port != "8081" || at == "" {
				fmt.Fprintf(to, "failed to connect to localhost:%s inside namespace:\nconnection refused", port)
				return
			}
			conn, err := net.Dial("tcp", at)
			if err != nil {
				fmt.Fprint(to, err)
				return
			}
			defer conn.Close()
			go func() {
				_, _ = io.Copy(conn, s) // ends when either side does
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(s, conn)
		}()
		return nil
	}
}
