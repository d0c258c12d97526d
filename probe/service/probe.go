package service

import (
	"context"
	"net"
	"net/netip"
	"time"

	"netchecker/probe"
)

const (
	// ConnectLimit is how long a whole HTTP exchange may take, or a name's lookup and the handshake.
	ConnectLimit = 3 * time.Second
	// HandshakeLimit is how long the handshake with an address may take. The first repeat of a lost SYN
	// goes out after 1 s, and a kernel answers at once: whoever has not answered both never will.
	HandshakeLimit = 1300 * time.Millisecond
)

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
	conn, err := dial(ctx, "tcp", address)
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

// dial is the Dialer's for probes. With a name the lookup counts too, and ctx bounds both.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if _, err := netip.ParseAddrPort(address); err == nil {
		d.Timeout = HandshakeLimit
	}
	return d.DialContext(ctx, network, address)
}
