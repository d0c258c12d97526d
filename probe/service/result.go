package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"netchecker/probe"
)

// Result is what one probe of a service found.
type Result struct {
	// State is OK, Degraded (an answer, but a late one) or Failing.
	State probe.State
	Code  probe.Code
	// RTT is the time from the first packet to the last byte of the answer; 0 when there was none.
	RTT time.Duration
	// Detail says what was wrong in a word or a short clause.
	Detail string
}

// SlowAfter is when an answer is late: a second is far above any cluster's round trip, and it is
// where resolvers and people begin to retry.
const SlowAfter = time.Second

// answered is the result of a right answer that took that long.
func answered(rtt time.Duration) Result {
	if rtt > SlowAfter {
		return Result{State: probe.Degraded, Code: probe.CodeSlow, RTT: rtt,
			Detail: fmt.Sprintf("answered after %.1f s", rtt.Seconds())}
	}
	return Result{State: probe.OK, RTT: rtt}
}

// late reports whether it was time that decided.
func (r Result) late() bool {
	return r.Code == probe.CodeSlow || r.Code == probe.CodeTimeout || r.Code == probe.CodeHung
}

// wrong is the result of an answer that is not the one wanted.
func wrong(rtt time.Duration, detail string) Result {
	return Result{State: probe.Failing, Code: probe.CodeBadAnswer, RTT: rtt, Detail: detail}
}

// failed is the result of an error. connected says that a TCP connection stood before it, so that
// silence means a hung process (or packets too big for the way) and not a closed path.
func failed(ctx context.Context, err error, connected bool) Result {
	if errors.Is(ctx.Err(), context.Canceled) {
		return Result{State: probe.Unknown} // we stopped: it says nothing of the service
	}
	r := Result{State: probe.Failing, Code: probe.CodeOf(err), Detail: detailOf(err)}
	switch {
	case connected && r.Code == probe.CodeTimeout:
		r.Code, r.Detail = probe.CodeHung, "connected, then no answer"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		r.Code, r.Detail = probe.CodeReset, "connection closed before the answer"
	}
	return r
}

// maxDetail bounds a detail: it travels in every row.
const maxDetail = 80

func detailOf(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return shorten("lookup of " + dns.Name + ": " + dns.Err)
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if probe.CodeOf(err) == probe.CodeTimeout {
		return "no answer in time"
	}
	return shorten(err.Error())
}

func shorten(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= maxDetail {
		return text
	}
	cut := maxDetail - len("…")
	for cut > 0 && text[cut]&0xC0 == 0x80 { // not inside a rune
		cut--
	}
	return text[:cut] + "…"
}
