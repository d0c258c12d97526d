package probe

import (
	"encoding/binary"
	"net/netip"
)

// wire writes or reads the fields of records: one description of a record serves both, so that
// they cannot differ. Names stand once in a table and are numbers elsewhere.
type wire struct {
	writing  bool
	bad      bool // while reading: something did not fit; everything after it reads as zero
	b        []byte
	strings  []string
	index    map[string]uint64 // while writing
	sections []wireSection
}

type wireSection struct {
	tag  byte
	body []byte
}

func (w *wire) size() (n int) {
	for _, s := range w.sections {
		n += 1 + binary.MaxVarintLen32 + len(s.body)
	}
	return n + 1
}

func (w *wire) appendTo(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	for _, s := range w.sections {
		dst = append(dst, s.tag)
		dst = binary.AppendUvarint(dst, uint64(len(s.body)))
		dst = append(dst, s.body...)
	}
	return dst
}

// list writes or reads a list behind its length; an empty one is nothing at all.
func list[T any](w *wire, l *[]T, record func(*wire, *T)) {
	if w.writing {
		if len(*l) == 0 {
			return
		}
		w.b = binary.AppendUvarint(w.b, uint64(len(*l)))
		for i := range *l {
			record(w, &(*l)[i])
		}
		return
	}
	var n uint64
	number(w, &n)
	if n > uint64(len(w.b)) { // no record is empty
		w.bad = true
	}
	if w.bad || n == 0 {
		return
	}
	*l = make([]T, 0, min(n, 256)) // more only as they turn out to be there
	for ; n > 0 && !w.bad; n-- {
		*l = append(*l, *new(T))
		record(w, &(*l)[len(*l)-1])
	}
}

// take reads n bytes, or nil when there are not as many.
func (w *wire) take(n int) []byte {
	if w.bad || n > len(w.b) {
		w.bad = true
		return nil
	}
	out := w.b[:n]
	w.b = w.b[n:]
	return out
}

// number writes or reads an unsigned number.
func number[T uint16 | uint32 | uint64 | NeighborState](w *wire, v *T) {
	if w.writing {
		w.b = binary.AppendUvarint(w.b, uint64(*v))
		return
	}
	n, size := binary.Uvarint(w.b)
	if size <= 0 || uint64(T(n)) != n {
		w.bad = true
		return
	}
	*v, w.b = T(n), w.b[size:]
}

// wireByte writes or reads a small number.
func wireByte[T ~uint8](w *wire, v *T) {
	if w.writing {
		w.b = append(w.b, byte(*v))
	} else if one := w.take(1); one != nil {
		*v = T(one[0])
	}
}

// count is a number that is not negative and fits into 32 bits.
func (w *wire) count(v *int) {
	n := uint32(min(max(*v, 0), 1<<31-1))
	number(w, &n)
	if !w.writing {
		*v = int(n & (1<<31 - 1))
	}
}

func (w *wire) signed(v *int64) {
	if w.writing {
		w.b = binary.AppendVarint(w.b, *v)
		return
	}
	n, size := binary.Varint(w.b)
	if size <= 0 {
		w.bad = true
		return
	}
	*v, w.b = n, w.b[size:]
}

// signed32 is a number of fewer bits. While writing it only reads the record, which others may read
// at the same time.
func signed32[T int16 | int32](w *wire, v *T) {
	n := int64(*v)
	w.signed(&n)
	if !w.writing {
		*v, w.bad = T(n), w.bad || int64(T(n)) != n
	}
}

// flags writes or reads up to eight of them as one byte.
func (w *wire) flags(all ...*bool) {
	var bits byte
	for i, f := range all {
		if *f {
			bits |= 1 << i
		}
	}
	wireByte(w, &bits)
	if !w.writing {
		for i, f := range all {
			*f = bits&(1<<i) != 0
		}
	}
}

func (w *wire) mac(m *MAC) {
	if w.writing {
		w.b = append(w.b, m[:]...)
	} else {
		copy(m[:], w.take(len(m)))
	}
}

// addr is the address behind its length: 0, 4 or 16.
func (w *wire) addr(a *netip.Addr) {
	if w.writing {
		raw := a.AsSlice()
		w.b = append(append(w.b, byte(len(raw))), raw...)
		return
	}
	var n byte
	if wireByte(w, &n); n == 0 {
		return
	}
	parsed, ok := netip.AddrFromSlice(w.take(int(n)))
	*a, w.bad = parsed, w.bad || !ok
}

func (w *wire) prefix(p *netip.Prefix) {
	if w.writing {
		a := p.Addr()
		if !p.IsValid() {
			a = netip.Addr{}
		}
		if w.addr(&a); a.IsValid() {
			w.b = append(w.b, byte(p.Bits()))
		}
		return
	}
	var a netip.Addr
	if w.addr(&a); !a.IsValid() {
		return
	}
	var bits byte
	wireByte(w, &bits)
	*p = netip.PrefixFrom(a, int(bits))
	w.bad = w.bad || !p.IsValid()
}
