package service

import (
	"context"
	"net"
	"net/netip"
	"time"

	"netchecker/probe"
)

// ConnectLimit is how long a TCP handshake, or a whole HTTP exchange, may take: the first repeat
// of a lost SYN goes out after 1 s and the second after 3 s.
const ConnectLimit = 3 * time.Second

// Probe probes a target once, by its kind, on a new socket.
func Probe(ctx context.Context, t Target) Result {
	switch t.Kind {
	case probe.ServiceDNSUDP, probe.ServiceDNSTCP:
		server, err := netip.ParseAddrPort(t.Address)
		if err != nil {
			return Result{State: probe.Failing, Code: probe.CodeInvalid, Detail: shorten(err.Error())}
		}
		return DNS(ctx, server, t.Query, t.Kind)
	case probe.ServiceHTTP:
		return getService(ctx, t.Address)
	case probe.ServiceTCP:
		return TCP(ctx, t.Address)
	}
	return Result{State: probe.Unknown, Code: probe.CodeOff, Detail: shorten("unknown kind " + t.Kind)}
}

// TCP opens a connection to host:port and closes it at once with a reset, so that neither side
// keeps a TIME_WAIT.
func TCP(ctx context.Context, address string) Result {
	ctx, cancel := context.WithTimeout(ctx, ConnectLimit)
	defer cancel()
	start := time.Now()
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", address)
	rtt := time.Since(start)
	if err != nil {
		return failed(ctx, err, false)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it closes the ordinary way
	}
	conn.Close()
	return answered(rtt)
}
