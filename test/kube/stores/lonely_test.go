package stores

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"netchecker/test/kube/child"
)

// lonely is an etcd that no API server depends on.
type lonely struct {
	daemon    *child.Daemon
	url, data string
}

func lonelyEtcd(t *testing.T, flags ...string) *lonely {
	t.Helper()
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before both are chosen
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	dir := t.TempDir()
	own := &lonely{url: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), data: filepath.Join(dir, "data")}
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	own.daemon = &child.Daemon{Name: "lonely etcd", Log: filepath.Join(dir, "etcd.log"),
		Command: append([]string{plane.Etcd.Command[0], "--name=one", "--data-dir=" + own.data, "--listen-client-urls=" + own.url,
			"--advertise-client-urls=" + own.url, "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=one=" + peer, "--unsafe-no-fsync", "--log-level=warn"}, flags...),
		Ready: func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, own.url+"/health", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("status %s", resp.Status)
			}
			return nil
		}}
	return own
}

func (o *lonely) start(t *testing.T) {
	t.Helper()
	if err := o.daemon.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.daemon.Kill)
}
