// Package probe times one path once and keeps what the last probes of that path said.
//
// It holds the vocabulary that every other room shares (Kind, State, Code, Loss), the packet
// that travels between two agents, the outcome window with its thresholds, the schedule that
// spreads an agent's probe budget, and the engine that puts probes on real sockets.
// It does not know what a node, a roster or a server is: a Target is an address and the
// identity expected to answer there.
package probe
