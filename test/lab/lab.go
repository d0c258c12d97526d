package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Mode says how pod packets travel between nodes.
type Mode string

// The modes. Both are flannel backends.
const (
	VXLAN  Mode = "vxlan"
	HostGW Mode = "hostgw" // plain routes, pods use the full MTU, no flannel.1
)

// Config describes a lab.
type Config struct {
	Nodes int    // 1 to MaxNodes; 0 means 5
	Zones int    // racks, each a bridge of its own; 0 means 1
	Mode  Mode   // empty means VXLAN
	IPv6  bool   // a second family next to IPv4
	Name  string // part of all namespace names, [a-z0-9]{1,20}; empty means a fresh one
}

// Lab is a running cluster network. Its methods may be called concurrently.
type Lab struct {
	// NodeKilled, if set, is called by the fault node-dead after it has killed every process that
	// Command started on the node, and NodeRevived when the node's cable is back. They are the
	// places to note the loss and to start the agents again.
	NodeKilled, NodeRevived func(node int)

	cfg  Config
	dns  *DNS
	fork *forker
	work sync.WaitGroup // goroutines of Forward and of faults
	stop chan struct{}  // closed by Close, ends them

	mu      sync.Mutex
	spaces  map[string]*space // by short name
	pods    []Endpoint        // index 0 is node 1
	lastPod []int             // highest host number given to a pod, per node
	procs   map[*Process]bool
	closers map[io.Closer]bool
	closed  bool
}

var labCount, faultCount atomic.Int64

// Start builds a lab. It first removes what dead labs left behind. When it fails, or when ctx ends
// before the lab is complete, nothing remains.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: needs root: network namespaces")
	}
	if err := claim(cfg.Name); err != nil {
		return nil, fmt.Errorf("lab %q: %w", cfg.Name, err)
	}
	l := &Lab{
		cfg: cfg, stop: make(chan struct{}), spaces: map[string]*space{},
		procs: map[*Process]bool{}, closers: map[io.Closer]bool{},
		pods: make([]Endpoint, cfg.Nodes), lastPod: make([]int, cfg.Nodes),
	}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %q: %w", cfg.Name, err), l.Close())
	}
	return l, nil
}

func (c *Config) complete() error {
	if c.Nodes == 0 {
		c.Nodes = 5
	}
	if c.Zones == 0 {
		c.Zones = 1
	}
	if c.Mode == "" {
		c.Mode = VXLAN
	}
	if c.Name == "" {
		c.Name = fmt.Sprintf("t%dx%d", os.Getpid(), labCount.Add(1))
	}
	switch {
	case c.Nodes < 1 || c.Nodes > MaxNodes:
		return fmt.Errorf("lab: %d nodes: want 1 to %d", c.Nodes, MaxNodes)
	case c.Zones < 1 || c.Zones > c.Nodes:
		return fmt.Errorf("lab: %d zones for %d nodes", c.Zones, c.Nodes)
	case c.Mode != VXLAN && c.Mode != HostGW:
		return fmt.Errorf("lab: mode %q: want %s or %s", c.Mode, VXLAN, HostGW)
	case !labName.MatchString(c.Name):
		return fmt.Errorf("lab: name %q: want %s", c.Name, labName)
	}
	return nil
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.buildFabric(); err != nil {
		return err
	}
	// Most of a node's building is spent under the kernel's one lock for links, so that a wide
	// group would only queue there.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := 1; i <= l.cfg.Nodes; i++ {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return l.buildNode(i)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var err error
	if l.fork, err = newForker(); err != nil {
		return err
	}
	l.dns = &DNS{lab: l}
	return l.dns.Start()
}

// Close stops every process of the lab, removes its namespaces and waits for its goroutines.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	closers := l.closers
	l.closers = nil
	l.mu.Unlock()

	close(l.stop)
	l.stopProcesses(2 * time.Second)
	for c := range closers {
		c.Close() // a listener may be closed already
	}
	if l.dns != nil {
		l.dns.Stop()
	}
	l.work.Wait()
	if l.fork != nil {
		l.fork.close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.spaces {
		s.nl.Close()
		errs = append(errs, s.fd.Close())
	}
	l.spaces = nil
	errs = append(errs, locked(func() error { return erase(l.cfg.Name) }))
	return errors.Join(errs...)
}

// spawn starts a goroutine that Close waits for. It must end when l.stop is closed.
func (l *Lab) spawn(run func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("lab %q is closed", l.cfg.Name)
	}
	l.work.Go(run)
	return nil
}

func (l *Lab) closeLater(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closers == nil {
		c.Close()
		return
	}
	l.closers[c] = true
}

// Nodes returns the number of nodes.
func (l *Lab) Nodes() int { return l.cfg.Nodes }

// Config returns the configuration with its defaults filled in.
func (l *Lab) Config() Config { return l.cfg }

// Node returns the host network of node i, which starts at 1.
func (l *Lab) Node(i int) Endpoint {
	e := Endpoint{Namespace: l.fullName(NodeName(i)), Node: i, NodeName: NodeName(i), Zone: l.zoneName(i),
		Addr: nodeAddr(i), MTU: NodeMTU}
	if l.cfg.IPv6 {
		e.Addr6 = nodeAddr6(i)
	}
	return e
}

// Pod returns the present pod of node i.
func (l *Lab) Pod(i int) Endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods[i-1]
}

// ServerPod returns the pod behind ServerVIP, on node 1. It holds no server.
func (l *Lab) ServerPod() Endpoint { return l.podEndpoint("server", 1, serverHost) }

// DNSPod returns the pod behind DNSVIP, on node 2 where there is one.
func (l *Lab) DNSPod() Endpoint { return l.podEndpoint("dns", min(2, l.cfg.Nodes), dnsHost) }

// Fabric returns the namespace of switches, gateway and external host; Addr is the gateway's.
func (l *Lab) Fabric() Endpoint {
	return Endpoint{Namespace: l.fullName("fabric"), Addr: addr4(192, 0, 2, 254), MTU: NodeMTU}
}

// zone of a node: contiguous blocks, the first ones larger ({1,2,3} and {4,5}).
func zone(i, nodes, zones int) int { return (i-1)*zones/nodes + 1 }

func (l *Lab) zoneName(i int) string { return fmt.Sprintf("zone%d", zone(i, l.cfg.Nodes, l.cfg.Zones)) }

func (l *Lab) fullName(short string) string { return "nc-" + l.cfg.Name + "-" + short }

func (l *Lab) space(ns string) (*space, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.spaces[strings.TrimPrefix(ns, l.fullName(""))]
	if s == nil {
		return nil, fmt.Errorf("lab %q has no namespace %q", l.cfg.Name, ns)
	}
	return s, nil
}

func (l *Lab) addSpace(short string) (*space, error) {
	s, err := newSpace(l.fullName(short))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spaces[short] = s
	return s, nil
}
