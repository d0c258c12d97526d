package main

import (
	"errors"
	"fmt"
	"time"

	"netchecker/cmd/cli"
	"netchecker/cmd/server"
)

// store checks the flags that say where reports are kept.
func (f *flags) store(c *server.Config) error {
	if f.etcdEndpoints != "" && c.ReportObjects {
		return errors.New("-etcd-endpoints and -kubeproxyinit: want at most one of them, reports are kept in one place")
	}
	if c.Etcd.Timeout != 0 && c.Etcd.Timeout < 100*time.Millisecond {
		return fmt.Errorf("-ping-timeout %v: want at least 0.1 s", c.Etcd.Timeout)
	}
	if f.etcdEndpoints == "" {
		if c.Etcd.CA+c.Etcd.Cert+c.Etcd.Key != "" {
			return errors.New("-etcd-ca, -etcd-cert and -etcd-key: want -etcd-endpoints too")
		}
		return nil
	}
	c.Etcd.Endpoints = cli.SplitList(f.etcdEndpoints)
	return c.Etcd.Check()
}
