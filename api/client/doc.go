// Package client carries an agent's rows and reports to the servers, around a broken path if need
// be, and is the relay that an agent offers its peers for that. It also reads a server's matrix.
//
// It keeps nothing but connections and what it learnt about ways: every message says everything
// anew, so none is queued. Goroutines it needs for one message end before the call returns.
package client
