package follow_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"netchecker/mesh/kube"
)

func TestFindingsBecomeEventsOfTheNodeOnceFromAllServersTogether(t *testing.T) {
	ctx := t.Context()
	_, err := plane.Node(ctx, "events-node", nil)
	must(t, err)
	access := account(t, "events", shipped()...)
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 2)
	for _, server := range []string{"netchecker-server-a", "netchecker-server-b"} {
		r := access.Recorder(server, slog.New(slog.DiscardHandler))
		go func() { done <- r.Run(run) }()
		for range 3 {
			r.Record(kube.Event{Node: "events-node", Reason: "Finding", Topic: "overlay_broken", Warning: true, Text: strings.Repeat("ä", 1000)})
		}
		r.Record(kube.Event{Node: "events-node", Reason: "FindingClosed", Topic: "overlay_broken", Text: "No longer."})
	}
	eventually(t, "both events", func() bool {
		list, err := client(t).CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=events-node"})
		must(t, err)
		return len(list.Items) >= 2
	})
	cancel()
	for range 2 {
		must(t, <-done)
	}
	out, err := plane.Kubectl(ctx, "", "describe", "node", "events-node")
	must(t, err)
	if strings.Count(out, "FindingClosed") != 1 || strings.Count(out, "Warning  Finding ") != 1 {
		t.Errorf("kubectl describe node says\n%s", out)
	}
}
