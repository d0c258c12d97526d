package probe

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// message builds one control message.
func message(level, kind uint32, data ...byte) []byte {
	b := make([]byte, wordBytes+8, 64)
	if wordBytes == 8 {
		binary.NativeEndian.PutUint64(b, uint64(len(b)+len(data)))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(len(b)+len(data)))
	}
	binary.NativeEndian.PutUint32(b[wordBytes:], level)
	binary.NativeEndian.PutUint32(b[wordBytes+4:], kind)
	b = append(b, data...)
	for len(b)%wordBytes != 0 {
		b = append(b, 0)
	}
	return b
}

func extendedError(errno syscall.Errno, origin byte, info uint32) []byte {
	b := make([]byte, extendedErrSize)
	binary.NativeEndian.PutUint32(b, uint32(errno))
	b[4] = origin
	binary.NativeEndian.PutUint32(b[8:], info)
	return b
}

func TestParseControl(t *testing.T) {
	stamp := make([]byte, 2*wordBytes)
	binary.NativeEndian.PutUint32(stamp, 7) // little end first on every machine that tests run on
	binary.NativeEndian.PutUint32(stamp[wordBytes:], 9)
	drops := binary.NativeEndian.AppendUint32(nil, 42)
	info4 := []byte{3, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	info6 := append(netip.MustParseAddr("fd00::1").AsSlice(), 4, 0, 0, 0)
	for _, tt := range []struct {
		name string
		b    []byte
		want Control
	}{
		{"nothing", nil, Control{}},
		{"a stamp and a drop counter", append(message(solSocket, scmTimestampNs, stamp...), message(solSocket, soRxqOvfl, drops...)...),
			Control{Stamp: 7_000_000_009, Drops: 42}},
		{"the address that was asked", message(solIP, ipPktInfo, info4...), Control{Local: netip.MustParseAddr("10.0.0.1"), Link: 3}},
		{"the same over IPv6", message(solIPv6, ipv6PktInfo, info6...), Control{Local: netip.MustParseAddr("fd00::1"), Link: 4}},
		{"port unreachable", message(solIP, ipRecvErr, extendedError(syscall.ECONNREFUSED, 2, 0)...), Control{Code: CodeRefused}},
		{"fragmentation needed", message(solIP, ipRecvErr, extendedError(syscall.EMSGSIZE, 2, 1400)...), Control{Code: CodeTooBig, NextHop: 1400}},
		{"packet too big", message(solIPv6, ipv6RecvErr, extendedError(syscall.EMSGSIZE, 3, 1280)...), Control{Code: CodeTooBig, NextHop: 1280}},
		{"an MTU that cannot be", message(solIP, ipRecvErr, extendedError(syscall.EMSGSIZE, 2, 1<<20)...), Control{Code: CodeTooBig}},
		{"prohibited by a router over IPv6", message(solIPv6, ipv6RecvErr, extendedError(syscall.EACCES, 3, 0)...), Control{Code: CodeHostUnreachable}},
		{"prohibited by our own kernel", message(solIPv6, ipv6RecvErr, extendedError(syscall.EACCES, originLocal, 0)...), Control{Code: CodeNotPermitted, Own: true}},
		{"larger than our own link", message(solIP, ipRecvErr, extendedError(syscall.EMSGSIZE, originLocal, 1500)...), Control{Code: CodeTooBig, NextHop: 1500, Own: true}},
		{"no error at all", message(solIP, ipRecvErr, extendedError(0, 2, 0)...), Control{}},
		{"cut short", message(solIP, ipRecvErr, 1, 2, 3), Control{}},
		{"of another level", message(77, ipRecvErr, extendedError(syscall.EMSGSIZE, 2, 9)...), Control{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseControl(tt.b); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(append(message(solIP, ipRecvErr, extendedError(syscall.EMSGSIZE, 2, 1400)...), message(solSocket, soRxqOvfl, 1, 0, 0, 0)...))
	f.Add(message(solIPv6, ipv6PktInfo, make([]byte, 20)...))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 11, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c := ParseControl(b); c.NextHop != 0 && c.Code == CodeNone {
			t.Errorf("%x: an MTU without an error: %+v", b, c)
		}
	})
}

func TestResponse(t *testing.T) {
	packet := strings.Repeat("p", PacketSize)
	small := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 80\r\n\r\n" + packet
	big := "HTTP/1.1 200 OK\r\ncontent-length:8192\r\n\r\n" + packet + strings.Repeat("\x00", bigBody-PacketSize)
	for _, tt := range []struct {
		name, text       string
		complete, broken bool
	}{
		{"the small answer", small, true, false},
		{"the large answer", big, true, false},
		{"cut within the header", small[:30], false, false},
		{"cut within the body", small[:len(small)-1], false, false},
		{"large, cut", big[:len(big)-1], false, false},
		{"not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 80\r\n\r\n" + packet, false, true},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n", false, true},
		{"too short for us", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, true},
		{"too long for us", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", false, true},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n" + packet, false, true},
		{"a header without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 400), false, true},
		{"a header so long that the packet is not kept", "HTTP/1.1 200 OK\r\nContent-Length: 80\r\nX: " + strings.Repeat("y", 930) + "\r\n\r\n" + packet, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{1, 7, 100, 1 << 15} {
				var r response
				complete, broken := false, false
				for rest := []byte(tt.text); len(rest) > 0 && !complete && !broken; {
					n := min(step, len(rest))
					complete, broken = r.take(rest[:n])
					rest = rest[n:]
				}
				if complete != tt.complete || broken != tt.broken {
					t.Fatalf("in steps of %d: complete %v, broken %v", step, complete, broken)
				}
				if complete && string(r.body()) != packet {
					t.Errorf("body %q", r.body())
				}
			}
		})
	}
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n"), 3)
	f.Add([]byte("HTTP/1.1 200"), 1)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		var r response
		for len(b) > 0 {
			n := min(max(step, 1), len(b))
			if complete, broken := r.take(b[:n]); broken {
				return
			} else if complete && len(r.body()) != PacketSize {
				t.Fatal("complete without a packet")
			}
			b = b[n:]
		}
	})
}
