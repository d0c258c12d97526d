// Package kube runs netchecker against real Kubernetes on this machine: no container engine, no
// registry and no cluster is needed, and nothing is left behind. It is a module of its own, so that
// what a cluster is made of does not become a requirement of the product.
//
//   - programs builds Kubernetes, etcd and CoreDNS from their Go modules, once per machine: the first
//     run takes 10 to 30 minutes and keeps 0.5 GB in the user's cache folder.
//   - controlplane starts etcd and an API server on loopback within seconds, without root: what stores,
//     informers, token reviews and roles are tested against.
//   - cluster starts real nodes in network namespaces (root): kubelet, containerd, kube-proxy, vxlan.
//   - pki makes the certificates of both.
//
// A test of a room against the real API server is a package of this module. It starts one control
// plane in TestMain and shares it among its tests, each in a namespace or below a key prefix of its own:
//
//	var plane *controlplane.Plane
//
//	func TestMain(m *testing.M) {
//		os.Exit(controlplane.Main(m, &plane))
//	}
//
//	func TestStore(t *testing.T) {
//		admin := plane.Admin() // a rest.Config
//		...
//	}
//
// Run it with `cd test/kube && go test ./PACKAGE`, all of it with `make test-cluster`. When the
// product's go.mod changes, `go mod tidy` in this folder follows it.
package kube
