package service

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"netchecker/probe"
)

const (
	// DNSLimit is how long a DNS server may take to answer over TCP. Resolvers wait 5 s for one try, so an
	// answer after 3 s is slow and not gone.
	DNSLimit = 5 * time.Second
	// DatagramLimit is the same over UDP, where nothing tells a slow server from a lost packet: the most
	// impatient of the usual resolvers (musl) asks again after it. What connects over TCP and answers
	// later than this is known to be slow.
	DatagramLimit = 2500 * time.Millisecond
)

// DNS asks a server for the A records of a name that must exist, on a new socket, kind being
// probe.ServiceDNSUDP or probe.ServiceDNSTCP. An answer without records is a good one: it proves
// that the server knows the name, which may be an IPv6 one.
func DNS(ctx context.Context, server netip.AddrPort, name, kind string) Result {
	exchange, limit := askUDP, DatagramLimit
	if kind == probe.ServiceDNSTCP {
		exchange, limit = askTCP, DNSLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	q, err := newQuestion(name)
	if err != nil {
		return wrong(0, shorten(err.Error()))
	}
	start := time.Now()
	rcode, connected, err := exchange(ctx, server, q)
	rtt := time.Since(start)
	switch {
	case err != nil && errors.Is(err, errNotAnAnswer):
		return wrong(rtt, errNotAnAnswer.Error())
	case err != nil:
		return failed(ctx, err, connected)
	case rcode != dnsmessage.RCodeSuccess:
		return wrong(rtt, rcodeName(rcode))
	}
	return answered(rtt)
}

// rcodeName returns the usual word for an answer's code. "query refused" is the server's policy;
// plain refused is a closed port.
func rcodeName(rcode dnsmessage.RCode) string {
	switch rcode {
	case dnsmessage.RCodeServerFailure:
		return "servfail"
	case dnsmessage.RCodeNameError:
		return "nxdomain"
	case dnsmessage.RCodeRefused:
		return "query refused"
	case dnsmessage.RCodeFormatError:
		return "formerr"
	case dnsmessage.RCodeNotImplemented:
		return "notimp"
	}
	return fmt.Sprintf("rcode %d", uint16(rcode))
}

// question is a query and what its answer must repeat.
type question struct {
	id     uint16
	name   dnsmessage.Name
	packed []byte
}

func newQuestion(name string) (question, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return question{}, fmt.Errorf("name %q: %w", name, err)
	}
	q := question{id: uint16(rand.Uint32()), name: n}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	if q.packed, err = m.Pack(); err != nil {
		return question{}, fmt.Errorf("name %q: %w", name, err)
	}
	return q, nil
}

// errNotAnAnswer says that a message does not belong to the question.
var errNotAnAnswer = errors.New("not an answer to the query")

// read returns the code of the answer in b. A server that could not read the query, or will not,
// may leave the question out.
func (q question) read(b []byte) (dnsmessage.RCode, error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.ID != q.id {
		return 0, errNotAnAnswer
	}
	asked, err := p.Question()
	switch {
	case err == dnsmessage.ErrSectionDone && h.RCode != dnsmessage.RCodeSuccess:
		return h.RCode, nil
	case err != nil || asked.Type != dnsmessage.TypeA || asked.Class != dnsmessage.ClassINET ||
		!strings.EqualFold(asked.Name.String(), q.name.String()):
		return 0, errNotAnAnswer
	}
	return h.RCode, nil
}

func askUDP(ctx context.Context, server netip.AddrPort, q question) (dnsmessage.RCode, bool, error) {
	var d net.Dialer
	conn, err := d.DialUDP(ctx, "udp", netip.AddrPort{}, server)
	if err != nil {
		return 0, false, err
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	if _, err := conn.Write(q.packed); err != nil {
		return 0, false, err
	}
	buf := make([]byte, 4096)
	for { // somebody else's answer must not hide ours
		n, err := conn.Read(buf)
		if err != nil {
			return 0, false, err
		}
		if rcode, err := q.read(buf[:n]); err == nil {
			return rcode, false, nil
		}
	}
}

func askTCP(ctx context.Context, server netip.AddrPort, q question) (dnsmessage.RCode, bool, error) {
	conn, err := dial(ctx, "tcp", server.String())
	if err != nil {
		return 0, false, err
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it leaves a TIME_WAIT behind
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q.packed))), q.packed...)); err != nil {
		return 0, true, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return 0, true, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return 0, true, err
	}
	rcode, err := q.read(answer)
	return rcode, true, err
}

// boundBy makes reads and writes of a connection end with ctx; the returned function lets go.
func boundBy(ctx context.Context, conn net.Conn) (release func() bool) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // an error would show in the next read
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}
