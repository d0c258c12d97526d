package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"netchecker/test/lab"
)

const (
	echoPort = 7070
	attempt  = 300 * time.Millisecond
	attempts = 3
)

// The tests of one path, in the words of the fault tables.
var probeNames = []string{"icmp56", "icmpDF", "udp", "tcp", "tcp8k"}

// place is an end of a path: host or pod network of a node.
type place struct {
	lab.Endpoint
	pod bool
}

func (p place) String() string {
	if p.pod {
		return "pod:" + p.NodeName
	}
	return "host:" + p.NodeName
}

// try probes a path up to three times: the machine under the tests may be busy.
func try(l *lab.Lab, probe string, src, dst place, addr netip.Addr) (err error) {
	for range attempts {
		if err = probeOnce(l, probe, src, dst, addr); err == nil {
			return nil
		}
	}
	return err
}

func probeOnce(l *lab.Lab, probe string, src, dst place, addr netip.Addr) error {
	target := netip.AddrPortFrom(addr, echoPort).String()
	switch probe {
	case "icmp56":
		return ping(l, src.Namespace, addr, 56, false)
	case "icmpDF":
		return ping(l, src.Namespace, addr, min(src.MTU, dst.MTU)-headers(addr), true)
	case "udp":
		return exchangeUDP(l, src.Namespace, target, dst.String())
	case "tcp":
		return exchangeTCP(l, src.Namespace, target, dst.String(), 0)
	case "tcp8k":
		return exchangeTCP(l, src.Namespace, target, dst.String(), 8192)
	}
	return fmt.Errorf("no probe %q", probe)
}

// headers are the bytes of IP and ICMP headers in a ping.
func headers(a netip.Addr) int {
	if a.Is6() {
		return 40 + 8
	}
	return 20 + 8
}

func exchangeUDP(l *lab.Lab, ns, target, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	c, err := l.Dial(ctx, ns, "udp", target)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(attempt))
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	buf := make([]byte, 200)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	if got := string(buf[:n]); got != want+" hello" {
		return fmt.Errorf("wrong peer: %q", got)
	}
	return nil
}

func exchangeTCP(l *lab.Lab, ns, target, want string, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	c, err := l.Dial(ctx, ns, "tcp", target)
	if err != nil {
		return err
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0)
	c.SetDeadline(time.Now().Add(attempt))
	name := make([]byte, len(want)+1)
	if _, err := io.ReadFull(c, name); err != nil {
		return err
	}
	if string(name) != want+" " {
		return fmt.Errorf("wrong peer: %q", name)
	}
	data := bytes.Repeat([]byte("x"), size)
	if _, err := c.Write(data); err != nil {
		return err
	}
	_, err = io.ReadFull(c, data)
	return err
}

// ping sends one echo request over an unprivileged socket, as an agent without capabilities does.
func ping(l *lab.Lab, ns string, dst netip.Addr, size int, dontFragment bool) error {
	return pingWithin(attempt, l, ns, dst, size, dontFragment)
}

func pingWithin(limit time.Duration, l *lab.Lab, ns string, dst netip.Addr, size int, dontFragment bool) error {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	var kind icmp.Type = ipv4.ICMPTypeEcho
	if dst.Is6() {
		family, proto, kind = unix.AF_INET6, unix.IPPROTO_ICMPV6, ipv6.ICMPTypeEchoRequest
	}
	var conn net.Conn
	err := l.Do(ns, func() error {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "ping")
		defer f.Close()
		if dontFragment {
			if err := probeMTU(fd, dst.Is6()); err != nil {
				return err
			}
		}
		if err := unix.Connect(fd, sockaddr(dst)); err != nil {
			return err
		}
		conn, err = net.FileConn(f)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	msg := icmp.Message{Type: kind, Body: &icmp.Echo{Seq: 1, Data: make([]byte, size)}}
	packet, err := msg.Marshal(nil)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 2048))
	return err
}

// probeMTU forbids fragments and ignores learned path MTUs.
func probeMTU(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is6() {
		return &unix.SockaddrInet6{Addr: a.As16()}
	}
	return &unix.SockaddrInet4{Addr: a.As4()}
}

// parallel runs jobs with a bounded number of threads in namespaces.
func parallel(jobs []func()) {
	var wg sync.WaitGroup
	gate := make(chan struct{}, 100)
	for _, job := range jobs {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			job()
		})
	}
	wg.Wait()
}

// askDNS asks for an A record over udp or tcp and returns the answer's first address.
func askDNS(l *lab.Lab, ns, network, server, name string) (netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return l.Dial(ctx, ns, network, netip.AddrPortFrom(netip.MustParseAddr(server), 53).String())
	}}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	addrs, err := r.LookupNetIP(ctx, "ip4", strings.TrimSuffix(name, ".")+".")
	if err != nil {
		return netip.Addr{}, err
	}
	return addrs[0].Unmap(), nil
}
