package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// maxStreams bounds the pages that hear of changes at once; further ones are told to ask by themselves.
	maxStreams = 256
	// tickEvery is how often a stream says at least that it lives.
	tickEvery = 2 * time.Second
	// maxEvent is the largest change that a stream carries. A larger one is fetched, compressed.
	maxEvent = 128 << 10
	// eventTime is how long a page may take to read an event before its stream is cut.
	eventTime = 10 * time.Second
)

// getEvents serves GET /api/v1/events: server-sent events, each what changed in the overview. A page
// that connects again names the version it has and is told only what it missed.
func (s *Server) getEvents(c echo.Context) error {
	if _, err := queryOf(c, "since"); err != nil {
		return err
	}
	have, err := sinceParam(c)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		c.Response().Header().Set("Retry-After", "30")
		return failf(http.StatusServiceUnavailable, "%d streams are open, no more are served: ask /api/v1/overview now and then", cap(s.streams))
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	control := http.NewResponseController(c.Response())
	// The limit on reading a request would end the stream. See readBody about the error.
	_ = control.SetReadDeadline(time.Time{})
	c.Response().WriteHeader(http.StatusOK)
	return s.stream(c.Request().Context(), c.Response(), control, have)
}

func (s *Server) stream(ctx context.Context, w http.ResponseWriter, control *http.ResponseController, have uint64) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ending:
			return nil
		case <-timer.C:
		}
		f := s.frame()
		if f.version != have || time.Since(last) >= tickEvery {
			_ = control.SetWriteDeadline(time.Now().Add(eventTime))
			if err := writeEvent(w, f, have); err != nil {
				return nil // the page went away
			}
			if err := control.Flush(); err != nil {
				return nil
			}
			have, last = f.version, time.Now()
		}
		// All streams wake at the same moment of a second: one draws, the others find it drawn.
		timer.Reset(time.Second - time.Duration(time.Now().Nanosecond()))
	}
}

func writeEvent(w http.ResponseWriter, f *frame, have uint64) error {
	if body := f.message(have); len(body) <= maxEvent {
		_, err := fmt.Fprintf(w, "id: %d\nevent: change\ndata: %s\n", f.version, body) // the body ends in a line feed
		return err
	}
	_, err := fmt.Fprintf(w, "id: %d\nevent: reload\ndata: {\"version\":%d}\n\n", f.version, f.version)
	return err
}

// EndStreams ends all streams of events, which would outlast a shutdown otherwise. Later ones end at once.
func (s *Server) EndStreams() { s.endOnce.Do(func() { close(s.ending) }) }
