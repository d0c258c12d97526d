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
	work sync.WaitGroup // changes under way; goroutines of Forward and of faults
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
	if err := needBridgeFilter(); err != nil {
		return nil, fmt.Errorf("lab %q: %w", cfg.Name, err)
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
		errs = append(errs, s.close())
	}
	l.spaces = nil
	errs = append(errs, locked(func() error { return erase(l.cfg.Name) }))
	return errors.Join(errs...)
}

// begin makes Close wait for what follows, until l.work.Done.
func (l *Lab) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("lab %q is closed", l.cfg.Name)
	}
	l.work.Add(1)
	return nil
}

// spawn starts a goroutine that Close waits for. It must end when l.stop is closed.
func (l *Lab) spawn(run func()) error {
	if err := l.begin(); err != nil {
		return err
	}
	go func() {
		defer l.work.Done()
		run()
	}()
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
