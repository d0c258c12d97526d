package lab_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"netchecker/test/lab"
)

// serveEcho answers UDP and TCP on the place's addresses with the place's name before the echo.
func serveEcho(t *testing.T, l *lab.Lab, p place) {
	t.Helper()
	// A host answers from the address that was asked, so it must not listen on all of them. A pod's
	// address may be changed by a fault.
	addrs := []string{netip.AddrPortFrom(p.Addr, echoPort).String()}
	if p.Addr6.IsValid() {
		addrs = append(addrs, netip.AddrPortFrom(p.Addr6, echoPort).String())
	}
	if p.pod {
		addrs = []string{fmt.Sprintf(":%d", echoPort)}
	}
	for _, addr := range addrs {
		pc, err := l.ListenPacket(p.Namespace, "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		go echoPackets(pc, p.String())
		serveFixed(t, l, p.Endpoint, addr, p.String())
	}
}

func echoPackets(pc net.PacketConn, name string) {
	buf := make([]byte, 2048)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			pc.WriteTo(append([]byte(name+" "), buf[:n]...), from)
		}
	}
}

// serveFixed answers TCP with a name before the echo.
func serveFixed(t *testing.T, l *lab.Lab, e lab.Endpoint, addr, name string) {
	t.Helper()
	ln, err := l.Listen(e.Namespace, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go echoConn(c, name)
			}
		}
	}()
}

// echoConn sends the name, then echoes what it reads.
func echoConn(c net.Conn, name string) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	io.WriteString(c, name+" ")
	io.Copy(c, c)
}
