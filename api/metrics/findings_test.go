package metrics

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"netchecker/mesh/diagnose"
)

func at1(scope diagnose.Scope, nodes ...string) diagnose.Location {
	return diagnose.Location{Scope: scope, Nodes: nodes, Network: "pod"}
}

func TestAFindingHasASeriesForAsLongAsItIsOpen(t *testing.T) {
	s := newSource(t, 3)
	c := NewServerCollector(s, "1.2.3", 30)
	if n := count(t, c, "netchecker_finding"); n != 0 {
		t.Errorf("%d series in a healthy mesh", n)
	}
	owner := at1(diagnose.ScopeNode, "node1", "node3")
	owner.Culprit = "node3"
	pair := at1(diagnose.ScopePair, "node1", "node2")
	pair.Source, pair.Destination = "node2", "node1"
	odd := at1(diagnose.ScopeNode, "odd\xff")
	s.open = []diagnose.Finding{
		{Kind: diagnose.OverlayBroken, Severity: diagnose.Critical, Since: epoch, Summary: "The tunnel of \"odd\xff\" is broken.\nRepair it.",
			Cause: diagnose.VXLANPortBlocked, Location: at1(diagnose.ScopeNode, "node3")},
		{Kind: diagnose.OverlayBroken, Cause: diagnose.VXLANPortBlocked, Location: at1(diagnose.ScopeNode, "node3")}, // the other family
		{Kind: diagnose.AddressConflict, Cause: diagnose.DuplicatePodIP, Location: owner},
		{Kind: diagnose.OneWay, Location: pair},
		{Kind: diagnose.Partition, Location: at1(diagnose.ScopeGroups, "node1", "node2")},
		{Kind: diagnose.AgentDown, Location: odd},
	}
	for i := 1; i < len(s.open); i++ {
		s.open[i].Since, s.open[i].Severity = epoch.Add(time.Second), diagnose.Warning
	}
	compare(t, "findings.prom", c)
	s.open = s.open[3:4]
	for _, name := range []string{"netchecker_finding", "netchecker_finding_since_timestamp_seconds"} {
		if n := count(t, c, name); n != 1 {
			t.Errorf("%s: %d series after all but one finding closed", name, n)
		}
	}
}

func TestTooManyFindingsAreCounted(t *testing.T) {
	s := newSource(t, 2)
	for i := range maxFindings + 7 {
		s.open = append(s.open, diagnose.Finding{Kind: diagnose.NodeDown, Location: at1(diagnose.ScopeNode, fmt.Sprint("n", i))})
	}
	s.open = append(s.open, slices.Clone(s.open[:3])...)
	c := NewServerCollector(s, "", 0)
	if n := count(t, c, "netchecker_finding"); n != maxFindings {
		t.Errorf("%d series, want %d", n, maxFindings)
	}
	if n := count(t, c, "netchecker_findings_without_series"); n != 1 {
		t.Errorf("what is left out is not counted")
	}
}
