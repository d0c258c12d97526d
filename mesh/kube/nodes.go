package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Node is what matters here of a node.
type Node struct {
	// Zone is the value of topology.kubernetes.io/zone, or "".
	Zone string
	// UID tells a node from a later one of the same name.
	UID string
	// Cordoned nodes take no new pods, as while they are drained.
	Cordoned bool
	// NotReady nodes have not been heard of by the control plane, or say so themselves.
	NotReady bool
}

func trimNode(obj runtime.Object) runtime.Object {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj
	}
	out := &corev1.Node{ObjectMeta: trimMeta(&n.ObjectMeta)}
	if zone, known := n.Labels[corev1.LabelTopologyZone]; known {
		out.Labels = map[string]string{corev1.LabelTopologyZone: zone}
	} else if zone, known := n.Labels[corev1.LabelFailureDomainBetaZone]; known {
		out.Labels = map[string]string{corev1.LabelTopologyZone: zone}
	}
	out.Spec.Unschedulable = n.Spec.Unschedulable
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return out
}

func readNode(obj any) (string, Node) {
	n := obj.(*corev1.Node)
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	return n.Name, Node{Zone: n.Labels[corev1.LabelTopologyZone], UID: string(n.UID), Cordoned: n.Spec.Unschedulable, NotReady: !ready}
}
