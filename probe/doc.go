// Package probe times one path once and keeps what the last probes of that path said.
//
// It holds the vocabulary that every other room shares (Kind, State, Code, Loss), the packet that
// travels between two agents (Packet, Keys), the window of outcomes with its thresholds (Window), the
// plan that spreads an agent's probe budget (Plan), and the Engine that puts probes on kernel sockets
// or on any other Transport. Sockets are Linux's: kernel receive stamps, the error queue,
// don't-fragment and unprivileged ping sockets are what the measurements rest on.
//
// It does not know what a node, a roster or a server is: a Target is an address and the identity
// expected to answer there. It does not answer probes (probe/echo does), reads no evidence about the
// node, and never compares two machines' clocks.
package probe
