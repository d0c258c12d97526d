// Package service times, from this agent, the services that it and every pod depend on: DNS by its
// Service address and directly, the server likewise, and whatever else is configured. It also holds
// the HTTP probe and the name lookup of the original agent's report.
//
// Every probe opens a new socket: established flows outlive many faults, so a keep-alive proves
// nothing. The package keeps what the last probes of each service said (Watch), but does not know
// where a service lives or what its failure means: the server hands out the targets, and compares
// agents.
package service
