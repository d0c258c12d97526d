package lab

import (
	"fmt"
	"net"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// veth is a cable between two namespaces, plugged in and up at both ends.
type veth struct {
	a, b         *space
	aName, bName string
	bMAC         net.HardwareAddr // nil: a random one
	mtu          int
}

func (v veth) add() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.aName
	attrs.MTU = v.mtu
	link := netlink.NewVeth(attrs)
	link.PeerName = v.bName
	link.PeerMTU = uint32(v.mtu)
	link.PeerHardwareAddr = v.bMAC
	if v.a != v.b {
		link.PeerNamespace = netlink.NsFd(v.b.fd)
	}
	if err := v.a.nl.LinkAdd(link); err != nil {
		return fmt.Errorf("veth %s in %s to %s in %s: %w", v.aName, v.a.name, v.bName, v.b.name, err)
	}
	if err := v.a.plug(v.aName); err != nil {
		return err
	}
	return v.b.plug(v.bName)
}

// plug switches the offloads off and the link on. With segmentation or checksum offload a veth
// carries 64 KiB "packets" and unfinished checksums, and faults of the MTU do not bite.
func (s *space) plug(name string) error {
	if err := s.inside(func() error { return offloadsOff(name) }); err != nil {
		return fmt.Errorf("offloads of %s in %s: %w", name, s.name, err)
	}
	return s.up(name)
}

type ethtoolValue struct{ cmd, data uint32 }

type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the kernel copies a whole struct ifreq
}

func offloadsOff(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, cmd := range []uint32{
		unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO, unix.ETHTOOL_STXCSUM,
	} {
		value := &ethtoolValue{cmd: cmd}
		req := &ifreqData{data: unsafe.Pointer(value)}
		copy(req.name[:unix.IFNAMSIZ-1], name)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(req)))
		runtime.KeepAlive(value)
		if errno != 0 {
			return errno
		}
	}
	return nil
}
