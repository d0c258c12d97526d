package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/labstack/echo/v4"
)

// ErrorAnswer is the body of every answer that is an error.
type ErrorAnswer struct {
	Error string `json:"error"`
}

// failure is an error with the HTTP status that answers it.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(status int, err error) error { return &failure{status, err} }

func failf(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...)}
}

// answerError writes the answer to a request that ended in err.
func (s *Server) answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	status, text := http.StatusInternalServerError, err.Error()
	if f, ok := errors.AsType[*failure](err); ok {
		status = f.status
	} else if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		status, text = h.Code, s.explain(h.Code, c.Request())
	}
	h := c.Response().Header()
	switch status {
	case http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		// What is left of the body would be read as the next request.
		h.Set("Connection", "close")
	}
	if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable {
		s.log.Warn("request not answered", "method", c.Request().Method, "path", c.Request().URL.Path, "status", status, "error", err)
	}
	writeError(c.Response(), status, text)
}

func writeError(w http.ResponseWriter, status int, text string) {
	body, err := json.Marshal(ErrorAnswer{text})
	if err != nil {
		panic(err) // a string always encodes
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // nobody is left to tell when this is not read
}

func (s *Server) explain(status int, r *http.Request) string {
	switch status {
	case http.StatusNotFound:
		return fmt.Sprintf("no such page %q: see /api/v1/ for those there are", clip(r.URL.Path))
	case http.StatusMethodNotAllowed:
		return fmt.Sprintf("method %s is not allowed here", clip(r.Method))
	}
	return http.StatusText(status)
}

// recovered turns a panic into a 500 for its one request. After the answer has begun, only cutting
// the connection tells the reader that it is not whole.
func (s *Server) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("request panicked", "method", c.Request().Method, "path", c.Request().URL.Path,
				"panic", p, "stack", string(debug.Stack()))
			if c.Response().Committed {
				panic(http.ErrAbortHandler)
			}
			err = failf(http.StatusInternalServerError, "internal error")
		}()
		return next(c)
	}
}
