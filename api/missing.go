package api

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// unsure are the due agents of which nobody can know yet whether they are missing.
type unsure struct {
	names []string
	// until is when the last of them is known, unless the store stays behind.
	until time.Time
	// behind is why the store does not show all there is, nil when it does.
	behind error
}

// missing lists the due pods without a report and those whose last one is too old. The lists are
// never nil, as the original's. Who cannot have reported to this server yet, or may have reported to
// another one, is in neither: after a restart every agent would be.
func (s *Server) missing(records []*Record, pods []ExpectedPod, now time.Time) (absent, outdated []string, doubt unsure) {
	absent, outdated = []string{}, []string{}
	doubt.behind = s.cfg.Store.Behind()
	common := commonInterval(records)
	for _, pod := range pods {
		if !pod.Due {
			continue
		}
		interval := common
		at, reported := find(records, pod.Name)
		if reported {
			interval = records[at].Interval()
			if now.Sub(records[at].LastUpdated) <= 2*interval {
				continue
			}
		}
		settled := s.started.Add(settle(interval))
		switch {
		case doubt.behind != nil || !now.After(settled):
			doubt.names = append(doubt.names, pod.Name)
			if settled.After(doubt.until) {
				doubt.until = settled
			}
		case !reported:
			absent = append(absent, pod.Name)
		default:
			outdated = append(outdated, pod.Name)
		}
	}
	return absent, outdated, doubt
}

// commonInterval is the longest interval of the agents that reported: one that did not will hardly
// have another. It is the default while nobody did.
func commonInterval(records []*Record) time.Duration {
	longest := time.Duration(0)
	for _, r := range records {
		longest = max(longest, r.Interval())
	}
	if longest == 0 {
		return defaultInterval
	}
	return longest
}

// settle is how long after the start an agent's silence says nothing: one interval, and what a
// report may be late.
func settle(interval time.Duration) time.Duration {
	return interval + min(max(interval/4, time.Second), 10*time.Second)
}

// cannotKnow answers a check that nobody can make yet.
func (s *Server) cannotKnow(c echo.Context, doubt unsure, pods int, now time.Time) error {
	if doubt.behind != nil {
		return failf(http.StatusInternalServerError, "%s: %d of %d agents may have reported to another server or to the one before this (%s): %w",
			checkFailed, len(doubt.names), pods, someNames(doubt.names), doubt.behind)
	}
	wait := max(int(math.Ceil(doubt.until.Sub(now).Seconds())), 1)
	c.Response().Header().Set("Retry-After", strconv.Itoa(wait))
	return failf(http.StatusInternalServerError, "%s: the server started %.0f s ago and cannot know yet: %d of %d agents have not reported since (%s); ask again in %d s",
		checkFailed, now.Sub(s.started).Seconds(), len(doubt.names), pods, someNames(doubt.names), wait)
}

// someNames lists the first few names.
func someNames(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// incomplete says why the list of records may lack some: the store has not shown all there is, and a
// due agent is not in it, or the server has not run for long enough to have heard of every one.
func (s *Server) incomplete(records []*Record, pods []ExpectedPod, now time.Time) error {
	behind := s.cfg.Store.Behind()
	if behind == nil {
		return nil
	}
	if !now.After(s.started.Add(settle(commonInterval(records)))) {
		return fmt.Errorf("nobody can know yet which agents reported: %w", behind)
	}
	var lacking []string
	for _, pod := range pods {
		if _, reported := find(records, pod.Name); pod.Due && !reported {
			lacking = append(lacking, pod.Name)
		}
	}
	if lacking != nil {
		return fmt.Errorf("nobody can know whether %s reported: %w", someNames(lacking), behind)
	}
	return nil
}

// find returns where the record with the name stands in a sorted list.
func find(records []*Record, name string) (int, bool) {
	return slices.BinarySearchFunc(records, name, func(r *Record, name string) int { return compare(r.Name, name) })
}
