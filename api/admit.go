package api

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
)

// admit reads the message's signature, before its body is. Without a valid one nothing is read but
// what may come without.
func (s *Server) admit(c echo.Context, m *message) (Refusal, error) {
	if s.cfg.Auth == AuthNone {
		return 0, nil
	}
	text := c.Request().Header.Get(SignatureHeader)
	if text == "" {
		if m.purpose == ForReport && s.cfg.AllowUnsigned {
			return 0, nil
		}
		return Unsigned, failf(http.StatusUnauthorized, "%s of %q: no %s header: this server takes signed ones only (-auth %s)",
			m.purpose, m.name, SignatureHeader, s.cfg.Auth)
	}
	var err error
	if m.signature, err = ParseSignature(text); err != nil {
		return WrongSignature, fail(http.StatusUnauthorized, err)
	}
	m.signed = true
	if err := s.runs.check(m, s.now()); err != nil && !errors.Is(err, errDuplicate) {
		return s.refused(err)
	}
	return 0, nil
}

// verify checks the message's signature against its body.
func (s *Server) verify(m *message, body []byte) (Refusal, error) {
	if m.signed && !s.cfg.Keys.KeysOf(m.name).Verify(m.purpose, m.name, m.signature, body) {
		return WrongSignature, failf(http.StatusForbidden, "%s of %q: wrong signature: another secret, or the message was altered", m.purpose, m.name)
	}
	return 0, nil
}

// refused answers a message that runs.take refused. A duplicate stays what it is: its answer is
// that of the first.
func (s *Server) refused(err error) (Refusal, error) {
	if conflict, ok := errors.AsType[*conflictError](err); ok {
		s.sayConflict(conflict)
		return AddressConflict, fail(http.StatusForbidden, err)
	}
	switch {
	case errors.Is(err, errDuplicate):
		return Replayed, err
	case errors.Is(err, errFull):
		return Overloaded, fail(http.StatusServiceUnavailable, err)
	}
	return Replayed, fail(http.StatusForbidden, err)
}

// sayConflict logs a conflict when it begins and then every hundredth row.
func (s *Server) sayConflict(e *conflictError) {
	if e.Count%100 == 1 {
		s.log.Warn("address conflict: a second agent reports under one name", "agent", e.Name,
			"first", e.First, "second", e.Second, "rows", e.Count)
	}
}

// via returns the agent that relayed the message, "" when none did or who claims so cannot prove
// it: a relay is a clue for diagnosis, not a reason to refuse what the agent itself signed.
func (s *Server) via(c echo.Context, m *message, body []byte) string {
	text := c.Request().Header.Get(ViaHeader)
	if text == "" {
		return ""
	}
	via, err := ParseVia(text)
	if err == nil && s.cfg.Auth != AuthNone && !via.Verify(s.cfg.MeshKeys, c.Request().Header.Get(SignatureHeader), body) {
		err = errors.New("wrong signature")
	}
	if err != nil {
		s.log.Debug("relay not believed", "agent", m.name, "error", err)
		return ""
	}
	return via.Agent.String()
}
