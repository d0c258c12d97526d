package history

import "encoding/binary"

// reader takes fields off the front of b. After the first error every further field is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errDamaged
	}
}

func (r *reader) byte() byte {
	if r.err != nil || len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// bounded reads an unsigned number that must not exceed most.
func (r *reader) bounded(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 || v > most {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.err != nil || n <= 0 || v > 1<<50 || v < -1<<50 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of records, each of which takes at least a byte.
func (r *reader) count() int {
	n := r.bounded(1 << 32)
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
