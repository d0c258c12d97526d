package client

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSegment is the TCP segment size asked of both ends: with larger ones a path that drops large
// packets would drop the report of it.
const maxSegment = 1100

// dialControl sets the segment size before the connection is made.
func dialControl(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, maxSegment)
	})
	if err != nil {
		return err
	}
	return failed
}
