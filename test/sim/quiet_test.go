package sim_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	. "netchecker/test/sim"
)

// doctor diagnoses a simulated cluster once a second, as the server does.
type doctor struct {
	*lab
	tracker *diagnose.Tracker
	said    map[string]bool
	rounds  int
}

func diagnosed(l *lab) *doctor {
	return &doctor{lab: l, tracker: diagnose.NewTracker(), said: map[string]bool{}}
}

// live lets time pass; whatever is found fails the test.
func (d *doctor) live(length time.Duration) {
	d.t.Helper()
	for end := d.Now() + length; d.Now() < end; {
		d.Run(time.Second)
		v := d.View()
		d.rounds++
		for _, f := range d.tracker.Round(diagnose.Input{View: v, Now: v.Generated}) {
			if !d.said[f.Summary] {
				d.said[f.Summary] = true
				d.t.Errorf("after %v: %s/%s %v: %s", d.Now(), f.Kind, f.Cause, f.Location.Nodes, f.Summary)
			}
		}
	}
}

// someone is an agent by chance, nil when its place is empty.
func (d *doctor) someone(random *rand.Rand) *Agent {
	return d.Agent(d.Place(random.IntN(d.Nodes()), mesh.Network(random.IntN(mesh.Networks))))
}

func TestNothingIsFoundWhileAgentsAreReplaced(t *testing.T) {
	t.Parallel()
	d := diagnosed(healthy(t, Config{Nodes: 12, Zones: 3, Seed: 21, NewsDelay: slowNews}))
	random := rand.New(rand.NewPCG(21, 1))
	for d.Now() < 15*time.Minute {
		if a := d.someone(random); a != nil {
			d.Replace(a)
		}
		d.live(time.Duration(2+random.IntN(10)) * time.Second)
	}
	d.live(time.Minute)
}

func TestNothingIsFoundWhileTheClusterGrows(t *testing.T) {
	t.Parallel()
	d := diagnosed(healthy(t, Config{Nodes: 9, Zones: 3, Seed: 22}))
	for _, more := range []int{1, 4, 8} {
		if err := d.Grow(more); err != nil {
			t.Fatal(err)
		}
		d.live(time.Minute)
	}
}

// A drained node's agents leave, and the node stays away.
func TestNothingIsFoundWhenANodeIsDrained(t *testing.T) {
	t.Parallel()
	d := diagnosed(healthy(t, Config{Nodes: 9, Seed: 23}))
	for _, node := range []int{3, 7} {
		for network := range mesh.Network(mesh.Networks) {
			d.Leave(d.Agent(d.Place(node, network)))
		}
		d.live(5 * time.Minute)
	}
}

// Agents without processor miss probes, answer late, and say so.
func TestNothingIsFoundWhenAgentsStarve(t *testing.T) {
	for _, pause := range []time.Duration{800 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel()
			d := diagnosed(healthy(t, Config{Nodes: 8, Seed: 24}))
			random := rand.New(rand.NewPCG(24, uint64(pause)))
			for range 40 {
				for range 1 + random.IntN(2) {
					if a := d.someone(random); a != nil {
						a.Pause(pause)
					}
				}
				d.live(pause + time.Duration(random.IntN(8))*time.Second)
			}
			d.live(30 * time.Second)
		})
	}
}

// A node without processor starves both of its agents at once.
func TestNothingIsFoundWhenANodeStarves(t *testing.T) {
	t.Parallel()
	d := diagnosed(healthy(t, Config{Nodes: 8, Seed: 25}))
	for i := range 20 {
		for network := range mesh.Network(mesh.Networks) {
			d.Agent(d.Place(i%8, network)).Pause(1500 * time.Millisecond)
		}
		d.live(6 * time.Second)
	}
	d.live(30 * time.Second)
}

func TestNothingIsFoundAfterTheServerRestarts(t *testing.T) {
	t.Parallel()
	d := diagnosed(healthy(t, Config{Nodes: 12, Seed: 26}))
	for range 5 {
		d.RestartServer()
		d.tracker = diagnose.NewTracker()
		d.live(30 * time.Second)
	}
}

func TestNothingIsFoundWhenClocksJump(t *testing.T) {
	t.Parallel()
	d := diagnosed(healthy(t, Config{Nodes: 8, Seed: 27}))
	for i, jump := range []time.Duration{time.Hour, -2 * time.Hour, 24 * time.Hour, -30 * time.Second} {
		d.Agent(d.Place(i, mesh.Host)).Jump(jump)
		d.live(30 * time.Second)
		d.JumpServer(jump)
		d.live(30 * time.Second)
	}
}

// A fault among agents that come and go is found all the same, and nothing else is.
func TestAFaultIsFoundAmongChurn(t *testing.T) {
	t.Parallel()
	l := healthy(t, Config{Nodes: 12, Seed: 28})
	d, random := diagnosed(l), rand.New(rand.NewPCG(28, 1))
	l.Break("fault", PodNetworkDown(4))
	found := 0
	for l.Now() < 5*time.Minute {
		if a := d.someone(random); a != nil && a.Name() != "" && random.IntN(2) == 0 {
			l.Replace(a)
		}
		for range 8 {
			l.Run(time.Second)
			v := l.View()
			for _, f := range d.tracker.Round(diagnose.Input{View: v, Now: v.Generated}) {
				if got := fmt.Sprint(f.Kind, f.Location.Nodes); got != "overlay_broken[node04]" && got != "forwarding_broken[node04]" {
					t.Errorf("%s: %s", got, f.Summary)
				} else {
					found++
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("found in %d rounds", found)
	}
}
