package api

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
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
	m.signed, m.proven = true, s.cfg.Auth == AuthKubernetes
	if !m.proven { // only a key that was made for them makes these true
		m.signature.Agent, m.signature.UID = mesh.Key{}, ""
	}
	if err := s.runs.check(m, s.now()); err != nil && !errors.Is(err, errDuplicate) {
		return s.refused(err)
	}
	return 0, nil
}

// verify checks the message's signature against its body. Status 401 makes an agent enrol anew.
func (s *Server) verify(m *message, body []byte) (Refusal, error) {
	id := Identity{m.name, m.signature.Agent, m.signature.UID}
	switch {
	case !m.signed || s.cfg.Keys.KeysOf(id).Verify(m.purpose, m.name, m.signature, body):
		return 0, nil
	case m.proven:
		return WrongSignature, failf(http.StatusUnauthorized, "%s of %q: not signed with its key: another master secret, or the message was altered", m.purpose, m.name)
	}
	return WrongSignature, failf(http.StatusForbidden, "%s of %q: wrong signature: another secret, or the message was altered", m.purpose, m.name)
}

// checkRow refuses a row that says something else of its source than the agent has proven.
func (s *Server) checkRow(m *message) (Refusal, error) {
	source := m.row.Source
	if !m.proven {
		return 0, nil
	}
	if source.Key != m.signature.Agent {
		return WrongSignature, failf(http.StatusForbidden, "row of %q: says it is %s, its key is of %s", m.name, source.Key, m.signature.Agent)
	}
	// On the host network -advertise may choose an address that Kubernetes does not list.
	if s.cfg.PodAddrs == nil || source.Network != mesh.Pod {
		return 0, nil
	}
	known := s.cfg.PodAddrs(m.name)
	for _, addr := range []netip.Addr{source.IPv4, source.IPv6} {
		if addr.IsValid() && len(known) > 0 && !slices.Contains(known, addr) {
			return AddressConflict, failf(http.StatusForbidden, "row of %q: says it is at %v, its pod is at %v", m.name, addr, known)
		}
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
