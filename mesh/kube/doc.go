// Package kube is what the server knows of Kubernetes: which nodes and agent pods there are, what
// is being done to them, where DNS and the server's own Service answer, and whose token a token is.
//
// It decides nothing about paths, writes nothing to Kubernetes but Events, and keeps nothing on
// disk. When the API server cannot be reached it goes on with what it knew last and says how old
// that is: absence of knowledge is not knowledge of absence. Nothing else imports client-go, but
// the store that keeps reports as objects of Kubernetes, and forward, which is a person's way to the
// server and goes by the kubeconfig that Load finds.
package kube
