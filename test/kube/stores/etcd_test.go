package stores

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/api/store/storetest"
	"netchecker/test/kube/pki"
)

// etcdctl is a client of the test's own.
func etcdctl(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{plane.EtcdURL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// keys are those below a tree.
func keys(t *testing.T, c *clientv3.Client, tree string) (out []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := c.Get(ctx, "/"+tree+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		out = append(out, string(kv.Key))
	}
	return out
}

func ready(t *testing.T, e *store.Etcd) {
	t.Helper()
	storetest.Await(t, "etcd read", func() bool { return e.Behind() == nil })
}

func closed(t *testing.T, e *store.Etcd) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, e interface {
	Put(context.Context, *api.Record) error
}, recs ...*api.Record) {
	t.Helper()
	for _, rec := range recs {
		if err := e.Put(t.Context(), rec); err != nil {
			t.Error(err)
		}
	}
}

func TestRecordsStandUnderTheTreeAsJSON(t *testing.T) {
	tree, c := fresh()+"/below", etcdctl(t)
	e, _ := openEtcd(t, store.EtcdConfig{Tree: "/" + tree + "/"})
	ready(t, e)
	put(t, e, storetest.Report("netchecker-agent-1", 1))
	storetest.Settle(t, e)
	resp, err := c.Get(t.Context(), "/"+tree+"/agents/netchecker-agent-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) != 1 || !strings.Contains(string(resp.Kvs[0].Value), `"nodename":"node-netchecker-agent-1"`) || resp.Kvs[0].Lease == 0 {
		t.Errorf("%v", resp.Kvs)
	}
	closed(t, e)
}

// An agent that is expected may be silent for longer than the lease lasts: its record stays while a
// server has it, also when the server that wrote it is dead. When the last server is gone, all goes.
func TestTheLeaseEndsWithTheLastServer(t *testing.T) {
	const ttl = 5 * time.Second
	tree, c := fresh(), etcdctl(t)
	a, _ := openEtcd(t, store.EtcdConfig{Tree: tree, TTL: ttl})
	b, _ := openEtcd(t, store.EtcdConfig{Tree: tree, TTL: ttl})
	ready(t, a)
	ready(t, b)
	put(t, a, storetest.Report("silent", 1))
	storetest.Await(t, "b has it", func() bool { return storetest.Names(t, b) == "silent" })
	time.Sleep(2 * ttl)
	if got := keys(t, c, tree); len(got) != 1 {
		t.Errorf("after two lifetimes of the lease: %v", got)
	}
	closed(t, a)
	time.Sleep(3 * ttl)
	if got := keys(t, c, tree); len(got) != 1 || storetest.Names(t, b) != "silent" {
		t.Errorf("three lifetimes after the death of the server that wrote it: %v, %q", got, storetest.Names(t, b))
	}
	closed(t, b)
	storetest.Await(t, "the lease expires", func() bool { return len(keys(t, c, tree)) == 0 })
}

func TestWhatVanishesFromEtcdIsWrittenAgain(t *testing.T) {
	tree, c := fresh(), etcdctl(t)
	e, log := openEtcd(t, store.EtcdConfig{Tree: tree})
	ready(t, e)
	put(t, e, storetest.Report("x", 1), storetest.Report("y", 1))
	storetest.Settle(t, e)
	if _, err := c.Delete(t.Context(), "/"+tree, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	storetest.Await(t, "both keys again", func() bool {
		if got := storetest.Names(t, e); got != "x y" {
			t.Fatalf("the picture is %q", got)
		}
		return len(keys(t, c, tree)) == 2
	})
	if !strings.Contains(log.String(), "reports vanished from the store and are written again") {
		t.Error(log)
	}
	closed(t, e)
}

func TestOthersKeysDoNoHarm(t *testing.T) {
	tree, c := fresh(), etcdctl(t)
	for key, value := range map[string]string{"broken": "{", "of/another": "{}", "": "{}", "b\x00d": "{}", "wrong-type": `{"report_interval":"x"}`,
		"old": `{"report_interval":60,"nodename":"n","podname":"old","last_updated":"2026-01-01T00:00:00Z","more":{"x":1}}`} {
		if _, err := c.Put(t.Context(), "/"+tree+"/agents/"+key, value); err != nil {
			t.Fatal(err)
		}
	}
	e, log := openEtcd(t, store.EtcdConfig{Tree: tree})
	ready(t, e)
	if got := storetest.Names(t, e); got != "old" || !strings.Contains(log.String(), "broken") {
		t.Errorf("%q\n%s", got, log)
	}
	closed(t, e)
}

func TestAFrozenEtcdIsNoticed(t *testing.T) {
	e, _ := openEtcd(t, store.EtcdConfig{Tree: fresh(), Timeout: 2 * time.Second})
	ready(t, e)
	if err := plane.Etcd.Freeze(); err != nil {
		t.Fatal(err)
	}
	storetest.Await(t, "the silence is noticed though nothing is written", func() bool { return e.Err() != nil && e.Behind() != nil })
	put(t, e, storetest.Report("x", 1))
	if err := plane.Etcd.Thaw(); err != nil {
		t.Fatal(err)
	}
	storetest.Await(t, "it goes on", func() bool { return e.Err() == nil })
	storetest.Settle(t, e)
	closed(t, e)
}

func TestTLS(t *testing.T) {
	good := store.EtcdConfig{Endpoints: []string{plane.EtcdTLSURL}, Tree: fresh(), CA: plane.EtcdTLS.CA, Cert: plane.EtcdTLS.Cert, Key: plane.EtcdTLS.Key,
		Timeout: 3 * time.Second}
	bare := good
	bare.Endpoints = []string{strings.TrimPrefix(plane.EtcdTLSURL, "https://")}
	for _, cfg := range []store.EtcdConfig{good, bare} {
		e, _ := openEtcd(t, cfg)
		ready(t, e)
		put(t, e, storetest.Report("x", 1))
		storetest.Settle(t, e)
		closed(t, e)
	}
	stranger, plain, nobody, system := good, good, good, good
	stranger.CA = otherCA(t)
	system.CA = ""
	nobody.Cert, nobody.Key = "", ""
	plain.CA, plain.Cert, plain.Key, plain.Endpoints = "", "", "", []string{strings.Replace(plane.EtcdTLSURL, "https", "http", 1)}
	for _, bad := range []struct {
		what string
		cfg  store.EtcdConfig
		want string
	}{
		{"another CA", stranger, "certificate signed by unknown authority"},
		{"no CA", system, "certificate signed by unknown authority"},
		{"no certificate of ours", nobody, "certificate required"},
		{"nobody listens", store.EtcdConfig{Endpoints: []string{"127.0.0.1:1"}, Tree: "t", Timeout: 2 * time.Second}, "connection refused"},
		{"a name that is none", store.EtcdConfig{Endpoints: []string{"etcd.invalid:2379"}, Tree: "t", Timeout: 2 * time.Second}, "etcd.invalid"},
		{"no TLS where it is asked for", plain, "https is missing in -etcd-endpoints"},
	} {
		e, log := openEtcd(t, bad.cfg)
		storetest.Await(t, bad.what, func() bool { return !strings.Contains(e.Err().Error(), "not read yet") })
		if text := e.Err().Error(); !strings.Contains(text, bad.want) || strings.Contains(text, "\n") || !strings.Contains(log.String(), bad.want) {
			t.Errorf("%s: %v\n%s", bad.what, e.Err(), log)
		} else {
			t.Logf("%s: %v", bad.what, e.Err())
		}
		put(t, e, storetest.Report("x", 1))
		if err := e.Close(); err == nil || !strings.Contains(err.Error(), "1 reports are not written") {
			t.Errorf("%s: close: %v", bad.what, err)
		}
	}
}

// otherCA is a file with a certificate that signed nothing here.
func otherCA(t *testing.T) string {
	t.Helper()
	other, err := pki.New(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	return other.Path("ca.crt")
}

// An etcd whose data are gone, as after a restore of nothing: its revisions begin again, and a watch
// that waits for an old one would wait for ever.
func TestAnEtcdThatLostItsDataGetsThemAgain(t *testing.T) {
	own := lonelyEtcd(t)
	own.start(t)
	e, _ := openEtcd(t, store.EtcdConfig{Tree: "t", Endpoints: []string{own.url}, Timeout: 3 * time.Second})
	ready(t, e)
	for n := range 20 {
		put(t, e, storetest.Report("x", n), storetest.Report("y", n))
		storetest.Settle(t, e)
	}
	own.daemon.Kill()
	storetest.Await(t, "the death is noticed", func() bool { return e.Behind() != nil })
	if err := os.RemoveAll(own.data); err != nil {
		t.Fatal(err)
	}
	if err := own.daemon.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	storetest.Await(t, "it goes on", func() bool { return e.Err() == nil })
	if got := storetest.Names(t, e); got != "x y" {
		t.Errorf("the picture is %q", got)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{own.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	storetest.Await(t, "both again", func() bool { return len(keys(t, c, "t")) == 2 })
	put(t, e, storetest.Report("z", 1))
	storetest.Settle(t, e)
	closed(t, e)
}

// A full etcd refuses writes, says so, and takes them when there is room again.
func TestAFullEtcdIsSaidAndMemoryGoesOn(t *testing.T) {
	own := lonelyEtcd(t, "--quota-backend-bytes=1048576")
	own.start(t)
	e, log := openEtcd(t, store.EtcdConfig{Tree: "t", Endpoints: []string{own.url}})
	ready(t, e)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{own.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil { // until it is full, which the library logs
		_, err = c.Put(t.Context(), "ballast", strings.Repeat("x", 100_000))
	}
	put(t, e, storetest.Report("x", 1))
	storetest.Await(t, "the refusal is said", func() bool { return e.Err() != nil })
	if !strings.Contains(e.Err().Error(), "database space exceeded") || e.Behind() != nil || storetest.Names(t, e) != "x" {
		t.Errorf("%v, behind %v, %s\n%s", e.Err(), e.Behind(), storetest.Names(t, e), log)
	}
	resp, err := c.Delete(t.Context(), "ballast")
	if err == nil {
		_, err = c.Compact(t.Context(), resp.Header.Revision)
	}
	if err == nil {
		_, err = c.Defragment(t.Context(), own.url)
	}
	if err == nil {
		_, err = c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})
	}
	if err != nil {
		t.Fatal(err)
	}
	storetest.Await(t, "there is room again", func() bool { return e.Err() == nil })
	storetest.Settle(t, e)
	closed(t, e)
}
