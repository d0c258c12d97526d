package diagnose

import (
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

func fails(s *probe.Service, code probe.Code, detail string) {
	s.State, s.Code, s.Detail, s.RTT, s.Age = probe.Failing, code, detail, 0, 5*time.Second
}

// broken makes a fault of which targets fail, by a part of their name, and where: node -1 is everywhere.
func brokenService(parts string, node int, code probe.Code, detail string) fault {
	return fault{service: func(at place, s *probe.Service) {
		if node >= 0 && at.node != node {
			return
		}
		for part := range strings.FieldsSeq(parts) {
			if strings.Contains(s.Name, part) {
				fails(s, code, detail)
			}
		}
	}}
}

func TestServicesAreToldApartByPattern(t *testing.T) {
	slow := fault{service: func(_ place, s *probe.Service) {
		switch s.Kind {
		case probe.ServiceDNSUDP:
			s.State, s.Code, s.RTT, s.Detail = probe.Degraded, probe.CodeSlow, 3*time.Second, "answered after 3.0 s"
		case probe.ServiceDNSTCP:
			s.State, s.Code, s.RTT, s.Detail = probe.Degraded, probe.CodeSlow, 3*time.Second, "answered after 3.0 s"
		}
	}}
	onHostOnly := fault{service: func(at place, s *probe.Service) {
		if at == (place{2, mesh.Host}) && strings.Contains(s.Name, "vip") {
			fails(s, probe.CodeTimeout, "no answer in time")
		}
	}}
	for _, c := range []struct {
		name  string
		fault fault
		truth truth
	}{
		{"coredns dead", brokenService("dns", -1, probe.CodeRefused, "refused"), truth{kind: DNSFailing, cause: DNSServerDown}},
		{"coredns servfail", brokenService("dns", -1, probe.CodeBadAnswer, "servfail"), truth{kind: DNSFailing, cause: DNSServerError}},
		{"coredns slow", slow, truth{kind: DNSFailing, cause: DNSServerSlow}},
		{"udp 53 blocked on a node", brokenService("udp", 2, probe.CodeTimeout, ""), truth{kind: DNSFailing, cause: DNSUDPBlocked, nodes: []int{2}}},
		{"tcp 53 blocked on a node", brokenService("dns-vip-tcp dns-endpoint-tcp", 2, probe.CodeTimeout, ""), truth{kind: DNSFailing, cause: DNSTCPBlocked, nodes: []int{2}}},
		{"udp 53 blocked at the only DNS pod", brokenService("udp", -1, probe.CodeTimeout, ""), truth{kind: DNSFailing, cause: DNSUDPBlocked, nodes: []int{1}}},
		{"tcp 53 blocked at the only DNS pod", brokenService("dns-vip-tcp dns-endpoint-tcp", -1, probe.CodeTimeout, ""), truth{kind: DNSFailing, cause: DNSTCPBlocked, nodes: []int{1}}},
		{"one service address on a node", brokenService("server-vip", 2, probe.CodeTimeout, ""), truth{kind: ServiceBroken, cause: ServiceRulesMissing, nodes: []int{2}}},
		{"service addresses dead for a host only", onHostOnly, truth{kind: ServiceBroken, cause: ServiceRulesMissing, nodes: []int{2}}},
		{"no endpoints", brokenService("server-vip", -1, probe.CodeRefused, "refused"), truth{kind: ServiceBroken, cause: NoEndpoints}},
		{"rules missing everywhere", brokenService("server-vip", -1, probe.CodeTimeout, ""), truth{kind: ServiceBroken, cause: ServiceRulesMissing}},
		{"server down, reports by another server", brokenService("server", -1, probe.CodeTimeout, ""), truth{kind: ServerUnreachable, cause: ServerDown}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5, nil)
			w.services, w.evidence = true, true
			w.start()
			w.inject(c.fault)
			for _, wrong := range w.check(w.run(8*time.Second), c.truth) {
				t.Error(wrong)
			}
			w.heal()
			if found := w.run(6 * time.Second); len(found) > 0 {
				t.Errorf("still said: %s", found[0].Summary)
			}
		})
	}
}

