package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"netchecker/mesh"
)

const (
	// DefaultPort is the gossip port, UDP and TCP. It is not memberlist's 7946, which MetalLB and
	// Swarm hold on hosts.
	DefaultPort = 8096
	// DefaultRetain is how long a dead agent stays in the roster.
	DefaultRetain = 24 * time.Hour
	// DefaultLeftRetain is how long an agent that left waits in the roster for its successor.
	DefaultLeftRetain = 2 * time.Minute
	// MaxPacket is the most bytes of an IP packet with gossip in it, so that a path whose MTU has
	// shrunk still carries the news about it.
	MaxPacket = 1200
)

// Payload is what MaxPacket leaves: without 40 bytes of IPv6, 8 of UDP and the 5 of memberlist's
// checksum, which its own sum forgets.
const maxPayload = MaxPacket - 40 - 8 - 5

// Resolver looks up seeds; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config says who we are and how to find the others. The zero value of every field but Self and
// Bind is usable.
type Config struct {
	// Self is what we advertise. Gossip reaches us at Self.Primary and Self.GossipPort; a
	// GossipPort of 0 becomes the port that Bind got.
	Self mesh.Agent
	// Bind is where to listen, UDP and TCP: the zero Addr is every address of both families, port
	// 0 any free one.
	Bind netip.AddrPort
	// Seeds are members to join, as host:port; without a port DefaultPort is meant. A name is
	// looked up again for every try and may have many addresses.
	Seeds []string
	// KeyFile holds the keyring (see mesh.ParseKeyring) and is read again when it changes. "" sends
	// in clear.
	KeyFile string
	// Retain and LeftRetain are as in mesh.Registry; 0 means the defaults.
	Retain, LeftRetain time.Duration
	// Log takes what happens; nil discards it.
	Log *slog.Logger
	// Transport replaces the sockets, in tests; Bind is then ignored and packets are not counted.
	Transport memberlist.NodeAwareTransport
	// Resolver replaces the system's, in tests.
	Resolver Resolver
}

func (c *Config) check() error {
	if err := c.Self.Check(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	if n := len(c.Self.AppendMeta(nil)); n > mesh.MaxMeta {
		return fmt.Errorf("gossip: agent %q: member data of %d bytes, at most %d are allowed", c.Self.Name, n, mesh.MaxMeta)
	}
	if c.Transport != nil && c.Self.GossipPort == 0 {
		return errors.New("gossip: a transport of one's own wants a gossip port")
	}
	if c.Retain < 0 || c.LeftRetain < 0 {
		return fmt.Errorf("gossip: retention of %v and %v: want neither below zero", c.Retain, c.LeftRetain)
	}
	return nil
}

func (c *Config) fill() {
	if c.Retain == 0 {
		c.Retain = DefaultRetain
	}
	if c.LeftRetain == 0 {
		c.LeftRetain = DefaultLeftRetain
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// tuning returns memberlist's settings. Its LAN defaults want a death known within seconds; probes
// do that here, so everything that makes a busy machine look dead is slowed down. With the defaults
// 300 members started at once in one process made 82,510 false leaves and were not whole after
// 180 s; with these they are whole after 12 s without one (TestManyAtOnce, two cores). At rest one
// of 100 costs 0.2 ms of CPU and sends 20 bytes a second (BenchmarkIdleMesh).
func tuning(name string, keys *memberlist.Keyring, logs *logWriter) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = name
	c.Keyring = keys
	c.Logger = log.New(logs, "", 0)
	c.UDPBufferSize = maxPayload
	c.EnableCompression = false // costs 24 times the CPU of a packet without
	// SuspicionTimeout = 6 * log10(N) * 5 s, and up to 6 times that while few others confirm it.
	c.ProbeInterval = 5 * time.Second
	c.ProbeTimeout = 2 * time.Second // leaves 3 s to the ping over TCP
	c.SuspicionMult = 6
	c.SuspicionMaxTimeoutMult = 6
	c.AwarenessMaxMultiplier = 4
	// At 10,000 members memberlist stretches this to 20 minutes, which is 8 kB a second: four times
	// 2.3 MB, sent and received, asked and answered. The digest repairs sooner.
	c.PushPullInterval = 2 * time.Minute
	c.TCPTimeout = 10 * time.Second
	// News reaches N members in about log4(N) rounds of this: 10,000 within 2 s.
	c.GossipInterval = 200 * time.Millisecond
	c.GossipNodes = 3
	c.RetransmitMult = 4
	// Also how long memberlist remembers a member it called dead.
	c.GossipToTheDeadTime = time.Minute
	// One slot is 64 bytes and there only when used; N joins at once fill N of them.
	c.HandoffQueueDepth = 1 << 16
	// A pod whose sandbox was made anew keeps its name and gets another address.
	c.DeadNodeReclaimTime = time.Second
	return c
}
