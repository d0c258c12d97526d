package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// dialMost is the longest wait for a connection: a SYN and two repetitions. Memberlist would wait
// for TCPTimeout, and the dead behind a firewall that drops would hold the joiner's slots.
const dialMost = 4 * time.Second

const receiveBuffer = 2 << 20 // bytes; what the kernel grants of it

// socket is a UDP and a TCP socket, and another UDP socket to send from. Memberlist has its own
// transport, but that one cannot set options before it binds, allocates 64 KiB per packet and leaves
// connections open when it shuts down.
//
// Packets are not sent from the port that receives, since most clusters masquerade what a pod sends
// to a node: with its source port kept, a pod's packet from port 8096 to that of another node makes a
// connection whose answers are all packets from that node to port 8096 of the pod's own node. So the
// packets for the agent in the host network went to the one in the pod network. (Seen on a real
// cluster: "Got ping for unexpected node". Memberlist answers to the address that a ping names, not
// to the one that it came from.)
type socket struct {
	advertise netip.AddrPort
	udp       *net.UDPConn // receives
	out       *net.UDPConn // sends
	tcp       net.Listener
	packets   chan *memberlist.Packet
	streams   chan net.Conn
	stats     *counters
	log       *slog.Logger
	ctx       context.Context
	cancel    context.CancelFunc
	readers   sync.WaitGroup

	mu    sync.Mutex
	conns map[*stream]struct{} // nil once shut down
}

var _ memberlist.NodeAwareTransport = (*socket)(nil)

// listen binds UDP and TCP to the same port.
func listen(bind netip.AddrPort, stats *counters, log *slog.Logger) (*socket, error) {
	tries := 1
	if bind.Port() == 0 { // the port that is free for one may be taken for the other
		tries = 10
	}
	var s *socket
	var err error
	for range tries {
		if s, err = listenOnce(bind, stats, log); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func listenOnce(bind netip.AddrPort, stats *counters, log *slog.Logger) (*socket, error) {
	ctx, cancel := context.WithCancel(context.Background())
	config := net.ListenConfig{Control: control, KeepAlive: -1}
	config.SetMultipathTCP(false) // knows no TCP_MAXSEG
	host := ""
	if bind.Addr().IsValid() && !bind.Addr().IsUnspecified() {
		host = bind.Addr().String()
	}
	tcp, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(bind.Port())))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("gossip: %w", err)
	}
	port := tcp.Addr().(*net.TCPAddr).Port
	udp, err := config.ListenPacket(ctx, "udp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		cancel()
		tcp.Close()
		return nil, fmt.Errorf("gossip: %w", err)
	}
	out, err := config.ListenPacket(ctx, "udp", net.JoinHostPort(host, "0"))
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("gossip: %w", err), tcp.Close(), udp.Close())
	}
	s := &socket{
		udp: udp.(*net.UDPConn), out: out.(*net.UDPConn), tcp: tcp, stats: stats, log: log, ctx: ctx, cancel: cancel,
		packets: make(chan *memberlist.Packet, 64), streams: make(chan net.Conn),
		conns: map[*stream]struct{}{},
	}
	_ = s.udp.SetReadBuffer(receiveBuffer)
	s.readers.Go(s.readPackets)
	s.readers.Go(s.accept)
	return s, nil
}

func (s *socket) port() uint16 { return uint16(s.tcp.Addr().(*net.TCPAddr).Port) }

// FinalAdvertiseAddr returns the address we advertise; memberlist was told none.
func (s *socket) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP(s.advertise.Addr().AsSlice()), int(s.advertise.Port()), nil
}

func (s *socket) WriteTo(b []byte, addr string) (time.Time, error) {
	return s.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (s *socket) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	n, err := s.out.WriteToUDPAddrPort(b, to)
	if err == nil {
		s.stats.packetsSent.Add(1)
		s.stats.bytesSent.Add(uint64(n))
	}
	return time.Now(), err
}

func (s *socket) PacketCh() <-chan *memberlist.Packet { return s.packets }
func (s *socket) StreamCh() <-chan net.Conn           { return s.streams }

func (s *socket) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return s.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (s *socket) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: min(timeout, dialMost), Control: control, KeepAlive: -1}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(s.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	return s.track(conn)
}

// Shutdown closes everything, also connections in use, and waits for both readers.
func (s *socket) Shutdown() error {
	s.cancel()
	err := errors.Join(s.tcp.Close(), s.udp.Close(), s.out.Close())
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.Conn.Close()
	}
	s.readers.Wait()
	return err
}

func (s *socket) readPackets() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		now := time.Now()
		if err != nil {
			if !s.pauseAfter(err) {
				return
			}
			continue
		}
		if n == 0 {
			continue
		}
		s.stats.packetsReceived.Add(1)
		s.stats.bytesReceived.Add(uint64(n))
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: net.UDPAddrFromAddrPort(from), Timestamp: now}
		select {
		case s.packets <- p:
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *socket) accept() {
	for {
		raw, err := s.tcp.Accept()
		if err != nil {
			if !s.pauseAfter(err) {
				return
			}
			continue
		}
		conn, err := s.track(raw)
		if err != nil {
			return
		}
		select {
		case s.streams <- conn:
		case <-s.ctx.Done():
			conn.Close()
			return
		}
	}
}

// pauseAfter waits out an error such as "too many open files"; it returns false when shut down.
func (s *socket) pauseAfter(err error) bool {
	if s.ctx.Err() != nil {
		return false
	}
	s.log.Warn("gossip socket", slog.Any("error", err))
	select {
	case <-time.After(time.Second):
		return true
	case <-s.ctx.Done():
		return false
	}
}
