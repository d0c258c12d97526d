package probe

import "time"

// Service is what one agent says about one service it depends on: the cluster's DNS, the server
// behind its Service address, a configured target. It is data like a path's Status and says
// nothing about the path to an agent.
type Service struct {
	// Name is the target's name, unique among the agent's services, for instance "dns-vip-udp".
	Name string
	// Kind is how the service is probed: one of ServiceDNSUDP, ServiceDNSTCP, ServiceHTTP, ServiceTCP.
	Kind string
	// Address is where the probe goes: host:port for DNS and TCP, the whole URL for HTTP.
	Address string
	State   State
	// Code is the class of the last failure, CodeSlow for a late answer, CodeNone when all is well.
	Code Code
	// RTT is the time of the last good probe from the first packet to the last byte; 0 when there is none.
	RTT time.Duration
	// Loss is the share of the last probes (20 at most) that failed.
	Loss Loss
	// Detail says in a word or a short clause what was wrong, for instance "servfail" or "status 503"; "" when ok.
	Detail string
	// Age is how long State has lasted.
	Age time.Duration
}

// The kinds of service probes, as they stand in JSON and metrics.
const (
	ServiceDNSUDP = "dns-udp"
	ServiceDNSTCP = "dns-tcp"
	ServiceHTTP   = "http"
	ServiceTCP    = "tcp"
)

// HTTPResult is one HTTP probe of the original agent's report, with its JSON names. Times are in
// whole milliseconds, 0 where the phase did not happen.
type HTTPResult struct {
	URL string
	// ConnectionResult is 1 when a whole answer came, whatever its status, and 0 when not.
	ConnectionResult int
	// HTTPCode is the status of the answer; 0 when none came.
	HTTPCode int
	// Total is the time from the start of the lookup to the last byte of the body.
	Total int
	// ContentTransfer is the time from the first byte of the answer to the last.
	ContentTransfer int
	// TCPConnection is the time of the TCP handshake alone.
	TCPConnection int
	// DNSLookup is the time of the name lookup; 0 for an address.
	DNSLookup int
	// Connect is the time from the start until the connection stood: lookup and handshake, without TLS.
	Connect int
	// ServerProcessing is the time from the sent request to the first byte of the answer.
	ServerProcessing int
}
