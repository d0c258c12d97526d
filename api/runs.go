package api

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netchecker/mesh"
)

// run is what the server remembers of one agent's name: which of its lives is the present one, how
// far its messages have come, and where it lives.
type run struct {
	boot       uint64
	superseded []uint64
	last       [2]Signature // by Purpose: ForRow, ForReport
	seen       time.Time
	// quiet is how long the run may be silent before another may claim to be the agent's present life.
	quiet    time.Duration
	agent    mesh.Agent
	conflict Conflict
}

// Conflict is a second address that claimed an agent's name while the first was fresh.
type Conflict struct {
	Name          string
	First, Second netip.Addr
	Count         uint64
	Last          time.Time
}

// runs refuses what was said before and who claims another's name. It is bounded: by a number of
// names, of which the ones silent for longest make room once they are silent for forgetAfter.
type runs struct {
	mu     sync.Mutex
	byName map[string]*run
	most   int
}

const (
	// reportQuiet is the quiet time of a run known from reports alone.
	reportQuiet = 40 * time.Second
	forgetAfter = time.Hour
	// maxSuperseded is how many former lives are remembered: a container restarts 288 times a day at
	// kubelet's slowest back-off, and a signature of a day ago has long been overtaken.
	maxSuperseded = 64
)

// errFull says that no more agents are allowed.
var errFull = errors.New("no more agents are allowed")

// errDuplicate says that the very message was taken before: a hedged request that came both ways.
var errDuplicate = errors.New("this message was taken before")

// message is one report or row on its way in.
type message struct {
	purpose   Purpose
	name      string
	signature Signature
	// signed says that the signature was verified: only then are replays and conflicts refused.
	signed bool
	// proven says that the signature proves the name, and not only membership.
	proven bool
	// row is nil for a report.
	row *mesh.Row
	// via is the agent that relayed it, "" when it came directly.
	via string
}

// check refuses a message that take would refuse, without remembering it.
func (r *runs) check(m *message, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.byName[m.name]; known != nil && m.signed {
		return known.check(m.purpose, m.name, m.signature, now)
	}
	return nil
}

func (k *run) check(p Purpose, name string, s Signature, now time.Time) error {
	if s.Boot == k.boot {
		switch last := &k.last[p]; {
		case s == *last:
			return errDuplicate
		case s.Sequence <= last.Sequence && last.Boot == s.Boot:
			return fmt.Errorf("%s %d of %q: number %d of this run was taken before", p, s.Sequence, name, last.Sequence)
		}
		return nil
	}
	if slices.Contains(k.superseded, s.Boot) {
		return fmt.Errorf("%s of %q: of an earlier run, which a later one replaced", p, name)
	}
	// A run never seen is a restart, even when its start looks earlier: clocks are set back. But while
	// the known run speaks, an earlier one is a recording from before this server started, and taking
	// it would lock the living agent out as superseded.
	if s.Boot < k.boot && now.Sub(k.seen) < k.quiet {
		return fmt.Errorf("%s of %q: of an earlier run than the one that reports", p, name)
	}
	return nil
}

// knows reports whether anything was taken under the name: what is signed, where that matters.
func (r *runs) knows(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[name] != nil
}

// take remembers the message, or says why it is refused. It is called once the message proved
// readable: a row that must come again with its table keeps its number. fresh says that a row's
// agent is new or has changed.
func (r *runs) take(m *message, now time.Time) (fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.byName[m.name]
	if known == nil {
		if len(r.byName) >= r.most && !r.evict(now) {
			return false, fmt.Errorf("agent %q: %d are known: %w", m.name, len(r.byName), errFull)
		}
		known = &run{boot: m.signature.Boot, quiet: reportQuiet}
		r.byName[m.name] = known
	} else if m.signed {
		if err := known.check(m.purpose, m.name, m.signature, now); err != nil {
			return false, err
		}
	} else if m.signature == known.last[m.purpose] {
		return false, errDuplicate
	}
	if m.row != nil {
		if err := known.claim(m, now); err != nil {
			return false, err
		}
		fresh = known.agent != m.row.Source
		known.agent, known.quiet = m.row.Source, 5*m.row.Interval/2
	}
	if known.boot != m.signature.Boot {
		known.superseded = append(known.superseded, known.boot)
		known.superseded = known.superseded[max(0, len(known.superseded)-maxSuperseded):]
		known.boot, known.last = m.signature.Boot, [2]Signature{}
	}
	known.last[m.purpose], known.seen = m.signature, now
	return fresh, nil
}

// claim refuses a signed row from another address than the one known, for as long as that one is
// fresh: a shared secret proves membership, not the name, so the first address wins. Where the name
// is proven a second address is the agent itself, restarted with another.
func (k *run) claim(m *message, now time.Time) error {
	first, second := k.agent.Primary(), m.row.Source.Primary()
	if !m.signed || m.proven || !first.IsValid() || first == second || now.Sub(k.seen) >= k.quiet {
		return nil
	}
	k.conflict = Conflict{m.name, first, second, k.conflict.Count + 1, now}
	return &conflictError{k.conflict}
}

// conflictError refuses a row for its address.
type conflictError struct{ Conflict }

func (e *conflictError) Error() string {
	return fmt.Sprintf("agent %q: address conflict: %v reports under this name, now %v does", e.Name, e.First, e.Second)
}

// evict drops the name silent for longest, if it is silent for long enough.
func (r *runs) evict(now time.Time) bool {
	oldest := ""
	for name, k := range r.byName {
		if oldest == "" || k.seen.Before(r.byName[oldest].seen) {
			oldest = name
		}
	}
	if oldest == "" || now.Sub(r.byName[oldest].seen) < forgetAfter {
		return false
	}
	delete(r.byName, oldest)
	return true
}

// conflicts lists the conflicts since a moment by name; nil when there is none.
func (r *runs) conflicts(since time.Time) map[string]Conflict {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out map[string]Conflict
	for name, k := range r.byName {
		if k.conflict.Count > 0 && k.conflict.Last.After(since) {
			if out == nil {
				out = map[string]Conflict{}
			}
			out[name] = k.conflict
		}
	}
	return out
}
