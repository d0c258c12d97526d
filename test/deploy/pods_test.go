package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// workloads are the pods of the three workloads, by the name of the workload.
func workloads(t *testing.T, o objects) map[string]*corev1.PodTemplateSpec {
	t.Helper()
	out := map[string]*corev1.PodTemplateSpec{}
	for _, object := range o {
		switch w := object.(type) {
		case *appsv1.Deployment:
			out[w.Name] = &w.Spec.Template
		case *appsv1.DaemonSet:
			out[w.Name] = &w.Spec.Template
		}
	}
	if got := slices.Sorted(maps.Keys(out)); !slices.Equal(got, []string{"netchecker-agent", "netchecker-agent-hostnet", "netchecker-server"}) {
		t.Fatalf("workloads %q", got)
	}
	return out
}

// TestPodSecurity asks the library that API servers judge pods with. What a pod breaks of
// "restricted" must be what is said of it in its manifest.
func TestPodSecurity(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, evidence := range []string{"basic", "privileged"} {
		want := map[string]string{"netchecker-agent": "", "netchecker-server": "", "netchecker-agent-hostnet": "host namespaces, hostPort"}
		if evidence == "privileged" {
			want["netchecker-agent-hostnet"] = "host namespaces, hostPort, runAsNonRoot != true, runAsUser=0, unrestricted capabilities"
		}
		for name, template := range workloads(t, script(t, nil, []string{"EVIDENCE=" + evidence}).written(t)) {
			spec := template.Spec.DeepCopy()
			for i := range spec.Containers { // as the API server fills it in
				for j := range spec.Containers[i].Ports {
					if p := &spec.Containers[i].Ports[j]; spec.HostNetwork {
						p.HostPort = p.ContainerPort
					}
				}
			}
			var broken []string
			for _, result := range judge.EvaluatePod(level, &template.ObjectMeta, spec) {
				if !result.Allowed {
					broken = append(broken, result.ForbiddenReason)
				}
			}
			slices.Sort(broken)
			if got := strings.Join(broken, ", "); got != want[name] {
				t.Errorf("evidence %s: %s breaks %q, want %q", evidence, name, got, want[name])
			}
		}
	}
}

// TestPods holds what Kubernetes would take either way but an operator would miss.
func TestPods(t *testing.T) {
	all := kustomized(t, root+"/base")
	for name, template := range workloads(t, all) {
		t.Run(name, func(t *testing.T) {
			spec, agent := &template.Spec, name != "netchecker-server"
			container := &spec.Containers[0]
			if got, want := *spec.AutomountServiceAccountToken, !agent; got != want {
				t.Errorf("the API server's token is mounted: %v", got)
			}
			if agent && !slices.ContainsFunc(spec.Tolerations, func(t corev1.Toleration) bool {
				return t.Operator == corev1.TolerationOpExists && t.Key == "" && t.Effect == "" && t.TolerationSeconds == nil
			}) {
				t.Error("some taint keeps it away")
			}
			if agent && container.LivenessProbe != nil {
				t.Error("a liveness probe kills the agent that a broken network cuts off")
			}
			if container.ReadinessProbe == nil {
				t.Error("no readiness probe")
			} else if container.ReadinessProbe.InitialDelaySeconds == 0 {
				t.Error("the first readiness probe comes before the program can listen: a warning for every start")
			}
			if _, limited := container.Resources.Limits[corev1.ResourceCPU]; limited {
				t.Error("a CPU limit falsifies latency")
			}
			if container.Resources.Requests.Cpu().MilliValue() > 100 || container.Resources.Requests.Memory().Value() > 128<<20 {
				t.Errorf("requests %v", container.Resources.Requests)
			}
			if spec.PriorityClassName == "" || all["PriorityClass /"+spec.PriorityClassName] == nil {
				t.Errorf("priority class %q", spec.PriorityClassName)
			}
			if grace := *spec.TerminationGracePeriodSeconds; grace < 15 {
				t.Errorf("%d s to stop: an agent alone answers on for 10", grace)
			}
			if !*container.SecurityContext.ReadOnlyRootFilesystem {
				t.Error("its root can be written to")
			}
			numbers := map[int32]bool{}
			for _, port := range container.Ports {
				if numbers[port.ContainerPort] {
					t.Errorf("port %d twice: kubectl apply would lose one", port.ContainerPort)
				}
				numbers[port.ContainerPort] = true
			}
			env := map[string]string{}
			for _, v := range container.Env {
				env[v.Name] = v.ValueFrom.FieldRef.FieldPath
			}
			if want := map[string]string{"MY_NODE_NAME": "spec.nodeName", "MY_POD_NAME": "metadata.name", "MY_POD_IP": "status.podIP",
				"MY_POD_IPS": "status.podIPs", "MY_HOST_IP": "status.hostIP"}; !maps.Equal(env, want) {
				t.Errorf("environment %v", env)
			}
			for _, volume := range spec.Volumes {
				if volume.Secret == nil || !agent {
					continue
				}
				for _, item := range volume.Secret.Items {
					if item.Key != "gossip-key" {
						t.Errorf("an agent gets %s", item.Key)
					}
				}
				if len(volume.Secret.Items) == 0 {
					t.Error("an agent gets every key of a Secret")
				}
			}
		})
	}
}

