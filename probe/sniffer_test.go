package probe_test

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// sniffer sees the packets of eth0 with the kernel's own times.
type sniffer struct {
	t     testing.TB
	fd    int
	batch *probe.Batch
}

func newSniffer(t testing.TB) *sniffer {
	protocol := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8 // network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for _, o := range [][2]int{{unix.SO_TIMESTAMPNS, 1}, {unix.SO_RCVBUFFORCE, 64 << 20}} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], o[1]); err != nil {
			t.Fatal(err)
		}
	}
	return &sniffer{t: t, fd: fd, batch: probe.NewBatch(256)}
}

// collect watches for d and returns the kernel's round trip of each probe, ns by cookie.
func (s *sniffer) collect(d time.Duration) map[uint64]int64 {
	left, trips := make(map[uint64]int64), make(map[uint64]int64)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for n := s.batch.Receive(s.fd); n > 0; n = s.batch.Receive(s.fd) {
			for i := range n {
				ip := s.batch.Data(i)
				if len(ip) < 28+probe.PacketSize || ip[0] != 0x45 || ip[9] != unix.IPPROTO_UDP {
					continue
				}
				var p probe.Packet
				if p.Decode(ip[28:]) != nil {
					continue
				}
				stamp := s.batch.Control(i).Stamp
				if at, ok := left[p.Cookie]; ok && p.Type == probe.TypeReply {
					trips[p.Cookie] = stamp - at - int64(p.Hold)
				} else if p.Type == probe.TypeRequest && binary.BigEndian.Uint16(ip[22:]) == 8095 {
					left[p.Cookie] = stamp
				}
			}
		}
	}
	return trips
}
