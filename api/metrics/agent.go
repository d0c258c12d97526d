package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netchecker/mesh"
	"netchecker/probe"
)

// AgentPath is one of an agent's outgoing paths.
type AgentPath struct {
	Destination mesh.Key
	Family      mesh.Family
	Probes      [probe.Kinds]probe.Status
}

// AgentSnapshot is what an agent knows of itself at one moment.
type AgentSnapshot struct {
	Self  mesh.Key
	Doubt probe.Doubt
	// Probes counts since the agent started.
	Probes probe.Stats
	// Paths may be left empty in a mesh where nobody wants a series for each.
	Paths    []AgentPath
	Services []probe.Service
	Gossip   GossipStats
	// Deliveries of rows and reports: direct to the server, through a peer, and not at all.
	Direct, Relayed, Undelivered uint64
	// Relay counts what peers asked this agent to relay: done, and refused or not delivered.
	RelayDone, RelayRefused uint64
}

// GossipStats is what an agent's gossip counts; see package gossip for the meaning.
type GossipStats struct {
	Members, Unread, Health                                 int
	Joins, JoinsFailed, LookupsFailed, Conflicts, KeyErrors uint64
	PacketsSent, PacketsReceived, BytesSent, BytesReceived  uint64
}

// Agent collects one agent's metrics. Any goroutine may use it.
type Agent struct {
	version  string
	snapshot func() AgentSnapshot
	rtt      *prometheus.HistogramVec
}

// NewAgent returns the collector of what snapshot returns at each scrape.
func NewAgent(version string, snapshot func() AgentSnapshot) *Agent {
	return &Agent{version: version, snapshot: snapshot, rtt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "netchecker_agent_rtt_seconds", Help: "Round trips of this agent's probes, lost ones left out.",
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}, []string{"path", "probe"})}
}

// Handler returns the handler of the agent's /metrics: its own series, the process's and Go's. It is called once.
func (a *Agent) Handler() http.Handler { return handler(a) }

// ObserveRTT takes in the round trip of one probe that came back. It neither blocks nor allocates
// after the first of its kind.
func (a *Agent) ObserveRTT(path mesh.PathKind, kind probe.Kind, rtt time.Duration) {
	a.rtt.WithLabelValues(path.String(), kind.String()).Observe(rtt.Seconds())
}

var (
	agentInfo = prometheus.NewDesc("netchecker_agent_info",
		"Always 1; the labels say whose series these are.", []string{"node", "network"}, nil)
	agentDoubt = prometheus.NewDesc("netchecker_agent_doubt",
		"1 for each reason why the agent does not trust its own measurements.", []string{"reason"}, nil)
	agentSent = prometheus.NewDesc("netchecker_agent_probes_sent_total",
		"Probes sent.", []string{"probe"}, nil)
	agentReceived = prometheus.NewDesc("netchecker_agent_probes_answered_total",
		"Probes answered in time by the right peer.", []string{"probe"}, nil)
	agentLost = prometheus.NewDesc("netchecker_agent_probes_lost_total",
		"Probes that failed.", []string{"probe"}, nil)
	agentOdd = prometheus.NewDesc("netchecker_agent_packets_odd_total",
		"Packets that count for no probe: late, not ours (bad), dropped in our own buffers, not sent for lack of resources.", []string{"reason"}, nil)
	agentLag = prometheus.NewDesc("netchecker_agent_lag_max_seconds",
		"The latest that the probe engine was ever woken.", nil, nil)
	agentDeliveries = prometheus.NewDesc("netchecker_agent_deliveries_total",
		"Rows and reports by how they reached the server: direct, relayed, or failed.", []string{"way"}, nil)
	agentRelay = prometheus.NewDesc("netchecker_agent_relays_total",
		"Messages that peers asked this agent to relay.", []string{"result"}, nil)
	gossipMembers = prometheus.NewDesc("netchecker_gossip_members",
		"Live members of the gossip, this one included.", nil, nil)
	gossipUnread = prometheus.NewDesc("netchecker_gossip_unread_members",
		"Live members whose data cannot be read.", nil, nil)
	gossipHealth = prometheus.NewDesc("netchecker_gossip_health_score",
		"The gossip's doubt in this member: 0 is healthy.", nil, nil)
	gossipPackets = prometheus.NewDesc("netchecker_gossip_packets_total",
		"UDP packets of the gossip.", []string{"direction"}, nil)
	gossipBytes = prometheus.NewDesc("netchecker_gossip_bytes_total",
		"Bytes in UDP packets of the gossip, headers not included.", []string{"direction"}, nil)
	gossipEvents = prometheus.NewDesc("netchecker_gossip_events_total",
		"Joins tried and failed, look-ups of seeds that failed, address conflicts, keyrings not readable.", []string{"event"}, nil)
)

