package api

import (
	"context"
	"time"

	"netchecker/mesh"
)

// ExpectedPod is one agent's pod.
type ExpectedPod struct {
	Name string
	mesh.Key
	// Due says that the pod has run for long enough to have reported, and is not going: it is Running
	// for longer than two intervals and not terminating. Others exist but are not held against anybody.
	Due bool
}

// Expecter knows which agent pods there are.
type Expecter interface {
	// Expected lists the pods that exist at now. An error means that nobody can know, which the server
	// answers with status 500: it never takes lack of knowledge for lack of pods. The list may be
	// shared: nobody changes it. Sorted by name it costs least.
	Expected(now time.Time) ([]ExpectedPod, error)
}

// rosterExpecter stands for Kubernetes where there is none: what gossip retains exists, and so does
// every agent, old or unknown to gossip, that reported within ReportTTL.
type rosterExpecter struct{ s *Server }

// Expected implements Expecter.
func (e rosterExpecter) Expected(now time.Time) ([]ExpectedPod, error) {
	records, err := e.s.cfg.Store.All(context.Background())
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*Record, len(records))
	for _, r := range records {
		byName[r.Name] = r
	}
	var out []ExpectedPod
	for _, m := range roster(e.s) {
		interval := defaultInterval
		if r := byName[m.Name]; r != nil {
			interval = r.Interval()
		}
		delete(byName, m.Name)
		// A dead agent was there before it died; a live one is new for two intervals. Who left on
		// purpose has no duty left, and is gone once somebody else holds its key.
		due := m.Life == mesh.Dead || m.Life == mesh.Alive && now.Sub(m.Since) > 2*interval
		out = append(out, ExpectedPod{Name: m.Name, Key: m.Key, Due: due})
	}
	for _, r := range records {
		if byName[r.Name] != nil && now.Sub(r.LastUpdated) <= e.s.cfg.ReportTTL && !e.s.replaced(r) {
			out = append(out, ExpectedPod{Name: r.Name, Key: r.key(), Due: true})
		}
	}
	return out, nil
}

func roster(s *Server) []mesh.Member {
	if r := s.cfg.Roster(); r != nil {
		return r.Agents
	}
	return nil
}

// replaced reports whether the roster shows another agent for the key of a new agent's record: the
// pod was replaced, and waiting out the ReportTTL would call it outdated after every rolling update.
func (s *Server) replaced(r *Record) bool {
	if r.Network == "" {
		return false // an old agent may run beside a new one
	}
	if ros := s.cfg.Roster(); ros != nil {
		m, held := ros.Find(r.key())
		return held && m.Name != r.Name
	}
	return false
}
