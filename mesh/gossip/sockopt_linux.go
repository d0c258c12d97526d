package gossip

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSegment is the TCP_MAXSEG of every stream: with headers a segment stays below MaxPacket.
const maxSegment = 1100

// control sets a socket up before it binds or connects. A listener's TCP_MAXSEG is inherited by
// what it accepts. UDP goes without the don't-fragment bit, so that routers before a link that is
// narrower still may cut a packet up instead of dropping it.
func control(network, _ string, raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		if strings.HasPrefix(network, "tcp") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, maxSegment)
			return
		}
		if network != "udp4" {
			// Also governs nothing of IPv4 on a socket of both families, hence the next one too.
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
		}
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	})
	if cerr != nil {
		return cerr
	}
	return err
}
