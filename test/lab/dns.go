package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const clusterDomain = "cluster.local."

// serviceNames are the names that the DNS pod knows, below svc.cluster.local.
var serviceNames = map[string][4]byte{
	"netchecker-service.netchecker": {10, 96, 0, 81},
	"kubernetes.default":            {10, 96, 0, 1},
	"kube-dns.kube-system":          {10, 96, 0, 10},
}

// resolvConf is what kubelet writes for a pod of the namespace netchecker.
const resolvConf = "nameserver " + DNSVIP + `
search netchecker.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
`

// DNS is the server in the DNS pod. It answers for the cluster's services, over UDP and TCP.
type DNS struct {
	lab *Lab

	mu       sync.Mutex
	sockets  []io.Closer
	delay    time.Duration
	servfail bool
	work     sync.WaitGroup
	stop     chan struct{}
}

// DNS returns the server in the DNS pod.
func (l *Lab) DNS() *DNS { return l.dns }

// SetDelay makes every answer late.
func (d *DNS) SetDelay(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// SetServfail makes every answer SERVFAIL, or no longer so.
func (d *DNS) SetServfail(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.servfail = on
}

// Start opens the sockets. A running server stays as it is.
func (d *DNS) Start() error {
	path := filepath.Join(stateDir, d.lab.cfg.Name, "resolv.conf")
	if err := os.WriteFile(path, []byte(resolvConf), 0o644); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sockets != nil {
		return nil
	}
	ns := d.lab.DNSPod().Namespace
	return d.lab.Do(ns, func() error {
		pc, err := net.ListenPacket("udp4", ":53")
		if err != nil {
			return fmt.Errorf("dns: %w", err)
		}
		ln, err := net.Listen("tcp4", ":53")
		if err != nil {
			pc.Close()
			return fmt.Errorf("dns: %w", err)
		}
		d.sockets = []io.Closer{pc, ln}
		stop := make(chan struct{})
		d.stop = stop
		d.work.Go(func() { d.serveUDP(pc, stop) })
		d.work.Go(func() { d.serveTCP(ln, stop) })
		return nil
	})
}

// Stop closes the sockets, as if the process had died, and waits for its goroutines.
func (d *DNS) Stop() {
	d.mu.Lock()
	if d.sockets != nil {
		close(d.stop)
	}
	for _, s := range d.sockets {
		s.Close()
	}
	d.sockets = nil
	d.mu.Unlock()
	d.work.Wait()
}

func (d *DNS) serveUDP(pc net.PacketConn, stop <-chan struct{}) {
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		answer, delay := d.answer(buf[:n])
		if answer == nil {
			continue
		}
		d.work.Go(func() {
			if d.pause(delay, stop) {
				pc.WriteTo(answer, from) // lost answers are part of life
			}
		})
	}
}

func (d *DNS) serveTCP(ln net.Listener, stop <-chan struct{}) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		d.work.Go(func() { d.serveConn(conn, stop) })
	}
}

func (d *DNS) serveConn(conn net.Conn, stop <-chan struct{}) {
	defer conn.Close()
	for {
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer, delay := d.answer(query)
		if answer == nil || !d.pause(delay, stop) {
			return
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		if _, err := conn.Write(framed); err != nil {
			return
		}
	}
}

// pause reports false when the server stopped meanwhile.
func (d *DNS) pause(delay time.Duration, stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-time.After(delay):
		return true
	}
}

// answer returns nil for what is no query.
func (d *DNS) answer(query []byte) ([]byte, time.Duration) {
	d.mu.Lock()
	delay, servfail := d.delay, d.servfail
	d.mu.Unlock()
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil || header.Response {
		return nil, 0
	}
	question, err := p.Question()
	if err != nil {
		return nil, 0
	}
	reply := dnsmessage.Message{
		Header: dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	addr, known := lookup(question.Name.String())
	switch {
	case servfail:
		reply.RCode = dnsmessage.RCodeServerFailure
	case !known:
		reply.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 5},
			Body:   &dnsmessage.AResource{A: addr},
		}}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil, 0
	}
	return packed, delay
}

// lookup knows a service by its full name and by its short forms.
func lookup(name string) ([4]byte, bool) {
	name = strings.TrimSuffix(strings.ToLower(name), clusterDomain)
	name = strings.TrimSuffix(strings.TrimSuffix(name, "."), ".svc")
	if name == "netchecker-service" {
		name += ".netchecker"
	}
	addr, known := serviceNames[name]
	return addr, known
}
