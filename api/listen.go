package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// wantedConns is room for the connections of 10,000 agents, twice over in a rolling update.
	wantedConns = 24_000
	// otherFiles are left for everything but connections: the store, gossip, probes.
	otherFiles = 512
	// idleTime is how long a connection may be silent between requests: agents post a row at least every
	// 15 seconds and so keep theirs for as long as they live; browsers and curl lose theirs soon.
	idleTime = 45 * time.Second
)

// MaxConns is how many connections the process can afford: 24,000, or what the limit on open files leaves.
func MaxConns() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int(min(max(int64(limit.Cur)-otherFiles, 64), wantedConns))
}

// HTTPServer returns the server for a handler, with the limits that keep it answering: headers
// within 5 s and 16 KiB, whole requests within 20 s (handlers that take more say so), and conns
// connections. When all are in use the one idle for longest is closed to let a new one in, so
// connections that do nothing, however many, keep nobody out. The caller listens, through
// LimitListener with the same number, and shuts down.
func HTTPServer(handler http.Handler, conns int) *http.Server {
	idle := &idleConns{most: conns - conns/16, at: map[net.Conn]*list.Element{}}
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		ConnState: idle.changed,
	}
}

// LimitListener accepts at most conns connections at a time; more wait in the kernel's queue.
func LimitListener(l net.Listener, conns int) net.Listener { return netutil.LimitListener(l, conns) }

// idleConns closes the connections idle for longest once there are too many. It leaves a sixteenth
// of the room to connections that are busy.
type idleConns struct {
	mu    sync.Mutex
	total int
	most  int
	// order holds the idle connections, the one idle for longest in front. A connection that has not
	// sent its first byte is idle.
	order list.List
	at    map[net.Conn]*list.Element
}

// changed is the server's ConnState hook.
func (i *idleConns) changed(c net.Conn, state http.ConnState) {
	i.mu.Lock()
	var victim net.Conn
	switch state {
	case http.StateNew:
		i.total++
		i.at[c] = i.order.PushBack(c)
		if i.total > i.most {
			// The new connection itself is last in order: it is chosen only when all others are busy.
			victim = i.order.Front().Value.(net.Conn)
			i.drop(victim)
		}
	case http.StateActive:
		i.drop(c)
	case http.StateIdle:
		if i.at[c] == nil {
			i.at[c] = i.order.PushBack(c)
		}
	case http.StateClosed, http.StateHijacked:
		i.drop(c)
		i.total--
	}
	i.mu.Unlock()
	if victim == nil {
		return
	}
	// This runs on the accepting goroutine: TLS's own farewell could keep it waiting.
	if t, ok := victim.(interface{ NetConn() net.Conn }); ok {
		victim = t.NetConn()
	}
	victim.Close() // its goroutine finds out and reports StateClosed
}

func (i *idleConns) drop(c net.Conn) {
	if e := i.at[c]; e != nil {
		i.order.Remove(e)
		delete(i.at, c)
	}
}
