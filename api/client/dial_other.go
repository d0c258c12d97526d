//go:build !linux

package client

import "syscall"

// dialControl does nothing where segments cannot be limited: only netcheck runs there.
func dialControl(_, _ string, _ syscall.RawConn) error { return nil }
