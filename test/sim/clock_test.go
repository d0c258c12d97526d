package sim_test

import (
	"testing"
	"time"

	"netchecker/mesh"
	. "netchecker/test/sim"
)

const day = 24 * time.Hour

func TestClockThatJumpsByADayChangesNothing(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": day, "backward": -day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Seed: 8})
			l.Agent(l.Place(1, mesh.Host)).Jump(jump)
			l.Agent(l.Place(2, mesh.Pod)).Jump(jump)
			l.stays(30*time.Second, Healthy)
			l.Break("fault", OneWayCut(1, 2))
			cut := pairFails(1, 2)
			l.until(soon, cut, Healthy)
			l.stays(5*time.Second, cut)
			lostOnTheWay(t, l)
			l.Heal("fault")
			l.until(gone, Healthy, cut)
		})
	}
}

// The simulation's times have no monotonic part, which on a real server spares it all of this: here
// rows look stale, or fresh for a day, until the next ones come.
func TestServerClockThatJumpsByADayAccusesNobody(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": day, "backward": -day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Seed: 9})
			l.JumpServer(jump)
			l.stays(5*time.Second, quiet(everybody))
			l.stays(30*time.Second, Healthy)
			l.Break("fault", CutNode(1))
			l.until(soon+staleIn(*nodes), silent(1, Failing), Healthy)
			l.Heal("fault")
			l.until(gone, Healthy, silent(1, Failing))
		})
	}
}

func TestSuccessorWithAClockOfYesterdayIsBelieved(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Seed: 10})
	place := l.Place(1, mesh.Pod)
	l.Leave(l.Agent(place))
	l.stays(12*time.Second, quiet(func(p Place) bool { return p == place }))
	if err := l.Start(place, -day); err != nil {
		t.Fatal(err)
	}
	took := l.settle(gone)
	l.stays(time.Minute, Healthy)
	t.Logf("all ok after %v", took)

	l.Kill(l.Agent(place))
	dead := func(s, d Place, _ mesh.Family) uint8 {
		switch place {
		case s:
			return Unknown
		case d:
			return Failing
		}
		return OK
	}
	l.until(soon+staleIn(*nodes), dead, Healthy)
	if err := l.Start(place, -2*day); err != nil {
		t.Fatal(err)
	}
	// Of two agents in one place that gossip calls alive the later start stands: here the dead one's,
	// until gossip has noticed.
	took = l.until(40*time.Second, Healthy, dead)
	l.stays(time.Minute, Healthy)
	t.Logf("after a crash all ok %v after the start", took)
}

func TestAgentWithoutProcessorDoubtsItself(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pause time.Duration
		truth Truth
	}{
		{"late by less than the time-out", 800 * time.Millisecond, Healthy},
		{"late by more than the time-out", 1200 * time.Millisecond, starved(OK | Unknown | Degraded)},
		{"late by six seconds", 6 * time.Second, starved(OK | Unknown | Degraded | Failing)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := healthy(t, Config{Seed: 11})
			a := l.Agent(l.Place(1, mesh.Pod))
			for range 10 {
				a.Pause(tt.pause)
				l.stays(tt.pause+5*time.Second, tt.truth)
			}
			l.Run(20 * time.Second)
			l.stays(time.Minute, Healthy)
		})
	}
}

// starved is the truth that the agent of node 1's pod may say nothing bad, and others of it what to allows.
func starved(to uint8) Truth {
	return func(s, d Place, _ mesh.Family) uint8 {
		starving := Place{Node: 1, Network: mesh.Pod}
		switch {
		case s.Key() == starving.Key():
			return OK | Unknown
		case d.Key() == starving.Key():
			return to
		}
		return OK
	}
}

func TestFamiliesAreApart(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Nodes: 6, Seed: 12, Dual: true})
	l.Break("fault", FamilyCut(1, mesh.IPv6))
	cut := func(s, d Place, f mesh.Family) uint8 {
		if f == mesh.IPv6 {
			return touching(1, Failing, Failing)(s, d, f)
		}
		return OK
	}
	l.until(soon, cut, Healthy)
	l.stays(20*time.Second, cut)
	l.Heal("fault")
	l.until(gone, Healthy, cut)
}
