package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"netchecker/mesh/kube"
	"netchecker/mesh/kube/forward/forwardtest"
)

func TestMain(m *testing.M) {
	kube.RouteLogs(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// client asks through a tunnel.
func client(t *testing.T, tunnel *Tunnel) *http.Client {
	transport := &http.Transport{DialContext: tunnel.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func open(t *testing.T, c *forwardtest.Cluster) *Tunnel {
	t.Helper()
	tunnel, err := New(Config{Kubeconfig: c.Kubeconfig(), Agent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tunnel.Close)
	return tunnel
}

// says answers with a pod's name and what was sent.
func says(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %s %s", name, path.Base(r.URL.Path), strings.ToUpper(string(body)))
	}
}

func ask(t *testing.T, c *http.Client, body string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://anywhere/x/ping", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

func TestRequestsReachTheServerByWebSocketOrWhereThatIsRefusedBySPDY(t *testing.T) {
	for by, prepare := range map[string]func(*forwardtest.Cluster){
		"websocket": func(*forwardtest.Cluster) {},
		"spdy":      func(c *forwardtest.Cluster) { c.WithoutWebSockets() },
		// Who may only create gets no WebSocket, which is a GET.
		"spdy, only create is granted": func(c *forwardtest.Cluster) { c.Deny("get pods/portforward") },
	} {
		t.Run(by, func(t *testing.T) {
			c := forwardtest.New(t)
			prepare(c)
			c.Pod("server-1", time.Hour, says("server-1"))
			tunnel := open(t, c)
			web := client(t, tunnel)
			long := strings.Repeat("a", 1<<18)
			var wait sync.WaitGroup
			for range 4 {
				wait.Go(func() {
					if got, err := ask(t, web, long); err != nil || got != "server-1 ping "+strings.ToUpper(long) {
						t.Errorf("%.40q, %v", got, err)
					}
				})
			}
			wait.Wait()
			by, _, _ := strings.Cut(by, ",")
			if got := c.Forwards(); len(got) != 1 || got[by] != 1 {
				t.Errorf("connections %v, want one by %s", got, by)
			}
			if wants, err := tunnel.TLS(t.Context()); err != nil || wants {
				t.Errorf("HTTPS %v, %v", wants, err)
			}
		})
	}
}

func TestAnotherServerIsFoundWhenOneIsGone(t *testing.T) {
	c := forwardtest.New(t)
	c.Pod("server-1", time.Hour, says("server-1"))
	web := client(t, open(t, c))
	if got, err := ask(t, web, ""); err != nil || got != "server-1 ping " {
		t.Fatalf("%q, %v", got, err)
	}
	c.Dies("server-1")
	if got, err := ask(t, web, ""); err == nil || !strings.Contains(err.Error(), "no server pod") {
		t.Errorf("without a server: %q, %v", got, err)
	}
	c.Pod("server-2", time.Minute, says("server-2"))
	if got, err := ask(t, web, ""); err != nil || got != "server-2 ping " {
		t.Errorf("%q, %v", got, err)
	}
	// A server that stopped while the connection to its node goes on.
	c.Gone("server-2")
	c.Pod("server-3", time.Minute, says("server-3"))
	web.CloseIdleConnections()
	_, err := ask(t, web, "")
	if known, is := errors.AsType[*Error](err); !is || known.Error() != `context "prod": server pod server-2 does not answer: failed to connect to localhost:8081 inside namespace: connection refused` {
		t.Errorf("a server that has stopped: %v", err)
	}
	if got, err := ask(t, web, ""); err != nil || got != "server-3 ping " {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheServerThatKnowsMostComesFirst(t *testing.T) {
	c := forwardtest.New(t)
	c.Pod("server-0", 3*time.Hour, says("server-0"))
	c.Edit("server-0", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
	c.Pod("server-1", time.Minute, says("server-1"))
	c.Pod("server-2", time.Hour, says("server-2"))
	c.Pod("server-3", 2*time.Hour, says("server-3"))
	c.Edit("server-3", func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) })
	for _, want := range []string{"server-2", "server-1", "server-0"} {
		if got, err := ask(t, client(t, open(t, c)), ""); err != nil || got != want+" ping " {
			t.Errorf("%q, %v, want %s", got, err, want)
		}
		c.Dies(want)
	}
}

func TestANodeThatDoesNotAnswerIsGivenUp(t *testing.T) {
	for by, prepare := range map[string]func(*forwardtest.Cluster){
		"websocket": func(*forwardtest.Cluster) {},
		"spdy":      func(c *forwardtest.Cluster) { c.WithoutWebSockets() },
	} {
		t.Run(by, func(t *testing.T) {
			c := forwardtest.New(t)
			prepare(c)
			c.Pod("server-1", time.Hour, says("server-1"))
			c.Pod("server-2", time.Minute, says("server-2"))
			c.Hang("server-1")
			impatient := func() *Tunnel {
				tunnel := open(t, c)
				tunnel.try = 3 * time.Second
				return tunnel
			}
			if got, err := ask(t, client(t, impatient()), ""); err != nil || got != "server-2 ping " {
				t.Errorf("%q, %v", got, err)
			}
			c.Hang("server-2")
			_, err := ask(t, client(t, impatient()), "")
			if known, is := errors.AsType[*Error](err); !is || known.Error() != `context "prod": server pod server-1: no answer within 3s` {
				t.Errorf("%v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			if _, err := impatient().TLS(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("who gives up earlier gets %v", err)
			}
		})
	}
}

func TestAConnectionThatComesTooLateIsClosed(t *testing.T) {
	c := forwardtest.New(t)
	c.WithoutWebSockets()
	c.Pod("server-1", time.Hour, says("server-1"))
	c.Hang("server-1")
	tunnel := open(t, c)
	tunnel.try = 3 * time.Second
	if _, err := tunnel.TLS(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer within 3s") {
		t.Fatalf("a node that hangs: %v", err)
	}
	c.Wake("server-1")
	for end := time.Now().Add(time.Minute); c.Forwards()["spdy"] != 1 || c.Open() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v connections came, %d are open: want one by spdy, which is closed", c.Forwards(), c.Open())
		}
	}
}

func TestTheProbesSayWhetherTheServerWantsHTTPS(t *testing.T) {
	c := forwardtest.New(t)
	c.Pod("server-1", time.Hour, says("server-1"))
	c.Edit("server-1", func(p *corev1.Pod) {
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS}}}
	})
	if wants, err := open(t, c).TLS(t.Context()); err != nil || !wants {
		t.Errorf("HTTPS %v, %v", wants, err)
	}
	c.Service(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(8081) })
	if wants, err := open(t, c).TLS(t.Context()); err != nil || !wants {
		t.Errorf("by number: HTTPS %v, %v", wants, err)
	}
}

func TestWhatIsWrongIsOneLine(t *testing.T) {
	pod := func(change func(*corev1.Pod)) func(*forwardtest.Cluster) {
		return func(c *forwardtest.Cluster) { c.Edit("server-1", change) }
	}
	service := func(change func(*corev1.Service)) func(*forwardtest.Cluster) {
		return func(c *forwardtest.Cluster) { c.Service(change) }
	}
	unready := pod(func(p *corev1.Pod) {
		p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason = corev1.ConditionFalse, "ContainersNotReady"
	})
	deny := func(rights ...string) func(*forwardtest.Cluster) {
		return func(c *forwardtest.Cluster) { c.Deny(rights...) }
	}
	both := func(a, b func(*forwardtest.Cluster)) func(*forwardtest.Cluster) {
		return func(c *forwardtest.Cluster) { a(c); b(c) }
	}
	for name, test := range map[string]struct {
		prepare func(*forwardtest.Cluster)
		want    string
	}{
		"may not get services": {deny("get services"), `no permission to get services in namespace "netchecker": services "netchecker-service" is forbidden: User "eve"`},
		"may not list pods":    {deny("list pods"), `no permission to list pods in namespace "netchecker": `},
		"may not create": {deny("get pods/portforward", "create pods/portforward"),
			`server pod server-1: no permission to create pods/portforward in namespace "netchecker": `},
		"no pod": {func(c *forwardtest.Cluster) { c.Gone("server-1") }, `no server pod in namespace "netchecker": none has the labels app=netchecker-server`},
		"no image": {pod(func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling\nimage"}}
		}), `server pod server-1 is not running: ImagePullBackOff: Back-off pulling image`},
		"not scheduled": {pod(func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}}
		}), `server pod server-1 is not running: Pending, Unschedulable: 0/3 nodes`},
		"terminating": {pod(func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }), `server pod server-1 is terminating`},
		"not ready, and the service leads to ready ones alone": {both(unready, service(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = false })),
			`server pod server-1 is not ready: ContainersNotReady`},
		"not ready, and it does not work": {both(unready, deny("get pods/portforward", "create pods/portforward")),
			`server pod server-1 is not ready (ContainersNotReady): no permission to create`},
		"no such port":  {service(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString("web") }), `server pod server-1 has no port web`},
		"no selector":   {service(func(s *corev1.Service) { s.Spec.Selector = nil }), `service netchecker-service in namespace "netchecker" selects no pods`},
		"no API server": {func(c *forwardtest.Cluster) { c.Down() }, `get services at https://127.0.0.1:`},
	} {
		t.Run(name, func(t *testing.T) {
			c := forwardtest.New(t)
			tunnel := open(t, c)
			c.Pod("server-1", time.Hour, nil)
			test.prepare(c)
			isOneLine(t, tunnel, test.want)
		})
	}
	c := forwardtest.New(t)
	tunnel, err := New(Config{Kubeconfig: c.Kubeconfig(), Namespace: "other"})
	if err != nil {
		t.Fatal(err)
	}
	isOneLine(t, tunnel, `no service netchecker-service in namespace "other": is netchecker in another one?`)
}

