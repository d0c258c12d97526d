package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
)

// postRow takes an agent's row: POST /api/v1/agents/{name}/row. The query parameter roster is the
// version of the roster that the agent got last; without it the answer begins anew.
func (s *Server) postRow(c echo.Context) error {
	have := uint64(0)
	if text := c.QueryParam("roster"); text != "" {
		var err error
		if have, err = strconv.ParseUint(text, 10, 64); err != nil {
			s.rows.refused[Malformed].Add(1)
			return failf(http.StatusBadRequest, "roster %q: want a version, a number", clip(text))
		}
	}
	why, err := s.takeRow(c)
	if err != nil && !errors.Is(err, errDuplicate) {
		s.rows.refused[why].Add(1)
		s.log.Debug("row refused", "reason", why.String(), "from", c.RealIP(), "error", err)
		return err
	}
	return c.JSON(http.StatusOK, s.answer(have, s.now()))
}

func (s *Server) takeRow(c echo.Context) (Refusal, error) {
	m := message{purpose: ForRow}
	var err error
	if m.name, err = agentName(c); err != nil {
		return Malformed, err
	}
	if why, err := s.admit(c, &m); err != nil {
		return why, err
	}
	body, done, err := s.readBody(c, MaxRowBody)
	if err != nil {
		return refusalOf(err), err
	}
	defer done()
	give, err := s.decodes.take(c.Request().Context(), "rows")
	if err != nil {
		return Overloaded, err
	}
	defer give()
	if why, err := s.verify(&m, body); err != nil {
		return why, err
	}
	if why, err := s.decodeRow(&m, body); err != nil {
		return why, err
	}
	if why, err := s.checkRow(&m); err != nil {
		return why, err
	}
	m.via = s.via(c, &m, body)
	return s.keepRow(&m, len(body))
}

func (s *Server) decodeRow(m *message, body []byte) (Refusal, error) {
	row, err := s.codec.Decode(body, &s.tables)
	switch {
	case errors.Is(err, mesh.ErrUnknownTable):
		return UnknownTable, fail(http.StatusConflict, err)
	case err != nil:
		return Malformed, fail(http.StatusBadRequest, err)
	case row.Source.Name != m.name:
		return Malformed, failf(http.StatusBadRequest, "row of %q posted as %q", row.Source.Name, m.name)
	case row.Source.Role != mesh.RoleAgent:
		return Malformed, failf(http.StatusBadRequest, "row of %q: not an agent", m.name)
	case !m.signed:
		m.signature = Signature{Boot: row.Source.Boot, Sequence: row.Sequence}
	case row.Source.Boot != m.signature.Boot || row.Sequence != m.signature.Sequence:
		return Malformed, failf(http.StatusBadRequest, "row of %q: signed as number %d of run %d, is number %d of run %d",
			m.name, m.signature.Sequence, m.signature.Boot, row.Sequence, row.Source.Boot)
	}
	m.row = row
	return 0, nil
}

func (s *Server) keepRow(m *message, size int) (Refusal, error) {
	now := s.now()
	fresh, err := s.runs.take(m, now)
	if err != nil {
		return s.refused(err)
	}
	if err := s.cfg.Matrix.Put(m.row, m.via, now); err != nil {
		return Replayed, fail(http.StatusForbidden, err)
	}
	if fresh && s.cfg.Sighted != nil {
		s.cfg.Sighted(m.row.Source)
	}
	s.rows.took(m, size)
	return 0, nil
}
