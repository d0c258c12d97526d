package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Namespace makes a namespace with its service account "default", which a controller would make.
func (p *Plane) Namespace(ctx context.Context, name string) error {
	_, err := p.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return p.ServiceAccount(ctx, name, "default")
}

// ServiceAccount makes a service account. It may do nothing until a binding says otherwise.
func (p *Plane) ServiceAccount(ctx context.Context, namespace, name string) error {
	_, err := p.client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

// Node makes a node that is ready. No address is any.
func (p *Plane) Node(ctx context.Context, name string, labels map[string]string, addresses ...string) (*corev1.Node, error) {
	node, err := p.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Test"}}
	for _, a := range addresses {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return p.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
}

// Pod describes a pod for [Plane.Pod]. Namespace, Name and Node are needed.
type Pod struct {
	Namespace, Name, Node string
	ServiceAccount        string // "" is "default"
	Labels                map[string]string
	HostNetwork           bool
	IPs                   []string // the first is the primary one
	HostIP                string
}

// Pod makes a pod on a node, running and ready since now.
func (p *Plane) Pod(ctx context.Context, pod Pod) (*corev1.Pod, error) {
	pods := p.client.CoreV1().Pods(pod.Namespace)
	made, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Labels: pod.Labels},
		Spec: corev1.PodSpec{
			NodeName: pod.Node, ServiceAccountName: pod.ServiceAccount, HostNetwork: pod.HostNetwork,
			Containers: []corev1.Container{{Name: "main", Image: "localhost/none:1"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	now := metav1.Now()
	made.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now, HostIP: pod.HostIP,
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
		},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}},
	}
	for _, ip := range pod.IPs {
		made.Status.PodIPs = append(made.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	if len(pod.IPs) > 0 {
		made.Status.PodIP = pod.IPs[0]
	}
	return pods.UpdateStatus(ctx, made, metav1.UpdateOptions{})
}

// Token returns a token of a service account, as the kubelet projects it: for an audience ("" is the
// API server itself) and bound to a pod (nil: to none). Kubernetes allows no lifetime below 10
// minutes; 0 is an hour.
func (p *Plane) Token(ctx context.Context, namespace, serviceAccount, audience string, pod *corev1.Pod, lifetime time.Duration) (string, error) {
	request := &authenticationv1.TokenRequest{}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	if lifetime != 0 {
		request.Spec.ExpirationSeconds = new(int64(lifetime.Seconds()))
	}
	if pod != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	answer, err := p.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, serviceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of %s/%s: %w", namespace, serviceAccount, err)
	}
	return answer.Status.Token, nil
}

// As returns a configuration that acts as a service account, with its rights and no others.
func (p *Plane) As(ctx context.Context, namespace, serviceAccount string) (*rest.Config, error) {
	token, err := p.Token(ctx, namespace, serviceAccount, "", nil, 0)
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(p.admin)
	config.BearerToken, config.QPS = token, -1
	return config, nil
}

// KubeconfigAs writes a file by which a program acts as a service account, in its namespace.
func (p *Plane) KubeconfigAs(ctx context.Context, namespace, serviceAccount, file string) error {
	config, err := p.As(ctx, namespace, serviceAccount)
	if err != nil {
		return err
	}
	return clientcmd.WriteToFile(clientcmdapi.Config{CurrentContext: "c",
		Contexts:  map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "c", Namespace: namespace}},
		Clusters:  map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"c": {Token: config.BearerToken}}}, file)
}

// Kubectl runs kubectl as an administrator and returns what it wrote; stdin may be empty.
func (p *Plane) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	command := slices.Concat(p.config.Enter, []string{filepath.Join(p.config.Bin, "kubectl"), "--kubeconfig=" + p.Kubeconfig}, args)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}
