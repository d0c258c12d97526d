package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

const (
	// step is how far the simulation's clock goes at once.
	step = 5 * time.Millisecond
	// phases is how many groups of agents wake one after the other within probe.Tick.
	phases = int(probe.Tick / step)
	// epoch is the wall clock at the start of a simulation, ns since 1970.
	epoch = int64(1_790_000_000_000_000_000)
)

// Config says what cluster to simulate. The zero value of every field is usable.
type Config struct {
	Nodes int // each with an agent on the pod and one on the host network; 0: 50
	Zones int // nodes are dealt to them in turn; 0: 1
	Rate  int // -probe-rate of every agent; 0: the default
	Seed  uint64
	Dual  bool // IPv4 and IPv6
	// NewsDelay is how long what happens to an agent takes to reach a member, itself among them
	// when it learns of the mesh; nil: 0.1 to 1 s.
	NewsDelay func(random *rand.Rand) time.Duration
}

// Cluster is one simulation. It belongs to one goroutine.
type Cluster struct {
	cfg    Config
	now    time.Duration
	random *rand.Rand
	keys   *probe.Keys
	codec  *mesh.Codec
	agents []*Agent // running, lame ducks among them
	sites  map[netip.Addr]*site
	places map[mesh.Key]Place
	faults []namedFault
	events events
	server *server
	serial int
	nodes  int
	rows   RowStats
	peak   int    // the most probes an ended agent sent within one second
	packet Packet // the one being judged
}

type namedFault struct {
	name  string
	fault Fault
}

// New starts a cluster whose agents and server know each other.
func New(cfg Config) (*Cluster, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 50
	}
	cfg.Zones = max(cfg.Zones, 1)
	if cfg.Rate == 0 {
		cfg.Rate = probe.DefaultRate
	}
	if cfg.NewsDelay == nil {
		cfg.NewsDelay = func(r *rand.Rand) time.Duration {
			return 100*time.Millisecond + time.Duration(r.Int64N(int64(900*time.Millisecond)))
		}
	}
	c := &Cluster{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0)), keys: probe.NewKeys([]byte("secret")),
		codec: mesh.NewCodec(), sites: map[netip.Addr]*site{}, places: map[mesh.Key]Place{}}
	c.server = newServer(c)
	for range cfg.Nodes {
		if err := c.addNode(); err != nil {
			return nil, fmt.Errorf("sim: %w", err)
		}
	}
	for _, a := range c.agents {
		c.server.reg.Alive(a.self, c.wall())
		for _, b := range c.agents {
			a.reg.Alive(b.self, c.wall())
		}
	}
	return c, nil
}

// addNode starts the two agents of a new node.
func (c *Cluster) addNode() error {
	for n := range mesh.Network(mesh.Networks) {
		p := c.Place(c.nodes, n)
		c.places[p.Key()] = p
		if _, err := c.start(p, c.skew()); err != nil {
			return err
		}
	}
	c.nodes++
	return nil
}

// skew is how wrong a clock of the cluster is.
func (c *Cluster) skew() time.Duration {
	return time.Duration(c.random.Int64N(int64(2*maxClockSkew))) - maxClockSkew
}

// Place returns the place of a node on a network.
func (c *Cluster) Place(node int, network mesh.Network) Place {
	return Place{Node: node, Network: network, Zone: node % c.cfg.Zones}
}

// Nodes is the number of nodes.
func (c *Cluster) Nodes() int { return c.nodes }

// Now is the time since the start.
func (c *Cluster) Now() time.Duration { return c.now }

// wall is the true time of day.
func (c *Cluster) wall() time.Time { return time.Unix(0, epoch+int64(c.now)) }

// Run lets d pass.
func (c *Cluster) Run(d time.Duration) {
	for end := c.now + d; c.now < end; {
		c.now += step
		c.events.run(c.now)
		phase := int(c.now/step) % phases
		for _, a := range slices.Clone(c.agents) {
			if a.phase == phase {
				a.step()
			}
		}
		c.server.step()
	}
}

// Break puts a fault into the network under a name; one of the same name is replaced.
func (c *Cluster) Break(name string, fault Fault) {
	c.Heal(name)
	c.faults = append(c.faults, namedFault{name, fault})
}

// Heal takes the fault of a name away.
func (c *Cluster) Heal(name string) {
	c.faults = slices.DeleteFunc(c.faults, func(f namedFault) bool { return f.name == name })
}

// Agent returns the running agent of a place that has not said farewell, or nil.
func (c *Cluster) Agent(p Place) *Agent {
	for _, a := range c.agents {
		if a.Place == p && a.asking {
			return a
		}
	}
	return nil
}

// Agents lists the running agents.
func (c *Cluster) Agents() []*Agent { return c.agents }

// View is what the server says now.
func (c *Cluster) View() *mesh.View { return c.server.matrix.View(c.server.clock()) }

// Rows returns what the rows since the start cost.
func (c *Cluster) Rows() RowStats { return c.rows }

// Peak is the most probes that any agent sent within one second.
func (c *Cluster) Peak() int {
	peak := c.peak
	for _, a := range c.agents {
		peak = max(peak, a.port.meter.peak)
	}
	return peak
}

// Sent is how many probes the running agents have sent.
func (c *Cluster) Sent() (total int) {
	for _, a := range c.agents {
		total += a.port.meter.total
	}
	return total
}

// RestartServer replaces the server by one that knows nothing. Gossip and rows tell it the rest.
func (c *Cluster) RestartServer() {
	c.server = newServer(c)
	fresh := c.server
	for _, a := range c.agents {
		c.at(c.now+c.cfg.NewsDelay(c.random), func() { a.describe(fresh.reg, fresh.clock()) })
	}
}

// JumpServer sets the server's clock.
func (c *Cluster) JumpServer(d time.Duration) { c.server.skew += d }
