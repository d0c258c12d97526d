package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"netchecker/cmd/cli"
	"netchecker/mesh"
	"netchecker/probe"
	"netchecker/probe/service"
)

// Config says what an agent is and how it works. Default holds the values of flags not given.
type Config struct {
	// Node and Pod are the names of the node and the pod; Zone is the node's failure domain or "".
	Node, Pod, Zone string
	Network         mesh.Network
	// IPv4 and IPv6 are the addresses to advertise; the zero Addr leaves the family out.
	IPv4, IPv6 netip.Addr
	// MTU is that of the interface holding them, in bytes; 0 when not known.
	MTU uint16
	// ProbePort serves echo, identity, metrics and relay; GossipPort gossip. Both UDP and TCP.
	ProbePort, GossipPort uint16
	// ProbeRate is the whole budget in probes per second.
	ProbeRate int
	// Retain is how long a dead agent is probed.
	Retain time.Duration
	// Join lists the seeds of the gossip.
	Join []string
	// ServerEndpoint is the host:port of the server for as long as gossip shows none.
	ServerEndpoint string
	// ProbeURLs are probed over HTTP for every report, after the server's own ping.
	ProbeURLs []string
	// ReportInterval is that of the original report.
	ReportInterval time.Duration
	// ZeroExtender is the number of zeros a report carries, to test large bodies.
	ZeroExtender int
	// Secret authenticates reports and rows; empty for none.
	Secret []byte
	// TokenFile holds the token with which the agent enrols for a key of its own, in place of Secret; ""
	// where it does not. It needs GossipKeyFile too.
	TokenFile string
	// ServerCA is the file of the CA of the servers' certificates, which name the host of
	// ServerEndpoint; "" for plain HTTP.
	ServerCA string
	// GossipKeyFile holds the gossip keyring; "" for none.
	GossipKeyFile string
	// Services are probed besides those the server hands out.
	Services []service.Target
	// Privileged reads the packet filter too, which needs NET_ADMIN.
	Privileged bool
	// LameDuck is how long the agent keeps answering after it left.
	LameDuck time.Duration
	// BindAdvertised listens on and sends from the advertised addresses alone, so that many agents
	// share a machine; otherwise an agent listens on all of its addresses.
	BindAdvertised bool
	// LossHook drops probes in a demonstration without root; nil in earnest.
	LossHook func(kind probe.Kind, to netip.AddrPort, flow int, answer bool) bool
	Version  string
	Log      *slog.Logger
}

// Default holds the values of flags that are not given.
var Default = Config{
	ProbePort: 8095, GossipPort: 8096, ProbeRate: probe.DefaultRate, Retain: 24 * time.Hour,
	ServerEndpoint: "netchecker-service:8081", ReportInterval: time.Minute, LameDuck: 10 * time.Second,
}

// maxZeroExtender keeps a report below what the server takes.
const maxZeroExtender = 100_000

func (c *Config) check() error {
	if err := mesh.CheckName("node name (MY_NODE_NAME)", c.Node); err != nil {
		return err
	}
	if err := mesh.CheckName("pod name (MY_POD_NAME)", c.Pod); err != nil {
		return err
	}
	if !c.IPv4.IsValid() && !c.IPv6.IsValid() {
		return errors.New("no address to advertise: give -advertise or MY_POD_IP")
	}
	if c.ProbeRate < 1 || c.ProbeRate > 100_000 {
		return fmt.Errorf("-probe-rate %d: want 1 to 100000 probes per second", c.ProbeRate)
	}
	if c.ReportInterval < time.Second || c.ReportInterval > 24*time.Hour {
		return fmt.Errorf("-reportinterval %v: want 1 s to 24 h", c.ReportInterval)
	}
	if c.ZeroExtender < 0 || c.ZeroExtender > maxZeroExtender {
		return fmt.Errorf("-zeroextenderlength %d: want 0 to %d", c.ZeroExtender, maxZeroExtender)
	}
	if c.Retain < time.Minute {
		return fmt.Errorf("-retain %v: want at least 1m", c.Retain)
	}
	return cli.CheckEndpoint("-serverendpoint", c.ServerEndpoint)
}
