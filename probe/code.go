package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Code is the class of a probe's failure. It tells a refusing process from a silent drop, and so
// a culprit from its victims. The numbers travel on the wire: append only.
type Code uint8

// The failure classes. What each one proves is said in its line.
const (
	CodeNone            Code = iota // nothing failed
	CodeTimeout                     // no answer: a silent drop somewhere
	CodeRefused                     // RST or port unreachable: the destination's kernel answered, its process did not
	CodeHostUnreachable             // EHOSTUNREACH: a REJECT rule, or ARP failed
	CodeNetUnreachable              // ENETUNREACH: no route, here or at a router on the way
	CodeNotPermitted                // EPERM: a local OUTPUT rule, or a full conntrack table
	CodeNoBuffers                   // ENOBUFS: neighbour table or queue full
	CodeInvalid                     // EINVAL: a blackhole route
	CodeTooBig                      // EMSGSIZE: the packet exceeds a known MTU on the way
	CodeWrongPeer                   // somebody else answered: an address conflict
	CodeKeyMismatch                 // the peer holds no key that we hold
	CodeHung                        // connected, but no answer to the request
	CodeReset                       // connection reset after it stood
	CodeBadAnswer                   // an answer that is not ours
	CodeOff                         // this probe cannot be sent here (no permission, no such family)
	CodeLoss                        // some probes lost, others fine
	CodeSlow                        // round trip far above this path's own baseline
	CodeOther                       // none of the above
	CodeWaiting                     // no answer yet, and late: slow or lost
	Codes               = 19
)

var codeNames = [Codes]string{
	"", "timeout", "refused", "host_unreachable", "net_unreachable", "not_permitted", "no_buffers", "invalid_route",
	"message_too_big", "address_conflict", "key_mismatch", "hung", "reset", "bad_answer", "off", "loss", "slow", "other", "waiting",
}

// String returns the class as it stands in JSON and metrics; CodeNone is the empty string.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// CodeOf classifies the error of a system call or of package net.
func CodeOf(err error) Code {
	if err == nil {
		return CodeNone
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if c, known := errnoCodes[errno]; known {
			return c
		}
	}
	if netErr, ok := errors.AsType[net.Error](err); (ok && netErr.Timeout()) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return CodeTimeout
	}
	return CodeOther
}

var errnoCodes = map[syscall.Errno]Code{
	syscall.ETIMEDOUT:    CodeTimeout,
	syscall.ECONNREFUSED: CodeRefused,
	syscall.EHOSTUNREACH: CodeHostUnreachable,
	syscall.EHOSTDOWN:    CodeHostUnreachable,
	syscall.ENETUNREACH:  CodeNetUnreachable,
	syscall.ENETDOWN:     CodeNetUnreachable,
	syscall.EPERM:        CodeNotPermitted,
	syscall.EACCES:       CodeNotPermitted,
	syscall.ENOBUFS:      CodeNoBuffers,
	syscall.ENOMEM:       CodeNoBuffers,
	syscall.EINVAL:       CodeInvalid,
	syscall.EMSGSIZE:     CodeTooBig,
	syscall.ECONNRESET:   CodeReset,
	syscall.EPIPE:        CodeReset,
}
