// Package api is the HTTP face of the network checker: the original contract that operators and
// old agents rely on, the rows of new agents, the matrix, and the words that agents and server
// exchange (Report, RowAnswer, Signature).
//
// It does not listen (cmd does), does not store (a Store does), does not know Kubernetes or gossip
// (an Expecter and a function returning the roster stand for them) and starts no goroutine. What
// it holds beyond the Matrix and the Store is bounded: one run per agent, one log of the roster's
// changes and a few counters.
package api