// TestSelectors: an upgrade from the original must find its objects again, whose selectors cannot change.
func TestSelectors(t *testing.T) {
	for _, object := range kustomized(t, root+"/base") {
		switch o := object.(type) {
		case *appsv1.Deployment:
			checkSelector(t, o.Name, o.Spec.Selector.MatchLabels)
		case *appsv1.DaemonSet:
			checkSelector(t, o.Name, o.Spec.Selector.MatchLabels)
		}
	}
}

func checkSelector(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	if !maps.Equal(labels, map[string]string{"app": name}) {
		t.Errorf("%s selects %v", name, labels)
	}
}

// TestServices: each of them finds the pods it is for and names ports that those have.
func TestServices(t *testing.T) {
	all := kustomized(t, root+"/base")
	pods := workloads(t, all)
	want := map[string][]string{"netchecker-service": {"netchecker-server"}, "netchecker-servers": {"netchecker-server"},
		"netchecker-agents": {"netchecker-agent", "netchecker-agent-hostnet"}}
	for name, names := range want {
		service := all["Service netchecker/"+name].(*corev1.Service)
		var found []string
		for workload, template := range pods {
			if !matchesLabels(service.Spec.Selector, template.Labels) {
				continue
			}
			found = append(found, workload)
			for _, port := range service.Spec.Ports {
				if !slices.ContainsFunc(template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
					return p.Name == port.TargetPort.StrVal && p.Protocol == port.Protocol && p.ContainerPort == port.Port
				}) {
					t.Errorf("%s: %s has no port %s", name, workload, port.Name)
				}
			}
		}
		if slices.Sort(found); !slices.Equal(found, names) {
			t.Errorf("%s finds %q, want %q", name, found, names)
		}
		if !service.Spec.PublishNotReadyAddresses {
			t.Errorf("%s leaves out what is not ready", name)
		}
	}
	if s := all["Service netchecker/netchecker-service"].(*corev1.Service); s.Spec.Type != corev1.ServiceTypeNodePort || s.Spec.Ports[0].Port != 8081 ||
		s.Spec.Ports[0].NodePort != 31081 || s.Spec.Ports[0].Name != "http-metrics" || s.Labels["app"] != "netchecker-server" {
		t.Errorf("netchecker-service is not the original's: %+v", s.Spec)
	}
}

func matchesLabels(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// TestRights lists all that netchecker may do. A right more is a decision, and changes this test.
func TestRights(t *testing.T) {
	var got []string
	for _, object := range kustomized(t, root+"/base") {
		switch o := object.(type) {
		case *rbacv1.ClusterRole:
			got = append(got, rights("cluster", o.Rules)...)
		case *rbacv1.Role:
			got = append(got, rights(o.Namespace, o.Rules)...)
		case *rbacv1.ClusterRoleBinding:
			got = append(got, binding(o.RoleRef, o.Subjects))
		case *rbacv1.RoleBinding:
			got = append(got, binding(o.RoleRef, o.Subjects))
		}
	}
	slices.Sort(got)
	want := []string{
		"ClusterRole netchecker-server to ServiceAccount netchecker/netchecker-server",
		"Role netchecker-server to ServiceAccount netchecker/netchecker-server",
		"cluster: create /events",
		"cluster: create authentication.k8s.io/tokenreviews",
		"cluster: get list watch /nodes",
		"cluster: get list watch /pods",
		"cluster: get list watch /services",
		"cluster: get list watch discovery.k8s.io/endpointslices",
		"cluster: get patch apiextensions.k8s.io/customresourcedefinitions agents.network-checker.ext",
		"netchecker: get list watch create update delete network-checker.ext/agents",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func rights(where string, rules []rbacv1.PolicyRule) (out []string) {
	for _, r := range rules {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				out = append(out, strings.TrimSpace(fmt.Sprintf("%s: %s %s/%s %s", where, strings.Join(r.Verbs, " "), group, resource, strings.Join(r.ResourceNames, " "))))
			}
		}
	}
	return out
}

func binding(role rbacv1.RoleRef, subjects []rbacv1.Subject) string {
	out := []string{role.Kind + " " + role.Name + " to"}
	for _, s := range subjects {
		out = append(out, fmt.Sprintf("%s %s/%s", s.Kind, s.Namespace, s.Name))
	}
	return strings.Join(out, " ")
}
