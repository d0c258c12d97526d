package evidence

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"time"

	"netchecker/probe"
)

// readListeners reads the sockets that wait at the wanted ports. The kernel's own, such as those
// of vxlan, are among them.
func readListeners(stop time.Time, ports map[uint16]bool) (out []probe.Listener, err error) {
	for _, f := range []struct{ file, proto string }{{"udp", "udp"}, {"udp6", "udp"}, {"tcp", "tcp"}, {"tcp6", "tcp"}} {
		data, e := readProc(stop, procNet+f.file, maxSocketsFile)
		if e != nil && !errors.Is(e, os.ErrNotExist) { // without IPv6 there are only the first of each
			err = errors.Join(err, e)
		}
		out = appendListeners(out, data, f.proto, ports)
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
