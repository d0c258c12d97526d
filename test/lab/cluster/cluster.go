// Package cluster runs netchecker's own programs in a lab as its manifests would run them in
// Kubernetes: the server in its pod, a pod agent and a host agent on every node, all as user 65534
// without capabilities. It starts and stops them and asks the server; what breaks is the lab's.
package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/mesh"
	"netchecker/test/lab"
)

// Config says what to run.
type Config struct {
	// Bin is the folder with the programs, Logs the one for their logs.
	Bin, Logs string
	// Secret is the content of the secret file; "" runs everything with auth none.
	Secret string
	// ServerArgs and AgentArgs are appended to the programs' flags.
	ServerArgs, AgentArgs []string
	// IPv6 advertises both families; the lab must have them.
	IPv6 bool
	// Privileged gives host agents NET_ADMIN and has them read the packet filter.
	Privileged bool
}

// Cluster is a running mesh. Its methods may be called by many goroutines.
type Cluster struct {
	Lab    *lab.Lab
	cfg    Config
	secret string
	http   *http.Client
	mu     sync.Mutex
	server *lab.Process
	agents map[mesh.Key]*Agent
	runs   int
}

// Agent is one running agent.
type Agent struct {
	Name     string
	Endpoint lab.Endpoint
	process  *lab.Process
}

// stopGrace is what an agent gets to leave and answer on as a lame duck.
const stopGrace = 20 * time.Second

