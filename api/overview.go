package api

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/labstack/echo/v4"
)

// overview makes the frames that all watching pages share: however many watch, the matrix is drawn
// once a second, and not at all while nobody does.
type overview struct {
	mu     sync.Mutex // held while a frame is drawn: whoever comes meanwhile wants just that one
	latest *frame
	rest   time.Time // no new frame before
}

const (
	// frameEvery is how old a frame may be. It is a little less than the streams' second, so that the
	// first to wake draws and the others find it fresh.
	frameEvery = 900 * time.Millisecond
	// frameRest bounds what drawing takes of a core in a big mesh: at least so many times its own
	// duration lie between two frames.
	frameRest = 4
)

// frame returns the overview, at most a second old.
func (s *Server) frame() *frame {
	o := &s.overview
	o.mu.Lock()
	defer o.mu.Unlock()
	now := s.now()
	if f := o.latest; f != nil {
		if age := now.Sub(f.at); age >= 0 && age < frameEvery || now.Before(o.rest) {
			return f
		}
	}
	o.latest = drawFrame(s.cfg.Matrix.View(now), s.Findings(), o.latest)
	drawn := s.now()
	o.rest = drawn.Add(min(frameRest*drawn.Sub(now), 10*time.Second))
	return o.latest
}

// firstVersion is the version before a server's first frame. One from before a restart must not pass
// for one of ours; 52 bits are what JavaScript reads exactly.
func firstVersion() uint64 { return (1 + uint64(rand.Uint32())) << 19 }

// getOverview serves GET /api/v1/overview, now or as of a moment.
func (s *Server) getOverview(c echo.Context) error {
	values, err := queryOf(c, "at", "since")
	if err != nil {
		return err
	}
	at, err := momentOf("at", values, s.now())
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	have, err := sinceParam(c)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	var f *frame
	switch {
	case at.IsZero():
		f = s.frame()
	case have != 0:
		return failf(http.StatusBadRequest, "at and since: want one of them")
	default:
		give, err := s.answers.take(c.Request().Context(), "large answers")
		if err != nil {
			return err
		}
		defer give()
		view, found, err := s.past(c, at)
		if err != nil {
			return err
		}
		f = drawFrame(view, found, nil)
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	body := f.message(have)
	if wantsZip(c, body) {
		if body, err = f.zipped(have); err != nil {
			return fmt.Errorf("overview: %w", err)
		}
	}
	return c.JSONBlob(http.StatusOK, body)
}

// wantsZip reports whether a body is to be sent compressed, and says so in the header.
func wantsZip(c echo.Context, body []byte) bool {
	h := c.Response().Header()
	h.Set("Vary", "Accept-Encoding")
	if len(body) < 1<<10 || !strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		return false
	}
	h.Set("Content-Encoding", "gzip")
	return true
}

func zip(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// sinceParam reads the version that a page has, 0 for none.
func sinceParam(c echo.Context) (uint64, error) {
	text := c.QueryParam("since")
	if id := c.Request().Header.Get("Last-Event-ID"); id != "" {
		text = id // a browser that connects again names here what it heard last
	}
	if text == "" {
		return 0, nil
	}
	have, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, failf(http.StatusBadRequest, "since %q: want the version of an overview, a number", clip(text))
	}
	return have, nil
}
