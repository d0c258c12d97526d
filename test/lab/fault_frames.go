package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const announceEvery = 100 * time.Millisecond

// packetSocket sees the frames that arrive at a link, and sends frames out of it.
func (s *space) packetSocket(link string) (f *os.File, err error) {
	dev, err := s.nl.LinkByName(link)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", link, s.name, err)
	}
	err = s.inside(func() error {
		// Bound to a protocol only together with the link, so that no foreign frame gets in between.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), link)
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Attrs().Index})
	})
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

// gratuitousARP is what a host broadcasts to say that an address is its own.
func gratuitousARP(mac net.HardwareAddr, addr netip.Addr) []byte {
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	ip := addr.AsSlice()
	frame := append(append([]byte{}, broadcast...), mac...)
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	frame = append(append(frame, mac...), ip...)
	return append(append(frame, broadcast...), ip...)
}

func (l *Lab) announce(ns string, mac net.HardwareAddr, addr netip.Addr) error {
	s, err := l.space(ns)
	if err != nil {
		return err
	}
	f, err := s.packetSocket("eth0")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(gratuitousARP(mac, addr))
	return err
}

// stranger plugs a host with node k's address into its rack. It announces itself again and again,
// since a node that asks for others would be believed otherwise.
func (b *breaker) stranger(k int) {
	l := b.lab
	name := fmt.Sprintf("stranger%d", faultCount.Add(1))
	port := fmt.Sprintf("x%d", k)
	mac := net.HardwareAddr{0x36, 0x59, 0x83, 0, 0, byte(k)}
	stop := make(chan struct{})
	var work sync.WaitGroup
	b.step(nil, func() error { return l.announce(NodeName(k), nodeMAC(k), nodeAddr(k)) })
	b.step(func() error { return l.addStranger(name, port, k, mac) }, func() error {
		close(stop)
		work.Wait()
		return l.removeStranger(name, port)
	})
	b.step(func() error {
		if err := l.announce(name, mac, nodeAddr(k)); err != nil {
			return err
		}
		work.Add(1)
		err := l.spawn(func() {
			defer work.Done()
			for {
				select {
				case <-time.After(announceEvery):
					l.announce(name, mac, nodeAddr(k)) // the next one will do
				case <-stop:
					return
				case <-l.stop:
					return
				}
			}
		})
		if err != nil {
			work.Done()
		}
		return err
	}, nil)
}

func (l *Lab) addStranger(name, port string, k int, mac net.HardwareAddr) error {
	fabric, err := l.space("fabric")
	if err != nil {
		return err
	}
	s, err := l.addSpace(name)
	if err != nil {
		return err
	}
	cable := veth{a: fabric, aName: port, b: s, bName: "eth0", bMAC: mac, mtu: NodeMTU}
	if err := cable.add(); err != nil {
		return err
	}
	return errors.Join(
		fabric.enslave(port, rackName(zone(k, l.cfg.Nodes, l.cfg.Zones))),
		s.addAddrs("eth0", nodeAddr(k).String()+"/24"))
}

func (l *Lab) removeStranger(name, port string) error {
	s, err := l.space(name)
	if err != nil {
		return nil // it was never made
	}
	_, err = l.Run("fabric", "ip", "link", "del", port)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.spaces, name)
	return errors.Join(err, s.remove())
}

// delay puts a relay between node k's switch port and its rack that holds every frame back.
func (b *breaker) delay(k, ms int) {
	l := b.lab
	port, rack := portName(k), rackName(zone(k, l.cfg.Nodes, l.cfg.Zones))
	near, far := fmt.Sprintf("d%d", k), fmt.Sprintf("e%d", k)
	fabric, err := l.space("fabric")
	b.step(func() error { return err }, nil)
	// The relay's ends must not answer for the gateway, whose addresses are in the same namespace.
	b.sh("fabric", fmt.Sprintf("ip link set %s nomaster arp off; echo 1 >/proc/sys/net/ipv6/conf/%s/disable_ipv6", port, port),
		fmt.Sprintf("ip link set %s arp on master %s; echo 0 >/proc/sys/net/ipv6/conf/%s/disable_ipv6", port, rack, port))
	b.step(func() error {
		cable := veth{a: fabric, aName: near, b: fabric, bName: far, mtu: NodeMTU}
		return cable.add()
	}, func() error { return l.shell("fabric", "ip link del "+near) })
	b.sh("fabric", fmt.Sprintf("ip link set %s arp off; echo 1 >/proc/sys/net/ipv6/conf/%s/disable_ipv6; ip link set %s master %s",
		near, near, far, rack), "")
	b.step(nil, func() error { return l.announce(NodeName(k), nodeMAC(k), nodeAddr(k)) })
	b.relay(fabric, port, near, time.Duration(ms)*time.Millisecond)
}

// relay carries frames between two links until heal or Close.
func (b *breaker) relay(s *space, one, two string, delay time.Duration) {
	stop := make(chan struct{})
	var work sync.WaitGroup
	b.step(func() error {
		a, err := s.packetSocket(one)
		if err != nil {
			return err
		}
		z, err := s.packetSocket(two)
		if err != nil {
			a.Close()
			return err
		}
		work.Add(1)
		err = b.lab.spawn(func() {
			defer work.Done()
			var pumps sync.WaitGroup
			pumps.Go(func() { pump(z, a, delay) })
			pumps.Go(func() { pump(a, z, delay) })
			select {
			case <-stop:
			case <-b.lab.stop:
			}
			a.Close()
			z.Close()
			pumps.Wait()
		})
		if err != nil {
			work.Done()
			a.Close()
			z.Close()
		}
		return err
	}, func() error {
		close(stop)
		work.Wait()
		return nil
	})
}

type delayedFrame struct {
	due  time.Time
	data []byte
}

// pump writes what it reads, later. Like a switch it drops what its buffer cannot hold.
func pump(dst, src *os.File, delay time.Duration) {
	queue := make(chan delayedFrame, 8192)
	var writer sync.WaitGroup
	writer.Go(func() {
		for frame := range queue {
			time.Sleep(time.Until(frame.due))
			dst.Write(frame.data)
		}
	})
	defer writer.Wait()
	defer close(queue)
	buf := make([]byte, 65536)
	for {
		n, err := src.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		select {
		case queue <- delayedFrame{time.Now().Add(delay), append([]byte{}, buf[:n]...)}:
		default:
		}
	}
}