func TestWhereDNSIsBlockedIsSaidOnlyWhenItIsShown(t *testing.T) {
	for _, c := range []struct {
		name            string
		twice, evidence bool
		parts           string
		node, says      string
	}{
		{"one pod", false, true, "udp", "node2", "(10.244.2.53:53)"},
		{"one pod, and nobody shows where it is", false, false, "udp", "", "(10.244.2.53:53)"},
		{"pods on two nodes", true, true, "udp", "", "10.244.4.53:53"},
		{"one of two pods", true, true, "dns-endpoint-udp", "node2", "at 1 of 2 DNS pods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5, nil)
			w.services, w.dnsTwice, w.evidence = true, c.twice, c.evidence
			w.start()
			w.inject(brokenService(c.parts, -1, probe.CodeTimeout, ""))
			found := w.run(8 * time.Second)
			if len(found) != 1 || found[0].Cause != DNSUDPBlocked || found[0].Location.Culprit != c.node || !strings.Contains(found[0].Summary, c.says) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestAllServiceAddressesDeadOnANodeIsOneFinding(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.services = true
	w.start()
	w.inject(brokenService("vip", 2, probe.CodeNetUnreachable, ""))
	for _, wrong := range w.check(w.run(8*time.Second), truth{kind: ServiceBroken, cause: ServiceRulesMissing, nodes: []int{2}}) {
		t.Error(wrong)
	}
}

func TestServicesOfANodeThatIsCutOffAreNoFindingsOfTheirOwn(t *testing.T) {
	w := newWorld(t, 6, nil)
	w.services = true
	w.start()
	cut := truth{kind: OverlayBroken, nodes: []int{3}, fault: fault{
		path: func(from, to place) (effect, bool) {
			return dies(true, true), touches(from, to, 3) && kindIs(from, to, pp, hp)
		},
		service: brokenService("dns server", 3, probe.CodeTimeout, "").service}}
	w.inject(cut.fault)
	for _, wrong := range w.check(w.run(10*time.Second), cut) {
		t.Error(wrong)
	}
	w.onlyEver(OverlayBroken)
}

func TestTheNodeOfTheDNSPodTakesDNSWithIt(t *testing.T) {
	w := newWorld(t, 6, nil)
	w.services = true
	w.start()
	const home = 1 // 10.244.2.53 is one of node2's pods
	down := truth{kind: NodeDown, nodes: []int{home}, fault: fault{
		path:   func(from, to place) (effect, bool) { return dies(true, true), touches(from, to, home) },
		silent: func(at place) bool { return at.node == home },
		service: func(_ place, s *probe.Service) {
			if strings.HasPrefix(s.Name, "dns") {
				fails(s, probe.CodeTimeout, "no answer in time")
			}
		}}}
	w.inject(down.fault)
	for _, wrong := range w.check(w.run(12*time.Second), down) {
		t.Error(wrong)
	}
}

// Between two nodes alone: whoever else fails to reach what lives on one of them has another fault.
func TestABrokenPairTakesItsOwnServicesWithItAndNoOthers(t *testing.T) {
	w := newWorld(t, 6, nil)
	w.services = true
	w.start()
	const home, o, other = 1, 3, 4 // 10.244.2.53 is one of node2's pods
	pair := truth{kind: PairBroken, nodes: []int{home, o}, fault: fault{
		path: func(from, to place) (effect, bool) {
			return dies(true, true), between(from, to, home, o) && kindIs(from, to, pp, hp)
		},
		service: brokenService("dns", o, probe.CodeTimeout, "").service}}
	blocked := truth{kind: DNSFailing, cause: DNSUDPBlocked, nodes: []int{other}, fault: brokenService("udp", other, probe.CodeTimeout, "")}
	w.inject(pair.fault, blocked.fault)
	for _, wrong := range w.check(w.run(12*time.Second), pair, blocked) {
		t.Error(wrong)
	}
	w.onlyEver(PairBroken, DNSFailing)
}

// waits makes a service one that is late, and of which it is not known whether it will answer.
func waits(s *probe.Service, code probe.Code) {
	s.State, s.Code, s.Detail, s.RTT, s.Age = probe.Degraded, code, "no answer yet", 0, 500*time.Millisecond
}

// What is late is not called by a name until it is known what it is, and meanwhile its time runs.
func TestWhatIsAwaitedIsNotCalledByAName(t *testing.T) {
	is := func(s *probe.Service, parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(s.Name, part) {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		name string
		// early is what a node's services are for longer than a finding is held back, late what they are then.
		early, late func(at place, s *probe.Service)
		truth       truth
	}{
		{"kube-proxy gone: TCP is refused by time before UDP is", func(at place, s *probe.Service) {
			switch {
			case at.node == 2 && is(s, "dns-vip-udp"):
				waits(s, probe.CodeWaiting)
			case at.node == 2 && is(s, "vip"):
				fails(s, probe.CodeTimeout, "no answer in time")
			}
		}, brokenService("vip", 2, probe.CodeTimeout, "").service, truth{kind: ServiceBroken, cause: ServiceRulesMissing, nodes: []int{2}}},
		{"DNS slow: connected, and no answer yet", func(_ place, s *probe.Service) {
			switch {
			case is(s, "dns") && is(s, "tcp"):
				waits(s, probe.CodeHung)
			case is(s, "dns"):
				waits(s, probe.CodeWaiting)
			}
		}, func(_ place, s *probe.Service) {
			switch {
			case is(s, "dns") && is(s, "tcp"):
				s.State, s.Code, s.RTT = probe.Degraded, probe.CodeSlow, 3*time.Second
			case is(s, "dns"):
				fails(s, probe.CodeTimeout, "no answer in time")
			}
		}, truth{kind: DNSFailing, cause: DNSServerSlow}},
		{"UDP 53 dropped: late, then lost", func(at place, s *probe.Service) {
			if at.node == 2 && is(s, "udp") {
				waits(s, probe.CodeWaiting)
			}
		}, brokenService("udp", 2, probe.CodeTimeout, "").service, truth{kind: DNSFailing, cause: DNSUDPBlocked, nodes: []int{2}}},
		{"DNS gone: late, then lost, for everybody", func(_ place, s *probe.Service) {
			if is(s, "dns") {
				waits(s, probe.CodeWaiting)
			}
		}, brokenService("dns", -1, probe.CodeTimeout, "").service, truth{kind: DNSFailing}},
		{"the server hangs: connected, then lost", func(_ place, s *probe.Service) {
			if is(s, "server") {
				waits(s, probe.CodeHung)
			}
		}, brokenService("server", -1, probe.CodeHung, "").service, truth{kind: ServerUnreachable, cause: ServerDown}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5, nil)
			w.services = true
			w.start()
			w.inject(fault{service: func(at place, s *probe.Service) {
				if w.now.Sub(w.since) < detect+4*time.Second {
					c.early(at, s)
					return
				}
				c.late(at, s)
			}})
			early := w.run(detect + 3500*time.Millisecond)
			if known := c.truth.cause == ServiceRulesMissing || c.truth.cause == DNSServerSlow; known != (len(early) > 0) {
				t.Errorf("before its probes have ended it says %+v", early)
			}
			for _, wrong := range w.check(w.run(6500*time.Millisecond), c.truth) {
				t.Error(wrong)
			}
			for _, f := range w.seen {
				for _, wrong := range w.check([]Finding{f}, c.truth) {
					t.Error(wrong)
				}
			}
			w.heal()
			if found := w.run(6 * time.Second); len(found) > 0 {
				t.Errorf("still said: %s", found[0].Summary)
			}
		})
	}
}

// A stall of a second or two is nobody's fault.
func TestAShortStallOfAServiceIsNoFinding(t *testing.T) {
	for _, code := range []probe.Code{probe.CodeWaiting, probe.CodeHung} {
		w := newWorld(t, 5, nil)
		w.services = true
		w.start()
		w.inject(fault{service: func(_ place, s *probe.Service) {
			if w.now.Sub(w.since) < detect+1500*time.Millisecond {
				waits(s, code)
			}
		}})
		w.run(10 * time.Second)
		for _, f := range w.seen {
			t.Errorf("said: %s", f.Summary)
		}
	}
}

// Paths are found broken a little later than services are late.
func TestWhatIsAwaitedOnANodeThatIsCutOffIsNoFinding(t *testing.T) {
	w := newWorld(t, 6, nil)
	w.services = true
	w.start()
	cut := truth{kind: OverlayBroken, nodes: []int{3}, fault: fault{
		path: func(from, to place) (effect, bool) {
			return dies(true, true), w.now.Sub(w.since) > detect+time.Second && touches(from, to, 3) && kindIs(from, to, pp, hp)
		},
		service: func(at place, s *probe.Service) {
			if at.node == 3 {
				waits(s, probe.CodeWaiting)
			}
		}}}
	w.inject(cut.fault)
	for _, wrong := range w.check(w.run(10*time.Second), cut) {
		t.Error(wrong)
	}
	w.onlyEver(OverlayBroken)
}

// TestServicesThatShareAReasonSayItOnce: each of them comes with the same empty chain as evidence.
func TestServicesThatShareAReasonSayItOnce(t *testing.T) {
	chain := Fact{"node3", "rules of nat KUBE-SERVICES", "0", "4"}
	of := func(name string) candidate {
		c := candidate{nodes: []string{"node3"}}
		c.Cause, c.Evidence = ServiceRulesMissing, []Fact{chain, {"node3", name, "timeout", "an answer"}}
		return c
	}
	out := mergeRules([]candidate{of("dns"), of("server")})
	if len(out) != 1 || len(out[0].Evidence) != 3 || out[0].Evidence[2].Fact != "server" {
		t.Errorf("%+v", out)
	}
}
