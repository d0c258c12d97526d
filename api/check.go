package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/probe"
)

// CheckAnswer is the answer of /api/v1/connectivity_check, with the capital keys that scripts look
// for. Both lists are null when all is well.
type CheckAnswer struct {
	Message  string
	Absent   []string
	Outdated []string
}

// connectivityCheck serves GET /api/v1/connectivity_check: 200 when every expected agent reported
// within two of its intervals, 400 with those that did not, 500 when nobody can know. With
// ?matrix=true it is 400 too while a path fails.
func (s *Server) connectivityCheck(c echo.Context) error {
	matrix := false
	if text := c.QueryParam("matrix"); text != "" {
		var err error
		if matrix, err = strconv.ParseBool(text); err != nil {
			return failf(http.StatusBadRequest, "matrix %q: want true or false", clip(text))
		}
	}
	s.sayStore(c)
	now := s.now()
	records, pods, err := s.existing(c, now)
	if err != nil {
		return failf(http.StatusInternalServerError, "%s: %w", checkFailed, err)
	}
	answer, status := CheckAnswer{}, http.StatusOK
	absent, outdated, unsure := s.missing(records, pods, now)
	if len(absent)+len(outdated) == 0 {
		if len(unsure.names) > 0 {
			return s.cannotKnow(c, unsure, len(pods), now)
		}
		if err := s.incomplete(records, pods, now); err != nil {
			return failf(http.StatusInternalServerError, "%s: %w", checkFailed, err)
		}
	}
	switch failing := 0; {
	case len(absent)+len(outdated) > 0:
		status = http.StatusBadRequest
		answer = CheckAnswer{"Connectivity check fails. Reason: there are absent or outdated pods; look up the payload", absent, outdated}
	case matrix:
		for _, count := range s.cfg.Matrix.View(now).Counts() {
			failing += count.ByState[probe.Failing]
		}
		if failing > 0 {
			status = http.StatusBadRequest
			answer.Message = fmt.Sprintf("Connectivity check fails. Reason: %d paths are failing; look up /api/v1/matrix", failing)
		}
	}
	if status == http.StatusOK {
		answer.Message = fmt.Sprintf("All %d pods successfully reported back to the server", len(records))
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("connectivity check: %w", err)
	}
	return c.JSONBlob(status, body)
}

// checkFailed is how the original server began when it could not know: people search for it.
const checkFailed = "Error occurred while checking the agents. Details"

// vanishedAfter is how long a record may be without a pod before it goes: Kubernetes may tell of a
// new pod later than the pod itself.
const vanishedAfter = time.Minute

// Sweep removes the records of agents that no longer exist, and the counters of labels no longer in
// use. cmd calls it every few seconds. When nobody knows which agents exist it removes nothing.
func (s *Server) Sweep(ctx context.Context) error {
	now := s.now()
	pods, err := s.cfg.Expected.Expected(now)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	exists := make(map[string]bool, len(pods))
	for _, p := range pods {
		exists[p.Name] = true
	}
	records, err := s.cfg.Store.All(ctx)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var gone []string
	used := map[string]bool{}
	for _, rec := range records {
		if !exists[rec.Name] && now.Sub(rec.LastUpdated) > vanishedAfter {
			gone = append(gone, rec.Name)
			continue
		}
		used[rec.label()] = true
	}
	s.book.keep(used)
	if len(gone) == 0 {
		return nil
	}
	if err := s.cfg.Store.Delete(ctx, gone...); err != nil {
		return fmt.Errorf("sweep: store: %w", err)
	}
	s.log.Info("agents removed that no longer exist", "agents", gone[:min(len(gone), 10)], "number", len(gone))
	return nil
}

// ErrPodsUnknown says that Kubernetes never told which agents there are.
var ErrPodsUnknown = errors.New("nobody knows which agents there are")

// AgentSeries returns the original metrics of the agents that exist, one for each label: when two
// pods share one, the later report counts. The error is the store's unless it wraps ErrPodsUnknown.
func (s *Server) AgentSeries(ctx context.Context) ([]AgentSeries, error) {
	now := s.now()
	pods, err := s.cfg.Expected.Expected(now)
	if err != nil && s.podsProven {
		return nil, fmt.Errorf("%w: %w", ErrPodsUnknown, err)
	}
	if err != nil {
		return nil, err
	}
	exists := make(map[string]bool, len(pods))
	for _, p := range pods {
		exists[p.Name] = true
	}
	records, err := s.cfg.Store.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	latest := map[string]*Record{}
	for _, rec := range records {
		label := rec.label()
		if old := latest[label]; exists[rec.Name] && (old == nil || rec.LastUpdated.After(old.LastUpdated)) {
			latest[label] = rec
		}
	}
	out := make([]AgentSeries, 0, len(latest))
	for label, rec := range latest {
		since := rec.LastUpdated
		if since.Before(s.started) {
			since = s.started
		}
		a := AgentSeries{Label: label, Probes: rec.Series()}
		a.Reports, a.Missed = s.book.count(label, rec.Interval(), since, now)
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b AgentSeries) int { return compare(a.Label, b.Label) })
	return out, nil
}
