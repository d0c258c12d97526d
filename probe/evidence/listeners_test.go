package evidence

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"netchecker/probe"
)

func TestOwnListenersAreFoundBothWays(t *testing.T) {
	ownNamespace(t)
	link(t, "lan0", 1500, "192.0.2.1/24", "2001:db8::1/64")
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	ports := map[uint16]bool{}
	var want []probe.Listener
	for _, address := range []string{"192.0.2.1:0", "[2001:db8::1]:0"} {
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		for proto, a := range map[string]net.Addr{"tcp": tcp.Addr(), "udp": udp.LocalAddr()} {
			ap := netip.MustParseAddrPort(a.String())
			ports[ap.Port()] = true
			want = append(want, probe.Listener{Proto: proto, Addr: ap.Addr(), Port: ap.Port()})
		}
		c, err := net.DialTimeout("tcp", tcp.Addr().String(), 5*time.Second) // waits to be accepted
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	got, err := readListeners(soon(), ports)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
	var fromFiles []probe.Listener
	for _, file := range []string{"tcp", "tcp6"} {
		if err := appendFile(&fromFiles, soon(), file, "tcp", ports); err != nil {
			t.Error(err)
		}
	}
	s := probe.Snapshot{Listeners: append(got, fromFiles...)}
	for _, w := range want {
		copies := 0
		for _, l := range s.Listeners {
			queued := l.Queued
			if l.Queued = 0; l == w {
				copies++
				if w.Proto == "tcp" && queued != 1 {
					t.Errorf("%v: %d wait to be taken, want 1", w, queued)
				}
			}
		}
		if w.Proto == "tcp" && copies != 2 || w.Proto == "udp" && copies != 1 {
			t.Errorf("%v was found %d times", w, copies)
		}
	}
}
