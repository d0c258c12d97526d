package main

import (
	"context"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestStoreFlagsThatCannotBe(t *testing.T) {
	for _, bad := range []struct{ args, want string }{
		{"-kubeproxyinit -etcd-endpoints a:1", "-etcd-endpoints and -kubeproxyinit: want at most one of them"},
		{"-kubeproxyinit -endpoint 127.0.0.1:1 -gossip-port 0 -history-size 0", "-kubeproxyinit: want a pod with a service account, or -kubeconfig"},
		{"-etcd-endpoints a", `-etcd-endpoints "a": want host:port`},
		{"-etcd-endpoints ,", "-etcd-endpoints: want at least one host:port"},
		{"-etcd-endpoints https://a:1 -etcd-cert x", "-etcd-cert and -etcd-key: want both or neither"},
		{"-etcd-endpoints a:1 -etcd-ca x", "-etcd-ca: open x"},
		{"-etcd-endpoints a:1 -etcd-tree a//b", `-etcd-tree "a//b"`},
		{"-etcd-ca x", "want -etcd-endpoints too"},
		{"-ping-timeout 1ms -etcd-endpoints a:1", "-ping-timeout 1ms: want at least 0.1 s"},
	} {
		fs := flag.NewFlagSet("netchecker-server", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		err := run(context.Background(), fs, strings.Fields(bad.args), func(string) string { return "" })
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %s", bad.args, err, bad.want)
		}
	}
}
