package pki

import (
	"encoding/json"
	"fmt"
	"os"
)

// ControlPlane issues what an API server with its controllers needs, and the kubeconfig files admin,
// controller-manager, scheduler and proxy. The address is that of the API server, hosts are the
// further names and addresses it is reached by.
func (f *Folder) ControlPlane(server string, hosts ...string) error {
	masters := []string{"system:masters"}
	hosts = append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", "10.96.0.1"}, hosts...)
	for name, s := range map[string]Subject{
		"apiserver":         {Name: "kube-apiserver", Hosts: hosts},
		"apiserver-kubelet": {Name: "kube-apiserver-kubelet-client", Groups: masters},
		"front-proxy":       {Name: "front-proxy-client"},
	} {
		if err := f.Issue(name, s); err != nil {
			return err
		}
	}
	for name, s := range map[string]Subject{
		"admin":              {Name: "admin", Groups: masters},
		"controller-manager": {Name: "system:kube-controller-manager"},
		"scheduler":          {Name: "system:kube-scheduler"},
		"proxy":              {Name: "system:kube-proxy"},
	} {
		if err := f.User(name, server, s); err != nil {
			return err
		}
	}
	return nil
}

// User issues a certificate and writes NAME.kubeconfig, which uses it.
func (f *Folder) User(name, server string, s Subject) error {
	if err := f.Issue(name, s); err != nil {
		return err
	}
	return f.kubeconfig(name, server)
}

func (f *Folder) kubeconfig(name, server string) error {
	data := map[string][]byte{} // []byte is base64 in JSON, as kubeconfig files want it
	for _, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
		text, err := os.ReadFile(f.Path(file))
		if err != nil {
			return err
		}
		data[file] = text
	}
	type object = map[string]any
	config, err := json.MarshalIndent(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
		"clusters": []object{{"name": "cluster", "cluster": object{"server": server, "certificate-authority-data": data["ca.crt"]}}},
		"users":    []object{{"name": name, "user": object{"client-certificate-data": data[name+".crt"], "client-key-data": data[name+".key"]}}},
		"contexts": []object{{"name": "cluster", "context": object{"cluster": "cluster", "user": name}}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", name, err)
	}
	return os.WriteFile(f.Path(name+".kubeconfig"), append(config, '\n'), 0o600)
}
