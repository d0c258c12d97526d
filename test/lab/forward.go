package lab

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Forward listens on the machine's own network (say 127.0.0.1:31081) and carries each connection
// to target, dialled from inside a namespace, until ctx ends or the lab closes. It returns the
// address it listens on.
func (l *Lab) Forward(ctx context.Context, listenAddr, ns, target string) (netip.AddrPort, error) {
	if _, err := l.space(ns); err != nil {
		return netip.AddrPort{}, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listenAddr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	err = l.spawn(func() {
		defer cancel()
		defer context.AfterFunc(ctx, func() { ln.Close() })()
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() { l.carry(ctx, conn.(*net.TCPConn), ns, target) })
		}
	})
	if err == nil {
		err = l.spawn(func() {
			defer cancel()
			select {
			case <-ctx.Done():
			case <-l.stop:
			}
		})
	}
	if err != nil {
		cancel()
		ln.Close()
		return netip.AddrPort{}, err
	}
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// carry copies both ways and passes each side's end of data on to the other.
func (l *Lab) carry(ctx context.Context, in *net.TCPConn, ns, target string) {
	defer in.Close()
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := l.Dial(dialCtx, ns, "tcp", target)
	if err != nil {
		in.SetLinger(0) // a reset says that there is nobody behind
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	var wg sync.WaitGroup
	copyTo := func(dst *net.TCPConn, src io.Reader) {
		io.Copy(dst, src) // errors end the connection, which is all there is to do
		dst.CloseWrite()
	}
	wg.Go(func() { copyTo(out.(*net.TCPConn), in) })
	wg.Go(func() { copyTo(in, out) })
	wg.Wait()
}