// Start starts the server and all agents and returns without waiting for the first rows.
func Start(ctx context.Context, l *lab.Lab, cfg Config) (*Cluster, error) {
	c := &Cluster{Lab: l, cfg: cfg, agents: map[mesh.Key]*Agent{}}
	dial := l.Dialer(l.ServerPod().Namespace)
	c.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	if err := os.MkdirAll(cfg.Logs, 0o755); err != nil {
		return nil, err
	}
	if cfg.Secret != "" {
		c.secret = filepath.Join(cfg.Logs, "secret")
		// User 65534 reads it: this is a secret of a laboratory.
		if err := os.WriteFile(c.secret, []byte(cfg.Secret), 0o644); err != nil {
			return nil, err
		}
	}
	if err := c.StartServer(); err != nil {
		return nil, err
	}
	for i := 1; i <= l.Nodes(); i++ {
		for network := range mesh.Network(mesh.Networks) {
			if err := c.StartAgent(i, network); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// seeds are the host agents of the first nodes, as a headless Service would name them.
func (c *Cluster) seeds() string {
	var out []string
	for i := 1; i <= min(3, c.Lab.Nodes()); i++ {
		out = append(out, net.JoinHostPort(c.Lab.Node(i).Addr.String(), "8096"))
	}
	return strings.Join(out, ",")
}

// StartServer starts the server in its pod.
func (c *Cluster) StartServer() error {
	at := c.Lab.ServerPod()
	args := append([]string{"-v=5", "-logtostderr", "-endpoint=0.0.0.0:" + strconv.Itoa(lab.ServerPort), "-join=" + c.seeds(), "-services=" + c.services()}, c.auth()...)
	p, err := c.start("netchecker-server", at, "netchecker-server", append(args, c.cfg.ServerArgs...))
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.server = p
	c.mu.Unlock()
	return nil
}

// StopServer ends the server as Kubernetes does.
func (c *Cluster) StopServer() error {
	c.mu.Lock()
	p := c.server
	c.mu.Unlock()
	return p.Stop(stopGrace)
}

// services are what agents of a cluster depend on: DNS and the server, each by its Service address
// and directly.
func (c *Cluster) services() string {
	l := c.Lab
	return fmt.Sprintf("dns-vip=dns://%s:53/netchecker-service,dns-endpoint=dns://%s:53/netchecker-service,"+
		"server-vip=http://%s:%d/api/v1/ping,server-endpoint=http://%s:%d/api/v1/ping",
		lab.DNSVIP, l.DNSPod().Addr, lab.ServerVIP, lab.ServerPort, l.ServerPod().Addr, lab.ServerPort)
}

func (c *Cluster) auth() []string {
	if c.secret == "" {
		return []string{"-auth=none"}
	}
	return []string{"-auth=secret", "-secret-file=" + c.secret}
}

func (c *Cluster) start(program string, at lab.Endpoint, name string, args []string, caps ...uintptr) (*lab.Process, error) {
	log, err := os.OpenFile(filepath.Join(c.cfg.Logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := c.Lab.Command(at.Namespace, filepath.Join(c.cfg.Bin, program), args...)
	ips := at.Addr.String()
	if c.cfg.IPv6 {
		ips += "," + at.Addr6.String()
	}
	p.Env = []string{"MY_NODE_NAME=" + at.NodeName, "MY_POD_NAME=" + name, "MY_POD_IP=" + at.Addr.String(), "MY_POD_IPS=" + ips,
		"MY_HOST_IP=" + c.Lab.Node(at.Node).Addr.String(), "GOMAXPROCS=1"}
	p.Stdout, p.Stderr, p.Caps = log, log, caps
	return p, p.Start()
}

// StartAgent starts the agent of a network on node i, under a new name as a new pod has.
func (c *Cluster) StartAgent(i int, network mesh.Network) error {
	at := c.Lab.Pod(i)
	prefix := "netchecker-agent"
	if network == mesh.Host {
		at, prefix = c.Lab.Node(i), "netchecker-agent-hostnet"
	}
	return c.startAgentAt(at, prefix, network)
}

func (c *Cluster) startAgentAt(at lab.Endpoint, prefix string, network mesh.Network) error {
	c.mu.Lock()
	c.runs++
	name := fmt.Sprintf("%s-%d-r%d", prefix, at.Node, c.runs)
	c.mu.Unlock()
	args := append([]string{"-v=5", "-logtostderr", "-network=" + network.String(), "-join=" + c.seeds(), "-reportinterval=5",
		"-zone=" + at.Zone, fmt.Sprintf("-serverendpoint=%s:%d", lab.ServerVIP, lab.ServerPort)}, c.auth()...)
	var caps []uintptr
	if c.cfg.Privileged && network == mesh.Host {
		args, caps = append(args, "-evidence=privileged"), []uintptr{unix.CAP_NET_ADMIN}
	}
	p, err := c.start("netchecker-agent", at, name, append(args, c.cfg.AgentArgs...), caps...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.agents[mesh.Key{Node: at.NodeName, Network: network}] = &Agent{name, at, p}
	c.mu.Unlock()
	return nil
}

// Agent returns the running agent of a network on node i.
func (c *Cluster) Agent(i int, network mesh.Network) *Agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agents[mesh.Key{Node: lab.NodeName(i), Network: network}]
}

// KillAgent kills the agent without warning.
func (c *Cluster) KillAgent(i int, network mesh.Network) { c.Agent(i, network).process.Kill() }

// StopAgent ends the agent as a drained node's kubelet does: it is told to, and leaves.
func (c *Cluster) StopAgent(i int, network mesh.Network) error {
	return c.Agent(i, network).process.Stop(stopGrace)
}

// FreezeAgent gives the agent no processor until wake is called.
func (c *Cluster) FreezeAgent(i int, network mesh.Network) (wake func(), err error) {
	pid := c.Agent(i, network).process.Pid()
	wake = func() { syscall.Kill(pid, syscall.SIGCONT) } // it may have been killed meanwhile
	return wake, syscall.Kill(pid, syscall.SIGSTOP)
}

// ReplaceAgent does what a rolling update does to one agent: the old one is told to end and answers
// on for its grace while a new one under a new name, for a pod with a new address too, takes over.
// It returns when the old one is gone.
func (c *Cluster) ReplaceAgent(i int, network mesh.Network) error {
	old := c.Agent(i, network)
	if network == mesh.Host { // the host's ports are free only when the old agent has ended
		if err := old.process.Stop(stopGrace); err != nil {
			return err
		}
		return c.StartAgent(i, network)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- old.process.Stop(stopGrace) }()
	at, err := c.Lab.ReplacePod(i)
	if err == nil {
		err = c.startAgentAt(at, "netchecker-agent", network)
	}
	if e := <-stopped; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return c.Lab.RemovePod(old.Endpoint)
}

// Get asks the server and returns the status and the body.
func (c *Cluster) Get(ctx context.Context, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	return res.StatusCode, body, err
}

// URL is the server's base address as its own pod sees it.
func (c *Cluster) URL() string {
	return fmt.Sprintf("http://%s:%d", c.Lab.ServerPod().Addr, lab.ServerPort)
}

// Matrix is the part of /api/v1/matrix that scenarios read.
type Matrix struct {
	GeneratedAt time.Time                 `json:"generated_at"`
	State       string                    `json:"state"`
	Paths       map[string]map[string]int `json:"paths"`
	Pairs       []Pair                    `json:"pairs"`
	Nodes       []struct {
		Name   string `json:"name"`
		Agents map[string]struct {
			State string `json:"state"`
			Via   string `json:"via"`
		} `json:"agents"`
	} `json:"nodes"`
}

// Pair is one path of it.
type Pair struct {
	Source      string           `json:"source"`
	Destination string           `json:"destination"`
	Path        string           `json:"path"`
	Family      string           `json:"family"`
	State       string           `json:"state"`
	Probes      map[string]Probe `json:"probes"`
}

// Probe is one probe of a path.
type Probe struct {
	State       string   `json:"state"`
	Loss        *float64 `json:"loss"`
	ForwardLoss *float64 `json:"forward_loss"`
	ReturnLoss  *float64 `json:"return_loss"`
	RTTMillis   *float64 `json:"rtt_ms"`
	Error       string   `json:"error"`
	MaxBytes    int      `json:"max_bytes"`
}

// Matrix asks for the matrix; query may be nil.
func (c *Cluster) Matrix(ctx context.Context, query url.Values) (*Matrix, error) {
	status, body, err := c.Get(ctx, "/api/v1/matrix?"+query.Encode())
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("matrix: status %d: %s", status, body)
	}
	m := new(Matrix)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("matrix: %w", err)
	}
	return m, nil
}

// Stop ends all programs without waiting for their good-byes.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.agents {
		a.process.Kill()
	}
	if c.server != nil {
		c.server.Kill()
	}
}

// GossipMembers returns how many live members an agent's gossip hears, by its own metrics.
func (c *Cluster) GossipMembers(ctx context.Context, i int, network mesh.Network) (int, error) {
	at := c.Agent(i, network).Endpoint
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: c.Lab.Dialer(at.Namespace), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/metrics", net.JoinHostPort(at.Addr.String(), "8095")), nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	for scan := bufio.NewScanner(res.Body); scan.Scan(); {
		if value, ok := strings.CutPrefix(scan.Text(), "netchecker_gossip_members "); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, errors.New("no netchecker_gossip_members in /metrics")
}