// Describe implements prometheus.Collector; see ServerCollector.Describe.
func (a *Agent) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (a *Agent) Collect(ch chan<- prometheus.Metric) {
	s := a.snapshot()
	gauge(ch, buildInfo, 1, a.version)
	gauge(ch, agentInfo, 1, s.Self.Node, s.Self.Network.String())
	a.rtt.Collect(ch)
	for k := range probe.Kind(probe.Kinds) {
		counter(ch, agentSent, s.Probes.Sent[k], k.String())
		counter(ch, agentReceived, s.Probes.Received[k], k.String())
		counter(ch, agentLost, s.Probes.Lost[k], k.String())
	}
	counter(ch, agentOdd, s.Probes.Late, "late")
	counter(ch, agentOdd, s.Probes.Bad, "bad")
	counter(ch, agentOdd, s.Probes.Dropped, "dropped")
	counter(ch, agentOdd, s.Probes.Unsent, "unsent")
	gauge(ch, agentLag, s.Probes.MaxLag.Seconds())
	for _, d := range [...]probe.Doubt{probe.DoubtLoopback, probe.DoubtLag, probe.DoubtDrops} {
		gauge(ch, agentDoubt, truth(s.Doubt&d != 0), d.String())
	}
	for i := range s.Paths {
		p := &s.Paths[i]
		collectPath(ch, s.Self.Node, p.Destination.Node, mesh.KindOf(s.Self.Network, p.Destination.Network), p.Family, &p.Probes)
	}
	self := mesh.AgentView{Member: mesh.Member{Agent: mesh.Agent{Key: s.Self}}, Services: s.Services}
	collectServices(ch, &self)
	counter(ch, agentDeliveries, s.Direct, "direct")
	counter(ch, agentDeliveries, s.Relayed, "relayed")
	counter(ch, agentDeliveries, s.Undelivered, "failed")
	counter(ch, agentRelay, s.RelayDone, "done")
	counter(ch, agentRelay, s.RelayRefused, "refused")
	collectGossip(ch, &s.Gossip)
}

func collectGossip(ch chan<- prometheus.Metric, g *GossipStats) {
	gauge(ch, gossipMembers, float64(g.Members))
	gauge(ch, gossipUnread, float64(g.Unread))
	gauge(ch, gossipHealth, float64(g.Health))
	counter(ch, gossipPackets, g.PacketsSent, "sent")
	counter(ch, gossipPackets, g.PacketsReceived, "received")
	counter(ch, gossipBytes, g.BytesSent, "sent")
	counter(ch, gossipBytes, g.BytesReceived, "received")
	counter(ch, gossipEvents, g.Joins, "join")
	counter(ch, gossipEvents, g.JoinsFailed, "join_failed")
	counter(ch, gossipEvents, g.LookupsFailed, "lookup_failed")
	counter(ch, gossipEvents, g.Conflicts, "conflict")
	counter(ch, gossipEvents, g.KeyErrors, "key_error")
}
