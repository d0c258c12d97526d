package evidence

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
	"netchecker/test/lab"
)

const (
	echoPort = 7070
	// readAfter is the time between the two readings of a child; the traffic runs meanwhile.
	readAfter = 1500 * time.Millisecond
)

// rig is a lab with listeners everywhere and traffic between all.
type rig struct {
	*lab.Lab
	places []lab.Endpoint // hosts, then pods
}

func newRig(t *testing.T, nodes int) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	l, err := lab.Start(t.Context(), lab.Config{Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Lab: l}
	var work sync.WaitGroup
	for i := range 2 * nodes {
		e := l.Node(i%nodes + 1)
		if i >= nodes {
			e = l.Pod(i%nodes + 1)
		}
		r.places = append(r.places, e)
		pc, err := l.ListenPacket(e.Namespace, "udp4", fmt.Sprintf(":%d", echoPort))
		if err != nil {
			t.Fatal(err)
		}
		ln, err := l.Listen(e.Namespace, "tcp4", fmt.Sprintf(":%d", echoPort))
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() { swallow(pc) })
		t.Cleanup(func() { ln.Close(); pc.Close() })
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		work.Wait()
	})
	return r
}

func swallow(pc net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		if _, _, err := pc.ReadFrom(buf); err != nil {
			return
		}
	}
}

// current are the places with the addresses that they have now.
func (r *rig) current() []lab.Endpoint {
	all := slices.Clone(r.places)
	for i := range all[len(all)/2:] {
		all[len(all)/2+i] = r.Pod(i + 1)
	}
	return all
}

// traffic sends small and full-size datagrams and connections from every place to every other.
func (r *rig) traffic(t *testing.T, names func(lab.Endpoint) bool) {
	all := r.current()
	var work sync.WaitGroup
	for _, from := range all {
		if !names(from) {
			continue
		}
		pc, err := r.ListenPacket(from.Namespace, "udp4", ":0")
		if err != nil {
			t.Error(err)
			return
		}
		raw, err := pc.(*net.UDPConn).SyscallConn()
		if err != nil {
			t.Error(err)
		}
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		})
		work.Go(func() {
			defer pc.Close()
			for range 8 {
				for _, to := range all {
					if to.Addr == from.Addr {
						continue
					}
					dst := net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr, echoPort))
					pc.WriteTo(make([]byte, 30), dst) // what cannot be sent is part of the fault
					pc.WriteTo(make([]byte, from.MTU-28), dst)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		work.Go(func() { r.connect(from, all) })
	}
	work.Wait()
}

// connect begins a TCP connection to every place and does not wait for it.
func (r *rig) connect(from lab.Endpoint, all []lab.Endpoint) {
	r.Do(from.Namespace, func() error {
		for _, to := range all {
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			syscall.Connect(fd, &syscall.SockaddrInet4{Port: echoPort, Addr: to.Addr.As4()})
		}
		time.Sleep(200 * time.Millisecond)
		return nil
	})
}

// nameOfPlace is "node3" or "pod3".
func nameOfPlace(e lab.Endpoint) string {
	if e.Addr.As4()[0] == 192 {
		return fmt.Sprintf("node%d", e.Node)
	}
	return fmt.Sprintf("pod%d", e.Node)
}

// read has readers without privileges read at some places while the traffic runs.
func (r *rig) read(t *testing.T, privileged bool, names ...string) map[string]*probe.Snapshot {
	t.Helper()
	type child struct {
		p        *lab.Process
		out, err *bytes.Buffer
	}
	children := map[string]child{}
	all := r.current()
	for _, e := range all {
		if !slices.Contains(names, nameOfPlace(e)) {
			continue
		}
		self := []netip.Addr{r.Node(e.Node).Addr, r.Pod(e.Node).Addr}
		var peers []netip.Addr
		for _, other := range all {
			if other.Node != e.Node {
				peers = append(peers, other.Addr)
			}
		}
		c := child{r.Command(e.Namespace, os.Args[0]), &bytes.Buffer{}, &bytes.Buffer{}}
		c.p.Env = append(os.Environ(), childVariable+"="+order(self, peers, readAfter, privileged))
		c.p.Stdout, c.p.Stderr = c.out, c.err
		if privileged {
			c.p.Caps = []uintptr{unix.CAP_NET_ADMIN}
		}
		if err := c.p.Start(); err != nil {
			t.Fatal(err)
		}
		children[nameOfPlace(e)] = c
	}
	time.Sleep(400 * time.Millisecond) // their first reading
	r.traffic(t, func(lab.Endpoint) bool { return true })
	out := map[string]*probe.Snapshot{}
	for name, c := range children {
		if err := c.p.Wait(t.Context()); err != nil {
			t.Fatalf("reader at %s: %v: %s", name, err, c.err)
		}
		s, err := probe.ParseSnapshot(c.out.Bytes())
		if err != nil {
			t.Fatalf("snapshot of %s: %v", name, err)
		}
		out[name] = s
	}
	return out
}

// summary is the part of a snapshot that shows why a test failed.
func summary(s *probe.Snapshot) string {
	var b strings.Builder
	for _, l := range s.Links {
		fmt.Fprintf(&b, "\n  %s %s up=%t/%t mtu=%d %v %v tx dropped %d rx dropped %d", l.Name, l.Kind, l.Up, l.LowerUp, l.MTU, l.MAC, l.Addrs, l.TX.Dropped, l.RX.Dropped)
	}
	fmt.Fprintf(&b, "\n  routes %v\n  rules %v\n  lookups %v\n  neighbors %v\n  fdb %v\n  growth over %v:", s.Routes, s.Rules, s.Lookups, s.Neighbors, s.FDB, s.Interval)
	for c := range probe.Counter(probe.Counters) {
		if n := s.Growth(c); n > 0 {
			fmt.Fprintf(&b, " %v=%d", c, n)
		}
	}
	fmt.Fprintf(&b, " vanished=%d\n  listeners %v missing %v firewall %+v", s.Vanished(), s.Listeners, s.Missing, s.Firewall)
	return b.String()
}
