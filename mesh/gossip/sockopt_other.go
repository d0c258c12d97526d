//go:build !linux

package gossip

import "syscall"

// control does nothing where agents do not run.
func control(string, string, syscall.RawConn) error { return nil }
