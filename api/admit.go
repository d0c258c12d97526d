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
		return Replayed, refused(err)
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

// refused answers a message that came before or from an address that is not its agent's. A
// duplicate stays what it is: its answer is that of the first.
func refused(err error) error {
	if errors.Is(err, errDuplicate) {
		return err
	}
	return fail(http.StatusForbidden, err)
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
