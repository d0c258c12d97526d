// Package sim is a cluster of many agents in one process and in virtual time, without sockets. The
// engine, the responder, the registry, the rows with their wire form, the matrix and its views are
// the real ones; what is simulated is the network between the agents, the news that gossip brings
// them, their clocks and processors, and the ways their rows take to the server.
//
// One goroutine runs all of it, in steps of 5 ms at which a tenth of the agents wake. Equal seeds
// give equal runs, but for the engines' random cookies, on which no verdict depends. It does not
// test sockets, gossip, HTTP or diagnosis.
package sim
