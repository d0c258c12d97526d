package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind says what is broken. The names are part of the API: append only.
type Kind string

// The kinds of findings.
const (
	NodeDown            Kind = "node_down"
	NodeUnreachable     Kind = "node_unreachable"
	NodeRoutingBroken   Kind = "node_routing_broken"
	OverlayBroken       Kind = "overlay_broken"
	ForwardingBroken    Kind = "forwarding_broken"
	PodAttachmentBroken Kind = "pod_attachment_broken"
	PodIngressBlocked   Kind = "pod_ingress_blocked"
	PodEgressBlocked    Kind = "pod_egress_blocked"
	PairBroken          Kind = "pair_broken"
	OneWay              Kind = "one_way"
	Partition           Kind = "partition"
	MTUBlackhole        Kind = "mtu_blackhole"
	MTUMismatch         Kind = "mtu_mismatch"
	PartialLoss         Kind = "partial_loss"
	FlowBlackhole       Kind = "flow_blackhole"
	PortBlocked         Kind = "port_blocked"
	ProtocolBlocked     Kind = "protocol_blocked"
	AddressConflict     Kind = "address_conflict"
	HighLatency         Kind = "high_latency"
	DNSFailing          Kind = "dns_failing"
	ServiceBroken       Kind = "service_broken"
	ServerUnreachable   Kind = "server_unreachable"
	AgentDown           Kind = "agent_down"
	AgentUnhealthy      Kind = "agent_unhealthy"
	Unexplained         Kind = "unexplained"
)

// Severity says how urgent a finding is.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Scope says what a location is.
type Scope string

// The scopes of a location.
const (
	ScopeNode    Scope = "node"
	ScopePair    Scope = "pair"
	ScopeAgent   Scope = "agent"
	ScopeGroups  Scope = "groups"
	ScopeZone    Scope = "zone"
	ScopeCluster Scope = "cluster"
)

// Finding is one diagnosed fault.
type Finding struct {
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	// Since is when the trouble began, as far as anybody can tell.
	Since time.Time `json:"since"`
	// ID stays the same for as long as the finding lasts.
	ID string `json:"id"`
	// ClosedAt is when the finding ended; nil while it lasts.
	ClosedAt *time.Time `json:"closed_at"`
	// Summary is one or two sentences that an operator can act on.
	Summary  string   `json:"summary"`
	Location Location `json:"location"`
	// Cause is why; "" when the evidence does not decide.
	Cause Cause `json:"cause"`
	// Confidence is between 0 and 1.
	Confidence float64 `json:"confidence"`
	// Explains is the number of bad paths that the finding accounts for.
	Explains int        `json:"explains"`
	Paths    []Selector `json:"paths"`
	// Alternatives are other explanations that fit as well.
	Alternatives []string `json:"alternatives"`
	Evidence     []Fact   `json:"evidence"`
	// Check is a command to run there.
	Check string `json:"check"`
}

// Location says where it is broken.
type Location struct {
	Scope Scope `json:"scope"`
	// Nodes are the nodes concerned, sorted; for groups all but those of the largest.
	Nodes []string `json:"nodes"`
	// Source and Destination are those of a pair; for a fault in both directions they are in order of name.
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Culprit is the node to look at first; "" when that is not known.
	Culprit string `json:"culprit"`
	// Network is "host" when the physical network is concerned, "pod" when only the virtual one is, "" for neither.
	Network string `json:"network"`
	// Groups are the parts of a split cluster, the largest first.
	Groups [][]string `json:"groups"`
}

// Selector names a set of paths: "" stands for any node or kind.
type Selector struct {
	Path        string `json:"path"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Family is set when only one of two families is concerned.
	Family string `json:"family,omitempty"`
	// Probe is set when not all probes of the paths are concerned.
	Probe string `json:"probe,omitempty"`
}

// Fact is one piece of evidence.
type Fact struct {
	Node string `json:"node"`
	Fact string `json:"fact"`
	// Value is what it is, Expected what it should be or is elsewhere.
	Value    string `json:"value"`
	Expected string `json:"expected"`
}

// Headline is the severity and the summary in a line.
func (f *Finding) Headline() string { return fmt.Sprintf("%s: %s", f.Severity, f.Summary) }

// Compare orders findings: open before closed, then by severity, weight and place, so that lists
// are the same however they came about.
func (f *Finding) Compare(other *Finding) int {
	if a, b := f.ClosedAt == nil, other.ClosedAt == nil; a != b {
		if a {
			return -1
		}
		return 1
	}
	if c := severityRank(f.Severity) - severityRank(other.Severity); c != 0 {
		return c
	}
	if f.Explains != other.Explains {
		return other.Explains - f.Explains
	}
	if c := slices.Compare(f.Location.Nodes, other.Location.Nodes); c != 0 {
		return c
	}
	if c := strings.Compare(string(f.Kind), string(other.Kind)); c != 0 {
		return c
	}
	return strings.Compare(f.ID, other.ID)
}

func severityRank(s Severity) int {
	switch s {
	case Critical:
		return 0
	case Warning:
		return 1
	}
	return 2
}
