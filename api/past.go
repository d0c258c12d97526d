package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
)

const (
	// historyBack is how far back history and findings go when nobody says since when.
	historyBack = time.Hour
	// pageSize and maxPage are how many changes a page has and may have.
	pageSize, maxPage = 1000, 10_000
)

// moment reads a time, or how long ago it was; what names the parameter. A time to come is an error.
func moment(what, text string, now time.Time) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "+", 1)) // + is a space in a query that nobody quoted
	if d, derr := time.ParseDuration(text); derr == nil {
		t, err = now.Add(-d), nil
	}
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return t, fmt.Errorf("%s %q: want a time such as %s, or how long ago, such as 15m", what, clip(text), now.UTC().Format(time.RFC3339))
	}
	if t.After(now) {
		return t, fmt.Errorf("%s %q: lies in the future, it is %s", what, clip(text), now.UTC().Format(timeForm))
	}
	return t, nil
}

// momentOf reads the parameter what, which may be given once; the zero time when it is not.
func momentOf(what string, values url.Values, now time.Time) (time.Time, error) {
	switch list := values[what]; len(list) {
	case 0:
		return time.Time{}, nil
	case 1:
		return moment(what, list[0], now)
	}
	return time.Time{}, fmt.Errorf("%s: want one time", what)
}

// queryOf reads the parameters of a request, which must be among words.
func queryOf(c echo.Context, words ...string) (url.Values, error) {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, failf(http.StatusBadRequest, "query: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(words, key) {
			return nil, failf(http.StatusBadRequest, "parameter %q: want one of %s", clip(key), strings.Join(words, ", "))
		}
	}
	return values, nil
}

// past is what was at a moment: the view and the findings.
func (s *Server) past(c echo.Context, at time.Time) (*mesh.View, []diagnose.Finding, error) {
	if s.cfg.History == nil {
		return nil, nil, errNoHistory()
	}
	view, err := s.cfg.History.View(c.Request().Context(), at)
	if err != nil {
		return nil, nil, pastError("at", err)
	}
	found, err := s.cfg.History.Findings(at)
	if err != nil {
		return nil, nil, pastError("at", err)
	}
	return view, found, nil
}

func errNoHistory() error {
	return failf(http.StatusNotFound, "this server keeps no history: it runs with -history-size 0")
}

// pastError tells what the reader asked wrongly from what the server cannot do.
func pastError(what string, err error) error {
	if _, ok := errors.AsType[NotKept](err); ok {
		return failf(http.StatusBadRequest, "%s %w", what, err)
	}
	if _, ok := errors.AsType[BadCursor](err); ok {
		return fail(http.StatusBadRequest, err)
	}
	return err
}

// getFindings serves GET /api/v1/findings: what is broken now, was at a moment, or has been since one.
func (s *Server) getFindings(c echo.Context) error {
	values, err := queryOf(c, "at", "since")
	if err != nil {
		return err
	}
	now := s.now()
	at, err := momentOf("at", values, now)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	since, err := momentOf("since", values, now)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	found := s.Findings()
	switch {
	case !at.IsZero() && !since.IsZero():
		return failf(http.StatusBadRequest, "at and since: want one of them")
	case !at.IsZero():
		if _, found, err = s.past(c, at); err != nil {
			return err
		}
	case !since.IsZero() && s.cfg.History == nil:
		return errNoHistory()
	case !since.IsZero():
		found = s.cfg.History.FindingsSince(since, now)
	}
	answer := struct {
		Findings []diagnose.Finding `json:"findings"`
	}{found}
	if answer.Findings == nil {
		answer.Findings = []diagnose.Finding{}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("findings: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSONBlob(http.StatusOK, body)
}

// getHistory serves GET /api/v1/history: what changed, in pages.
func (s *Server) getHistory(c echo.Context) error {
	values, err := queryOf(c, "after", "destination", "limit", "path", "since", "source", "state", "until")
	if err != nil {
		return err
	}
	if s.cfg.History == nil {
		return errNoHistory()
	}
	q, err := parseChanges(values, s.now())
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	page, err := s.cfg.History.Changes(c.Request().Context(), q)
	if err != nil {
		return pastError("history", err)
	}
	var found []diagnose.Finding
	if q.After == "" {
		found = s.cfg.History.FindingsSince(q.Since, q.Until)
		found = slices.DeleteFunc(found, func(f diagnose.Finding) bool { return !concerns(&f, &q.Filter) })
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	return s.writeHistory(c.Response(), &q, &page, found)
}

// concerns reports whether a finding is about the nodes of a filter. One without nodes is about all.
func concerns(f *diagnose.Finding, filter *mesh.Filter) bool {
	for _, name := range []string{filter.Source, filter.Destination} {
		if name != "" && len(f.Location.Nodes) > 0 && !slices.Contains(f.Location.Nodes, name) &&
			f.Location.Source != name && f.Location.Destination != name {
			return false
		}
	}
	return true
}

func parseChanges(values url.Values, now time.Time) (out ChangeQuery, err error) {
	chosen := url.Values{"state": {"all"}}
	for _, key := range []string{"source", "destination", "path", "state"} {
		if given := values[key]; len(given) > 0 {
			chosen[key] = given
		}
	}
	q, err := parseQuery(chosen, now)
	if err != nil {
		return out, err
	}
	out = ChangeQuery{Filter: q.filter, After: values.Get("after"), Limit: pageSize, Until: now}
	if out.Since, err = momentOf("since", values, now); err != nil {
		return out, err
	}
	if given := values["until"]; len(given) > 0 {
		if out.Until, err = momentOf("until", values, now); err != nil {
			return out, err
		}
	}
	if out.Since.IsZero() {
		out.Since = out.Until.Add(-historyBack)
	}
	if out.Until.Before(out.Since) {
		return out, fmt.Errorf("until %q: lies before since", clip(values.Get("until")))
	}
	if text := values.Get("limit"); text != "" {
		if out.Limit, err = strconv.Atoi(text); err != nil || out.Limit < 1 || out.Limit > maxPage {
			return out, fmt.Errorf("limit %q: want 1 to %d", clip(text), maxPage)
		}
	}
	return out, nil
}
