package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// podsAreCalm looks at what a person would see after all that: restarts and the programs' words.
func podsAreCalm(t *testing.T, w *world) {
	for _, app := range []string{"netchecker-server", "netchecker-agent", "netchecker-agent-hostnet"} {
		for _, p := range w.pods(t, app) {
			for _, s := range p.Status.ContainerStatuses {
				lost := s.LastTerminationState.Terminated
				if s.RestartCount > 0 && (lost == nil || lost.Reason != "Unknown") { // that is: with its node
					t.Errorf("%s on %s was restarted %d times: %+v", p.Name, p.Spec.NodeName, s.RestartCount, s.LastTerminationState)
				}
			}
			log, err := w.Kubectl(t.Context(), "", "-n", "netchecker", "logs", p.Name)
			if err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(log) {
				if strings.Contains(line, "unexpected node") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
					t.Errorf("%s says: %s", p.Name, line)
				}
			}
			t.Logf("%s: %d lines of log", p.Name, strings.Count(log, "\n"))
		}
	}
}

// objects lists every object of the cluster but what comes and goes by itself.
func (w *world) objects(t *testing.T) []string {
	t.Helper()
	kinds, err := w.Kubectl(t.Context(), "", "api-resources", "--verbs=list", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for kind := range strings.FieldsSeq(kinds) {
		switch kind {
		case "events", "events.events.k8s.io", "leases.coordination.k8s.io", "pods", "replicasets.apps":
			continue
		}
		out, err := w.Kubectl(t.Context(), "", "get", kind, "-A", "--ignore-not-found", "--no-headers", "-o", "custom-columns=:metadata.namespace,:metadata.name")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			names = append(names, fmt.Sprintf("%s %s", kind, strings.Join(strings.Fields(line), "/")))
		}
	}
	slices.Sort(names)
	return names
}

// purge removes netchecker and wants the cluster as it was.
func purge(t *testing.T, w *world, before []string) {
	if _, err := w.script(t.Context(), "PURGE=true"); err != nil {
		t.Fatal(err)
	}
	w.asBefore(t, before)
	for _, n := range w.Nodes {
		out, err := n.Exec(t.Context(), "ss", "-Hlntu")
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, ":8095 ") || strings.Contains(line, ":8096 ") {
				t.Errorf("%s: an agent still listens: %s", n.Name, line)
			}
		}
	}
	if status, body, err := w.get(t.Context(), "/api/v1/ping"); err == nil {
		t.Errorf("the node port still answers: %d %s", status, body)
	}
	if out, err := w.script(t.Context(), "PURGE=true"); err != nil {
		t.Errorf("purging twice: %v\n%s", err, out)
	}
}

// asBefore waits until the cluster has no objects but those of before.
func (w *world) asBefore(t *testing.T, before []string) {
	t.Helper()
	took := await(t, "a clean cluster", func() error {
		var left []string
		for _, o := range w.objects(t) {
			if !slices.Contains(before, o) {
				left = append(left, o)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	})
	t.Logf("nothing left after %.1f s", took.Seconds())
}
