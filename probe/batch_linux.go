package probe

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// BatchLen is how many datagrams a Batch takes at once.
	BatchLen     = 32
	batchControl = 128 // a stamp, a drop counter and the packet's own address take 96
)

// Batch receives datagrams many at a time, with what the kernel says beside them, and without
// allocating. The engine and the responder have one for each goroutine that reads.
type Batch struct {
	headers []mmsghdr
	vectors []unix.Iovec
	names   []rawAddr
	data    []byte
	control [][batchControl]byte
	size    int
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// NewBatch returns a Batch that keeps the first size bytes of each datagram.
func NewBatch(size int) *Batch {
	b := &Batch{
		headers: make([]mmsghdr, BatchLen), vectors: make([]unix.Iovec, BatchLen), names: make([]rawAddr, BatchLen),
		data: make([]byte, size*BatchLen), control: make([][batchControl]byte, BatchLen), size: size,
	}
	for i := range b.headers {
		b.vectors[i].Base = &b.data[i*size]
		b.vectors[i].SetLen(size)
		h := &b.headers[i].header
		h.Iov, h.Name, h.Control = &b.vectors[i], &b.names[i].raw[0], &b.control[i][0]
		h.SetIovlen(1)
	}
	return b
}

// Receive fills the batch from the socket fd and returns how many datagrams came; 0 when there are
// none, or on an error. It does not block, so it is a raw system call that the scheduler need not know of.
func (b *Batch) Receive(fd int) int {
	for i := range b.headers {
		h := &b.headers[i].header
		h.Namelen = uint32(len(b.names[i].raw))
		h.SetControllen(batchControl)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), BatchLen, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// Data returns datagram i of the last Receive, cut at the batch's size. It is valid until the next Receive.
func (b *Batch) Data(i int) []byte {
	return b.data[i*b.size : i*b.size+int(min(b.headers[i].length, uint32(b.size)))]
}

// From returns who sent datagram i.
func (b *Batch) From(i int) netip.AddrPort { return b.names[i].get() }

// Name returns the sender's address of datagram i as the kernel wrote it, to answer to.
func (b *Batch) Name(i int) []byte { return b.names[i].raw[:b.headers[i].header.Namelen] }

// Control returns what the kernel said beside datagram i.
func (b *Batch) Control(i int) Control {
	return ParseControl(b.control[i][:b.headers[i].header.Controllen])
}
