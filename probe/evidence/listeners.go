package evidence

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// readListeners reads the sockets that wait at the wanted ports. The kernel's own, such as those
// of vxlan, are among them.
func readListeners(stop time.Time, ports map[uint16]bool) (out []probe.Listener, err error) {
	for _, file := range []string{"udp", "udp6"} {
		e := appendFile(&out, stop, file, "udp", ports)
		err = errors.Join(err, e)
	}
	for family, file := range map[byte]string{unix.AF_INET: "tcp", unix.AF_INET6: "tcp6"} {
		listening, e := askListeners(stop, family, ports)
		if errors.Is(e, unix.ENOENT) { // the kernel's module for such questions is not there
			e = appendFile(&listening, stop, file, "tcp", ports)
		}
		out, err = append(out, listening...), errors.Join(err, e)
	}
	slices.SortStableFunc(out, func(a, b probe.Listener) int {
		return cmp.Or(-cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr))
	})
	return out[:min(len(out), MaxListeners)], err
}

func appendFile(to *[]probe.Listener, stop time.Time, file, proto string, ports map[uint16]bool) error {
	data, err := readProc(stop, procNet+file, maxSocketsFile)
	if errors.Is(err, os.ErrNotExist) { // no IPv6 here
		return nil
	}
	*to = appendListeners(*to, data, proto, ports)
	return err
}

// The parts of a question about sockets and of its answers, from linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	diagRequestSize  = 56
	diagAnswerSize   = 72
	stateListen      = 10
)

// askListeners asks for the listening TCP sockets alone. /proc/net/tcp walks every connection that
// the machine could have, which takes 300 times as long even if there are none.
func askListeners(stop time.Time, family byte, ports map[uint16]bool) (out []probe.Listener, err error) {
	c, err := dialNetlink(unix.NETLINK_SOCK_DIAG, stop)
	if err != nil {
		return nil, err
	}
	defer c.close()
	request := make([]byte, diagRequestSize)
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], 1<<stateListen)
	err = c.ask(sockDiagByFamily, unix.NLM_F_DUMP, request, func(_ uint16, b []byte) {
		if len(b) < diagAnswerSize || len(out) == MaxListeners {
			return
		}
		size := 4
		if b[0] == unix.AF_INET6 {
			size = 16
		}
		l := probe.Listener{Proto: "tcp", Port: binary.BigEndian.Uint16(b[4:]), Addr: address(b[8 : 8+size]).Unmap(), Queued: number32(b[56:])}
		if ports[l.Port] {
			out = append(out, l)
		}
	})
	if errors.Is(err, errInterrupted) { // sockets come and go all the time
		err = nil
	}
	return out, err
}

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// appendListeners parses /proc/net/{udp,udp6,tcp,tcp6}. Of tcp the listening sockets come first,
// so that the connections of a busy node need not be looked at.
func appendListeners(to []probe.Listener, data []byte, proto string, ports map[uint16]bool) []probe.Listener {
	_, data, _ = bytes.Cut(data, []byte{'\n'}) // the names of the columns
	for len(data) > 0 && len(to) < MaxListeners {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		l, state, ok := parseSocket(line, proto)
		if !ok {
			continue
		}
		if proto == "tcp" && state != tcpListen {
			break
		}
		if ports[l.Port] {
			to = append(to, l)
		}
	}
	return to
}

func parseSocket(line []byte, proto string) (l probe.Listener, state string, ok bool) {
	// sl, local, remote, state, tx:rx, tr:when, retransmits, uid, timeout, inode, references,
	// pointer, drops; of tcp only the first five are used.
	fields := bytes.Fields(line)
	if len(fields) < 5 {
		return l, "", false
	}
	local, port, found := bytes.Cut(fields[1], []byte{':'})
	number, err := strconv.ParseUint(string(port), 16, 16)
	if !found || err != nil {
		return l, "", false
	}
	addr, ok := procAddr(local)
	if !ok {
		return l, "", false
	}
	l = probe.Listener{Proto: proto, Addr: addr, Port: uint16(number)}
	if _, queued, found := bytes.Cut(fields[4], []byte{':'}); found {
		if n, err := strconv.ParseUint(string(queued), 16, 32); err == nil {
			l.Queued = uint32(n)
		}
	}
	if proto == "udp" && len(fields) >= 13 {
		l.Dropped, _ = strconv.ParseUint(string(fields[12]), 10, 64)
	}
	return l, string(fields[3]), true
}

// procAddr parses an address as /proc writes it: words of 32 bits in the machine's order.
func procAddr(text []byte) (netip.Addr, bool) {
	if len(text) != 8 && len(text) != 32 {
		return netip.Addr{}, false
	}
	raw := make([]byte, len(text)/2)
	if _, err := hex.Decode(raw, text); err != nil {
		return netip.Addr{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return a.Unmap(), ok
}
