package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// fault is something broken: at node a, or between a and b.
type fault struct {
	kind, a, b string
	since      time.Time
}

// kinds are the faults and how many nodes each names.
var kinds = map[string]int{"overlay": 1, "dead": 1, "mtu": 1, "tcp": 1, "doubt": 1, "zone": 1, "loss": 2, "oneway": 2, "pair": 2}

func (w *world) parse(words []string) (fault, error) {
	if len(words) == 0 || len(words) != 1+kinds[words[0]] || kinds[words[0]] == 0 {
		return fault{}, fmt.Errorf("fault %q: want one of %v with its nodes", strings.Join(words, " "), kinds)
	}
	f := fault{kind: words[0], since: time.Now()}
	for i, at := range []*string{&f.a, &f.b} {
		if i+1 >= len(words) {
			break
		}
		n := slices.IndexFunc(w.agents, func(a mesh.Agent) bool {
			return a.Node == words[i+1] || strings.HasPrefix(a.Node, words[i+1]+".") || a.Zone == words[i+1]
		})
		if n < 0 {
			return fault{}, fmt.Errorf("no such node %q", words[i+1])
		}
		*at = w.agents[n].Node
		if f.kind == "zone" {
			*at = w.agents[n].Zone
		}
	}
	return f, nil
}

func (w *world) dead(node string) bool {
	return slices.ContainsFunc(w.faults, func(f fault) bool { return f.kind == "dead" && f.a == node })
}

// status is what the agent from measures of its path to another.
func (w *world) status(from, to mesh.Key) (s [probe.Kinds]probe.Status) {
	luck := chance(from, to)
	rtt := time.Duration(150+luck%200) * time.Microsecond
	rtt += rtt * time.Duration((luck+uint32(w.sequence)*2654435761)>>16%32) / 100 // no two rows say the same
	if from.Node == to.Node {
		rtt /= 10
	}
	for k := range s {
		s[k] = probe.Status{State: probe.OK, RTT: rtt, Age: time.Since(w.boot)}
	}
	s[probe.MTU].MaxBytes = 1450
	if w.noise > 0 && chance(to, from)%100 < uint32(w.noise) {
		s = lost(time.Since(w.boot), probe.LossUnknown)
	}
	for _, f := range w.faults {
		f.strike(w, &s, from, to)
	}
	return s
}

// strike changes the status by what the fault does to the path.
func (f fault) strike(w *world, s *[probe.Kinds]probe.Status, from, to mesh.Key) {
	age := time.Since(f.since)
	there, back := f.a == from.Node && f.b == to.Node, f.b == from.Node && f.a == to.Node
	other := from.Node != to.Node
	switch f.kind {
	case "overlay": // requests to its pods do not come in, so neither do the answers to its own
		if other && to.Network == mesh.Pod && (to.Node == f.a || from.Node == f.a) {
			*s = lost(age, probe.LossUnknown)
			if from.Node == f.a {
				*s = lost(age, 0)
			}
		}
	case "dead":
		if to.Node == f.a {
			*s = lost(age, probe.LossUnknown)
		}
	case "zone":
		if (w.zoneOf[from.Node] == f.a) != (w.zoneOf[to.Node] == f.a) {
			*s = lost(age, probe.LossUnknown)
		}
	case "pair", "oneway":
		if there || back {
			*s = lost(age, probe.LossUnknown)
			if f.kind == "oneway" && back {
				*s = lost(age, 0)
			}
		}
	case "mtu":
		if other && (to.Node == f.a || from.Node == f.a) {
			s[probe.MTU] = lost(age, probe.LossUnknown)[probe.MTU]
			s[probe.MTU].MaxBytes = 1400
		}
	case "tcp":
		if other && to.Node == f.a {
			s[probe.TCP] = lost(age, probe.LossUnknown)[probe.TCP]
			s[probe.TCP].Code = probe.CodeRefused
		}
	case "loss":
		if there {
			s[probe.UDP] = probe.Status{State: probe.Degraded, Code: probe.CodeLoss, Loss: 60, Forward: 60, RTT: s[probe.UDP].RTT, BadFlows: 0x0111, Age: age}
		}
	}
}

// heard is what the agent at has of the probes of a sender.
func (w *world) heard(sender, at mesh.Key) (h probe.Heard) {
	h.State = [probe.Kinds]probe.HeardState{probe.HeardOK, probe.HeardOK, probe.HeardOK}
	silent := probe.Heard{State: [probe.Kinds]probe.HeardState{probe.HeardSilent, probe.HeardSilent, probe.HeardSilent}}
	for _, f := range w.faults {
		other := sender.Node != at.Node
		switch {
		case f.kind == "dead" && sender.Node == f.a,
			f.kind == "overlay" && other && at.Network == mesh.Pod && at.Node == f.a,
			f.kind == "zone" && (w.zoneOf[sender.Node] == f.a) != (w.zoneOf[at.Node] == f.a),
			f.kind == "oneway" && sender.Node == f.a && at.Node == f.b,
			f.kind == "pair" && (sender.Node == f.a && at.Node == f.b || sender.Node == f.b && at.Node == f.a):
			return silent
		case f.kind == "tcp" && other && at.Node == f.a:
			h.State[probe.TCP] = probe.HeardSilent
		case f.kind == "mtu" && other && (at.Node == f.a || sender.Node == f.a):
			h.State[probe.MTU] = probe.HeardSilent
		case f.kind == "loss" && sender.Node == f.a && at.Node == f.b:
			h.State[probe.UDP], h.Loss, h.BadFlows = probe.HeardLossy, 60, 0x0111
		}
	}
	return h
}

func lost(age time.Duration, forward probe.Loss) (s [probe.Kinds]probe.Status) {
	for k := range s {
		s[k] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: forward, Return: probe.LossUnknown, Age: age}
		if forward == 0 {
			s[k].Return = 200
		}
	}
	return s
}