func isOneLine(t *testing.T, tunnel *Tunnel, want string) {
	t.Helper()
	_, err := tunnel.TLS(t.Context())
	if _, is := errors.AsType[*Error](err); !is || !strings.HasPrefix(err.Error(), `context "prod": `+want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestTheClusterIsNamedAsKubectlDoes(t *testing.T) {
	c := forwardtest.New(t)
	c.Pod("server-1", time.Hour, says("server-1"))
	file := c.Kubeconfig()
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", file)
	for _, test := range []struct {
		config Config
		says   string
	}{
		{Config{}, `netchecker-service in namespace "netchecker" of context "prod"`},
		{Config{Context: "spare", Namespace: "other"}, `netchecker-service in namespace "other" of context "spare"`},
		{Config{Kubeconfig: file, Context: "spare"}, `netchecker-service in namespace "netchecker" of context "spare"`},
	} {
		tunnel, err := New(test.config)
		if err != nil {
			t.Fatal(err)
		}
		if tunnel.String() != test.says {
			t.Errorf("%+v: %s", test.config, tunnel)
		}
		tunnel.Close()
		if _, err := tunnel.TLS(t.Context()); err == nil {
			t.Error("a closed tunnel opens")
		}
	}
	if _, err := New(Config{Context: "gone"}); err == nil || !strings.HasSuffix(err.Error(), `context "gone": no such context, there are: prod, spare`) {
		t.Errorf("a context that is not there: %v", err)
	}
	t.Setenv("KUBECONFIG", "")
	if _, err := New(Config{}); !errors.Is(err, kube.ErrNoCluster) {
		t.Errorf("no kubeconfig: %v", err)
	}
}
