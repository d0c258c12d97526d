package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
)

// MaxRowBody is the most bytes of a posted row, compressed; the codec bounds what it unpacks to.
const MaxRowBody = 8 << 20

const (
	// maxInFlight bounds the bodies being read, in bytes. Slots would not do: a handful of clients that
	// send a byte a second would take them all, while of bytes they take what they sent.
	maxInFlight = 256 << 20
	// bodyStep is the first buffer of a body; rows of 100 nodes fit.
	bodyStep = 8 << 10
	// bodyTime is how long a body may take. A row of 10,000 paths has 26 KB.
	bodyTime = 10 * time.Second
	// slotWait is how long a request waits for a slot before it is told to come again.
	slotWait = 2 * time.Second
	// answerTime is how long a large answer may take to be read: 40 MB at 1.4 MB/s.
	answerTime = 30 * time.Second
	// maxAnswers and maxScrapes bound the large answers under way. Slow readers of the matrix must not
	// keep Prometheus out, nor the other way round.
	maxAnswers = 16
	maxScrapes = 8
)

// slots bounds how much of one sort of work is under way.
type slots chan struct{}

// take waits for a slot and returns the function that gives it back.
func (s slots) take(ctx context.Context, what string) (func(), error) {
	give := func() { <-s }
	select {
	case s <- struct{}{}:
		return give, nil
	default:
	}
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case s <- struct{}{}:
		return give, nil
	case <-timer.C:
		return nil, failf(http.StatusServiceUnavailable, "too many %s at once, try again", what)
	case <-ctx.Done():
		return nil, fail(http.StatusServiceUnavailable, ctx.Err())
	}
}

// budget bounds a sum of bytes.
type budget struct {
	used atomic.Int64
	most int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// readBody reads a body of at most most bytes within bodyTime. The caller calls done when it needs
// the body no more. The deadline is the connection's own: a chunked body that trickles or never
// ends is cut however the client keeps the connection busy.
func (s *Server) readBody(c echo.Context, most int64) (body []byte, done func(), err error) {
	r := c.Request()
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, nil, failf(http.StatusUnsupportedMediaType, "content encoding %q: want none", clip(e))
	}
	if r.ContentLength > most {
		return nil, nil, tooLarge(most)
	}
	control := http.NewResponseController(c.Response())
	// A writer without deadlines is a recorder in a test: nothing can stall there.
	_ = control.SetReadDeadline(time.Now().Add(s.bodyTime))
	size := int64(bodyStep)
	if r.ContentLength > 0 {
		size = min(r.ContentLength+1, 64<<10) // a length is a claim: large ones are believed as they arrive
	}
	if !s.bodies.take(size) {
		return nil, nil, noRoom()
	}
	taken := size
	defer func() {
		if err != nil {
			s.bodies.give(taken)
		}
	}()
	from, buf := http.MaxBytesReader(c.Response(), r.Body, most), make([]byte, 0, size)
	for {
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			// After an error the deadline stays: what net/http then drains of the body must end, too.
			_ = control.SetReadDeadline(time.Time{})
			return buf, func() { s.bodies.give(taken) }, nil
		}
		if err != nil {
			return nil, nil, s.bodyError(err, most)
		}
		if len(buf) < cap(buf) {
			continue
		}
		if !s.bodies.take(int64(cap(buf))) {
			return nil, nil, noRoom()
		}
		taken += int64(cap(buf))
		buf = append(make([]byte, 0, 2*cap(buf)), buf...)
	}
}

func noRoom() error {
	return failf(http.StatusServiceUnavailable, "too many large bodies at once, try again")
}

func tooLarge(most int64) error {
	return failf(http.StatusRequestEntityTooLarge, "body: more than %d bytes", most)
}

func (s *Server) bodyError(err error, most int64) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(most)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failf(http.StatusRequestTimeout, "body: not complete within %v", s.bodyTime)
	}
	return fail(http.StatusBadRequest, fmt.Errorf("body: %w", err))
}

// refusalOf sorts an error of readBody.
func refusalOf(err error) Refusal {
	if f, ok := errors.AsType[*failure](err); ok {
		switch f.status {
		case http.StatusRequestEntityTooLarge:
			return TooLarge
		case http.StatusRequestTimeout:
			return TooSlow
		case http.StatusServiceUnavailable:
			return Overloaded
		}
	}
	return Malformed
}

// large limits how many large answers are under way and how long one may take to be read, so that
// slow readers can neither pile up nor hold the memory of what they read.
func large(under slots) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			give, err := under.take(c.Request().Context(), "large answers")
			if err != nil {
				return err
			}
			defer give()
			// See readBody about the error.
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(answerTime))
			return next(c)
		}
	}
}
