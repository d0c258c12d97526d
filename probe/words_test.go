package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	unique := func(name string) {
		t.Helper()
		if seen[name] {
			t.Errorf("%q twice", name)
		}
		seen[name] = true
	}
	for _, k := range AllKinds() {
		unique(k.String())
	}
	for s := range State(States) {
		unique(s.String())
		if back, err := ParseState(s.String()); err != nil || back != s {
			t.Errorf("%v: %v, %v", s, back, err)
		}
	}
	for c := range Code(Codes) {
		unique(c.String())
	}
	seen = map[string]bool{}
	for h := range HeardState(HeardStates) {
		unique(h.String())
	}
	for got, want := range map[string]string{
		Kind(9).String(): "probe(9)", State(9).String(): "state(9)", Code(99).String(): "code(99)", HeardState(9).String(): "heard(9)",
		Doubt(0).String(): "", DoubtLag.String(): "lag", (DoubtLoopback | DoubtDrops).String(): "loopback+drops",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := ParseState("up"); err == nil || err.Error() != `state "up": want one of unknown, ok, degraded, failing` {
		t.Errorf("%v", err)
	}
}

func TestWorst(t *testing.T) {
	order := []State{OK, Unknown, Degraded, Failing}
	for i, a := range order {
		for j, b := range order {
			if got := Worst(a, b); got != order[max(i, j)] {
				t.Errorf("worst of %v and %v is %v", a, b, got)
			}
		}
	}
}

func TestPathState(t *testing.T) {
	for _, tt := range []struct {
		name                string
		udp, mtu, tcp, icmp State
		want                State
	}{
		{"all ok", OK, OK, OK, OK, OK},
		{"udp failing fails the path", Failing, Failing, Failing, Failing, Failing},
		{"tcp failing alone degrades", OK, OK, Failing, OK, Degraded},
		{"mtu failing alone degrades", OK, Failing, OK, OK, Degraded},
		{"icmp alone does not count", OK, OK, OK, Failing, OK},
		{"unknown tcp and mtu do not hide a good udp", OK, Unknown, Unknown, Unknown, OK},
		{"unknown udp is unknown", Unknown, OK, OK, OK, Unknown},
		{"a fault that is seen is worse than one that may be", Unknown, OK, Failing, OK, Degraded},
	} {
		if got := PathState([Kinds]State{tt.udp, tt.mtu, tt.tcp, tt.icmp}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Code
	}{
		{nil, CodeNone},
		{syscall.ECONNREFUSED, CodeRefused},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, CodeHostUnreachable},
		{fmt.Errorf("send: %w", syscall.EPERM), CodeNotPermitted},
		{syscall.ENETUNREACH, CodeNetUnreachable},
		{syscall.ENOBUFS, CodeNoBuffers},
		{syscall.EINVAL, CodeInvalid},
		{syscall.EMSGSIZE, CodeTooBig},
		{syscall.ECONNRESET, CodeReset},
		{syscall.ETIMEDOUT, CodeTimeout},
		{context.DeadlineExceeded, CodeTimeout},
		{os.ErrDeadlineExceeded, CodeTimeout},
		{syscall.EXDEV, CodeOther},
		{errors.New("?"), CodeOther},
	} {
		if got := CodeOf(tt.err); got != tt.want {
			t.Errorf("%v is %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestLoss(t *testing.T) {
	for _, tt := range []struct {
		lost, sent int
		want       Loss
		ratio      float64
	}{{0, 10, 0, 0}, {10, 10, 200, 1}, {3, 10, 60, 0.3}, {1, 64, 3, 0.015}, {-1, 10, 0, 0}, {11, 10, 200, 1}} {
		got := LossOf(tt.lost, tt.sent)
		ratio, ok := got.Ratio()
		if got != tt.want || !ok || math.Abs(ratio-tt.ratio) > 1e-9 {
			t.Errorf("%d of %d: %d, %v", tt.lost, tt.sent, got, ratio)
		}
	}
	if _, ok := LossOf(0, 0).Ratio(); ok {
		t.Error("nothing sent has a ratio")
	}
}

func TestChecksum(t *testing.T) {
	for _, tt := range []struct {
		b    []byte
		want uint16
	}{
		{nil, 0xffff},
		{[]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0x220d}, // RFC 1071, section 3
		{[]byte{0xff}, 0x00ff},
	} {
		if got := checksum(tt.b); got != tt.want {
			t.Errorf("%x: %04x, want %04x", tt.b, got, tt.want)
		}
	}
}
