package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEtcdConfigNamesTheFlagThatCannotBe(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		change func(*EtcdConfig)
		want   string
	}{
		{func(c *EtcdConfig) { c.Endpoints = nil }, "-etcd-endpoints: want at least one host:port"},
		{func(c *EtcdConfig) { c.Endpoints = []string{"etcd"} }, `-etcd-endpoints "etcd": want host:port`},
		{func(c *EtcdConfig) { c.Endpoints = []string{":2379"} }, `-etcd-endpoints ":2379": want host:port`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"a:0"} }, `-etcd-endpoints "a:0"`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"a:99999"} }, `-etcd-endpoints "a:99999"`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"fd00::1:2379"} }, `-etcd-endpoints "fd00::1:2379"`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"unix:///run/etcd"} }, `-etcd-endpoints "unix:///run/etcd": want host:port, http://host:port or https://host:port`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"http://user@a:1"} }, `want host:port`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"http://a:1/v3"} }, `want host:port`},
		{func(c *EtcdConfig) { c.Endpoints = []string{"http://a:1", "https://b:1"} }, `-etcd-endpoints "https://b:1": the others are http`},
		{func(c *EtcdConfig) { c.Endpoints, c.CA = []string{"http://a:1"}, text }, "the endpoints are http, want https"},
		{func(c *EtcdConfig) { c.CA = text }, `no certificate in PEM form`},
		{func(c *EtcdConfig) { c.CA = text + "-none" }, `-etcd-ca: open`},
		{func(c *EtcdConfig) { c.Cert = text }, "-etcd-cert and -etcd-key: want both or neither"},
		{func(c *EtcdConfig) { c.Key = text }, "-etcd-cert and -etcd-key: want both or neither"},
		{func(c *EtcdConfig) { c.Cert, c.Key = text, text }, "-etcd-cert"},
		{func(c *EtcdConfig) { c.Tree = "" }, `-etcd-tree ""`},
		{func(c *EtcdConfig) { c.Tree = "/a//b/" }, `-etcd-tree "/a//b/"`},
		{func(c *EtcdConfig) { c.Tree = "a b" }, `-etcd-tree "a b"`},
	} {
		c := EtcdConfig{Endpoints: []string{"127.0.0.1:2379"}, Tree: "netchecker", TTL: time.Hour}
		bad.change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("got %v, want %s", err, bad.want)
		}
		if _, err := OpenEtcd(c, logTo(&lines{})); err == nil {
			t.Errorf("opened: %s", bad.want)
		}
	}
	for _, endpoints := range [][]string{{"127.0.0.1:2379", "[fd00::1]:2379", "etcd.example.org:2379"}, {"https://a:1/", "https://b:2"}} {
		c := EtcdConfig{Endpoints: endpoints, Tree: "/a/b"}
		if err := c.Check(); err != nil {
			t.Errorf("%v: %v", endpoints, err)
		}
	}
}
