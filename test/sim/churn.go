package sim

import (
	"slices"
	"time"

	"netchecker/mesh"
)

const (
	// lameDuck is how long an agent answers after its farewell.
	lameDuck = 10 * time.Second
	// startUp is how long a successor takes to start.
	startUp = 2 * time.Second
	// deathNews is how long gossip takes to call a silent member dead, at least.
	deathNews = 25 * time.Second
)

// tell lets every other agent and the server learn what is true of an agent, each after its own
// delay. What they learn is what holds when the news arrives, as gossip orders the news about a member.
func (c *Cluster) tell(about *Agent) {
	for _, a := range c.agents {
		if a != about {
			c.at(c.now+c.cfg.NewsDelay(c.random), func() { about.describe(a.reg, c.wall()) })
		}
	}
	s := c.server
	c.at(c.now+c.cfg.NewsDelay(c.random), func() { about.describe(s.reg, s.clock()) })
}

// describe tells a registry what gossip knows of the agent.
func (a *Agent) describe(r *mesh.Registry, now time.Time) {
	r.Alive(a.self, now)
	switch {
	case a.left:
		r.Left(a.Name(), now)
	case a.called && !a.asking:
		r.Dead(a.Name(), now)
	}
}

// announce makes a new agent known, and lets it know the others: those that run from them, those
// that are dead from the server.
func (c *Cluster) announce(a *Agent) {
	c.tell(a)
	c.at(c.now+c.cfg.NewsDelay(c.random), func() {
		for _, b := range c.agents {
			if b != a {
				b.describe(a.reg, c.wall())
			}
		}
		for _, m := range c.server.reg.Roster().Agents {
			if m.Life != mesh.Left {
				a.reg.Hint(m.Agent, c.wall())
			}
		}
	})
}

// Kill ends an agent's process without a word. Its address stays: the kernel refuses what comes.
func (c *Cluster) Kill(a *Agent) {
	c.end(a, false)
	c.at(c.now+deathNews, func() {
		a.called = true
		c.tell(a)
	})
}

// end removes a process; removed takes its pod's address away too.
func (c *Cluster) end(a *Agent, removed bool) {
	a.asking = false
	c.peak = max(c.peak, a.port.meter.peak)
	c.agents = slices.DeleteFunc(c.agents, func(b *Agent) bool { return b == a })
	for f := range mesh.Family(mesh.Families) {
		if s := c.sites[a.self.Addr(f)]; s != nil && s.agent == a {
			s.agent, s.removed = nil, removed && a.Network == mesh.Pod
		}
	}
	a.engine.Close()
}

// Start runs a new agent in a place where none runs, with a clock that is wrong by skew.
func (c *Cluster) Start(p Place, skew time.Duration) error {
	a, err := c.start(p, skew)
	if err != nil {
		return err
	}
	c.announce(a)
	return nil
}

// Leave lets an agent go on purpose: it says so to the server and to gossip, answers on as a lame
// duck, and ends.
func (c *Cluster) Leave(a *Agent) {
	a.deliver(a.row(true))
	a.asking, a.left = false, true
	c.tell(a)
	c.at(c.now+lameDuck, func() { c.end(a, true) })
}

// Replace lets an agent go and a successor with another name, and on the pod network another
// address, start in its place: what an update of its DaemonSet does.
func (c *Cluster) Replace(a *Agent) {
	c.Leave(a)
	c.at(c.now+lameDuck+startUp, func() {
		if err := c.Start(a.Place, a.skew); err != nil {
			panic(err)
		}
	})
}

// Grow adds nodes, all at the same moment.
func (c *Cluster) Grow(nodes int) error {
	for range nodes {
		if err := c.addNode(); err != nil {
			return err
		}
		for _, a := range c.agents[len(c.agents)-mesh.Networks:] {
			c.announce(a)
		}
	}
	return nil
}
