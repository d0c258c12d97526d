package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"netchecker/api"
)

// room is how many connections the test may have open: each costs two files here.
func room(t *testing.T, wanted int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(wanted, (int(limit.Cur)-200)/2)
	if n < wanted {
		t.Logf("%d open files are allowed: %d connections instead of %d", limit.Cur, n, wanted)
	}
	return n
}

// TestIdleConnectionsKeepNobodyOut opens twice as many connections as the server holds, half of
// them after a request, and none says more. Each new one must still be served.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	const conns = 4000
	idle := room(t, 10_000)
	f := serve(t, nil)
	u, _ := url.Parse(listen(t, f.server.Handler(), conns))
	open := make([]net.Conn, 0, idle)
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range idle {
		c, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		open = append(open, c)
		if i%2 == 0 {
			fmt.Fprintf(c, "GET /api/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	for range 20 {
		began := time.Now()
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		resp, err := c.Get("http://" + u.Host + "/api/v1/connectivity_check")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if took := time.Since(began); took > 2*time.Second {
			t.Logf("an answer took %v", took)
		}
	}
}

func TestABusyConnectionIsNotClosedForANewOne(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	base := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-end
		}
		io.WriteString(w, "done")
	}), 16)
	u, _ := url.Parse(base)
	var slow sync.WaitGroup
	slow.Go(func() {
		resp, err := http.Get(base + "/slow")
		if err != nil {
			t.Errorf("the busy connection: %v", err)
			return
		}
		resp.Body.Close()
	})
	<-begun
	var open []net.Conn
	for range 60 {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	fresh, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(fresh, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	fresh.SetReadDeadline(time.Now().Add(10 * time.Second))
	if resp, err := http.ReadResponse(bufio.NewReader(fresh), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("a new connection: %v", err)
	}
	close(end)
	slow.Wait()
	for _, c := range append(open, fresh) {
		c.Close()
	}
}

func TestMaxConnsLeavesRoomForOtherFiles(t *testing.T) {
	if n := api.MaxConns(); n < 64 || n > 24_000 {
		t.Errorf("%d", n)
	}
}
