package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

// space is one network namespace of the lab with a netlink handle into it.
type space struct {
	name string
	nl   *netlink.Handle

	mu   sync.RWMutex // held for writing when fd is closed
	fd   netns.NsHandle
	gone bool
}

// inside runs fn on a thread that is in the namespace. If the thread cannot return to where it
// came from it is given up, so that no other goroutine ever runs in the wrong namespace.
func (s *space) inside(fn func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	}()
	if err := s.enter(); err != nil {
		return fmt.Errorf("enter %s: %w", s.name, err)
	}
	return fn()
}

func (s *space) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.gone {
		return os.ErrClosed
	}
	return netns.Set(s.fd)
}

// close gives up the handles. Nobody may use s.nl any more: it would then work on the machine's
// own network.
func (s *space) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	if s.nl != nil {
		s.nl.Close()
	}
	return s.fd.Close()
}

func newSpace(name string) (*space, error) {
	s := &space{name: name}
	if err := s.create(); err != nil {
		os.Remove(filepath.Join(netnsDir, name))
		return nil, fmt.Errorf("create namespace %s: %w", name, err)
	}
	var err error
	if s.nl, err = netlink.NewHandleAt(s.fd, unix.NETLINK_ROUTE); err != nil {
		s.remove()
		return nil, fmt.Errorf("netlink in %s: %w", name, err)
	}
	return s, s.up("lo")
}

// create makes the namespace on a thread of its own and leaves that thread to die.
func (s *space) create() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		var err error
		s.fd, err = netns.NewNamed(s.name)
		done <- err
	}()
	return <-done
}

func (s *space) remove() error {
	return errors.Join(s.close(), netns.DeleteNamed(s.name))
}

func (s *space) up(link string) error {
	l, err := s.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", link, s.name, err)
	}
	return s.nl.LinkSetUp(l)
}

// writeSysctls sets values below /proc/sys/net; keys use slashes. It runs inside the namespace.
// What a kernel without IPv6 or without br_netfilter lacks is skipped.
func writeSysctls(values map[string]string) error {
	for key, value := range values {
		err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644)
		optional := strings.HasPrefix(key, "ipv6/") || strings.HasPrefix(key, "bridge/")
		if err != nil && !(optional && errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// Do runs fn on an OS thread inside a namespace of the lab, named in full or by its short name
// ("node3"). Goroutines that fn starts are not inside.
func (l *Lab) Do(ns string, fn func() error) error {
	s, err := l.space(ns)
	if err != nil {
		return err
	}
	return s.inside(fn)
}

// Listen opens a stream listener inside a namespace. The lab closes it at the latest in Close.
func (l *Lab) Listen(ns, network, address string) (ln net.Listener, err error) {
	err = l.Do(ns, func() (err error) {
		ln, err = new(net.ListenConfig).Listen(context.Background(), network, address)
		return err
	})
	if err == nil {
		l.closeLater(ln)
	}
	return ln, err
}

// ListenPacket opens a packet socket inside a namespace. The lab closes it at the latest in Close.
func (l *Lab) ListenPacket(ns, network, address string) (pc net.PacketConn, err error) {
	err = l.Do(ns, func() (err error) {
		pc, err = new(net.ListenConfig).ListenPacket(context.Background(), network, address)
		return err
	})
	if err == nil {
		l.closeLater(pc)
	}
	return pc, err
}

// Dial connects from inside a namespace. The address must be an IP address with a port: a name
// would be resolved outside.
func (l *Lab) Dial(ctx context.Context, ns, network, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial from %s: %w", ns, err)
	}
	err = l.Do(ns, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Dialer returns Dial for one namespace in the shape that http.Transport.DialContext has.
func (l *Lab) Dialer(ns string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.Dial(ctx, ns, network, address)
	}
}
