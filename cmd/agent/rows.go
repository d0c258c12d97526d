package agent

import (
	"context"
	"time"

	"netchecker/mesh"
	"netchecker/probe/service"
)

// rowInterval is how often an agent of a mesh of n nodes sends its row when nothing changes:
// clamp(1 s, n ÷ 20 s, 15 s), so that 5,000 nodes make some 670 rows a second at the server.
func rowInterval(nodes int) time.Duration {
	return min(max(time.Second, time.Duration(nodes)*time.Second/20), 15*time.Second)
}

const (
	// debounce is how long a change waits for others before the row goes out.
	debounce = 200 * time.Millisecond
	// rowTimeout bounds one delivery, all ways tried. The row after it says everything anew.
	rowTimeout = 4 * time.Second
	// leastGrace is enough for a way round a broken one, which is known from then on, and does not yet make
	// rows overdue that are due each second.
	leastGrace = 700 * time.Millisecond
)

// graceFor is how long the other servers may take once one has taken a row.
func graceFor(interval time.Duration) time.Duration { return max(leastGrace, interval/5) }

// calmFor is how long after one row the next change waits at least: a fifth of the interval, but
// half a second where rows come at least every 10 s, so that a fault among 100 nodes is told in time.
func calmFor(interval time.Duration) time.Duration {
	if interval <= 10*time.Second {
		return min(interval/5, 500*time.Millisecond)
	}
	return interval / 5
}

// row says what is known now.
func (a *Agent) row(p *plan, leaving bool) *mesh.Row {
	row := mesh.NewRow(a.gossip.Self(), p.table)
	a.sequence++
	row.Sequence = a.sequence
	row.Interval = rowInterval(p.nodes)
	row.Doubt = a.engine.Doubt()
	row.Leaving = leaving
	a.statuses = a.engine.Snapshot(a.statuses[:0])
	for i := range a.statuses {
		s := &a.statuses[i]
		if col := p.column(s.Target.ID, s.Target.Addr.Addr()); col >= 0 {
			row.Set(col, &s.Probes)
		}
	}
	a.heard = a.echo.Heard(a.heard[:0])
	for i := range a.heard {
		family := mesh.IPv4
		if a.heard[i].IPv6 {
			family = mesh.IPv6
		}
		if col, known := p.columns[columnKey{a.heard[i].Sender, family}]; known {
			row.SetHeard(col, &a.heard[i])
		}
	}
	row.Services = a.watch.Snapshot()
	row.Seal()
	return row
}

// sendRows sends the row every interval, and soon after a change. One delivery is under way at a
// time; what changes meanwhile is in the next row, so nothing queues up while a server is dead.
func (a *Agent) sendRows(ctx context.Context) error {
	next := time.Now().Add(debounce)
	timer := time.NewTimer(debounce)
	defer timer.Stop()
	var last time.Time
	for {
		changed := true
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			changed = false
		case <-a.engine.Changed():
			a.triggerEvidence()
		case <-a.evidenceNews:
		case <-a.echo.Changed():
			a.reader.Trigger()
		case <-a.watch.Changed():
		}
		p := a.plan.Load()
		interval := rowInterval(p.nodes)
		if changed {
			// A storm of changes in a big mesh must not turn 15 s rows into 200 ms rows, and a change
			// must not put off the row that an earlier one has called for.
			soon := time.Now().Add(debounce)
			if calm := last.Add(calmFor(interval)); calm.After(soon) {
				soon = calm
			}
			if soon.Before(next) {
				next = soon
				timer.Reset(time.Until(next))
			}
			continue
		}
		last = time.Now()
		a.deliverRow(ctx, a.row(p, false))
		a.gossip.Heard(p.answering(a.statuses))
		next = last.Add(interval)
		timer.Reset(max(time.Until(next), debounce))
	}
}

// triggerEvidence asks for a reading when a path is bad: the moment when it matters.
func (a *Agent) triggerEvidence() {
	a.statuses = a.engine.Snapshot(a.statuses[:0])
	for i := range a.statuses {
		if badPath(&a.statuses[i].Probes) {
			a.reader.Trigger()
			return
		}
	}
}

// farewell tells the servers that the agent goes on purpose, once, in what is left of ctx.
func (a *Agent) farewell(ctx context.Context) {
	a.deliverRow(ctx, a.row(a.plan.Load(), true))
}

// followRoster turns every change of the roster into targets.
func (a *Agent) followRoster(ctx context.Context) error {
	for {
		a.adopt(a.gossip.Roster())
		select {
		case <-ctx.Done():
			return nil
		case <-a.gossip.Changed():
		}
	}
}

func (a *Agent) adopt(roster *mesh.Roster) {
	if old := a.plan.Load(); old != nil && old.roster == roster {
		return
	}
	p, err := newPlan(roster, a.gossip.Self())
	if err != nil {
		a.log.Error("roster not taken", "error", err)
		return
	}
	a.plan.Store(p)
	a.engine.SetTargets(p.targets)
	a.watch.SetInterval(service.IntervalFor(p.nodes))
}
