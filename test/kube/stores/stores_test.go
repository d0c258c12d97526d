// Package stores holds the stores of etcd and of Kubernetes objects to the contract of all stores,
// against the real thing.
package stores

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/api/store/storetest"
	"netchecker/test/kube/controlplane"
)

var plane *controlplane.Plane

func TestMain(m *testing.M) { os.Exit(controlplane.Main(m, &plane)) }

// lines is a log that a test reads while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count makes the names of trees and namespaces differ.
var count atomic.Int64

func fresh() string { return fmt.Sprintf("t%d-%d", os.Getpid(), count.Add(1)) }

func openEtcd(t *testing.T, cfg store.EtcdConfig) (*store.Etcd, *lines) {
	t.Helper()
	l := &lines{}
	if cfg.Endpoints == nil {
		cfg.Endpoints = []string{plane.EtcdURL}
	}
	if cfg.TTL == 0 {
		cfg.TTL = time.Hour
	}
	e, err := store.OpenEtcd(cfg, l.logger())
	if err != nil {
		t.Fatal(err)
	}
	return e, l
}

func killEtcd(*testing.T) { plane.Etcd.Kill() }

func reviveEtcd(t *testing.T) {
	t.Helper()
	if err := plane.Etcd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEtcd(t *testing.T) {
	storetest.Run(t, storetest.Kind{Durable: true, Shared: true, Fresh: func(*testing.T) storetest.Place {
		tree := fresh()
		return storetest.Place{Kill: killEtcd, Revive: reviveEtcd, Open: func(t *testing.T) api.Store {
			e, _ := openEtcd(t, store.EtcdConfig{Tree: tree})
			return e
		}}
	}})
}
