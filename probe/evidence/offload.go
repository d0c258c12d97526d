package evidence

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// The questions of linux/ethtool.h that anybody may ask, and the offload that each is about.
var ethtoolQuestions = []struct {
	command uint32
	means   probe.Offload
}{
	{0x16, probe.OffloadTXChecksum},
	{0x14, probe.OffloadRXChecksum},
	{0x1e, probe.OffloadTSO},
	{0x23, probe.OffloadGSO},
	{0x2b, probe.OffloadGRO},
}

// ethtoolRequest is struct ifreq with its pointer to struct ethtool_value.
type ethtoolRequest struct {
	name  [unix.IFNAMSIZ]byte
	value *ethtoolValue
	_     [16]byte
}

type ethtoolValue struct{ command, data uint32 }

// readOffloads fills in what the links do in the kernel's stead. Loopback and the ports of bridges
// are left out.
func readOffloads(stop time.Time, links []probe.Link) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	for i := range links {
		l := &links[i]
		if l.Kind == "loopback" || l.Master != "" && l.Kind == "veth" {
			continue
		}
		if time.Now().After(stop) {
			return errTime
		}
		for _, q := range ethtoolQuestions {
			v := ethtoolValue{command: q.command}
			r := ethtoolRequest{value: &v}
			copy(r.name[:unix.IFNAMSIZ-1], l.Name)
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
				continue // a link without a driver's answer, or one that went
			}
			l.Offload |= probe.OffloadKnown
			if v.data != 0 {
				l.Offload |= q.means
			}
		}
	}
	return nil
}
