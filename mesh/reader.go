package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errShort = errors.New("cut short")

// reader takes fields off the front of b. After the first error every further field is zero, so
// that a decoder checks err once a record and never indexes beyond what is there.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		if r.err == nil {
			r.err = errShort
		}
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 {
		if r.err == nil {
			r.err = errShort
		}
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bounded reads an unsigned number that must not exceed most.
func (r *reader) bounded(most uint64) uint64 {
	v := r.uvarint()
	if r.err == nil && v > most {
		r.err = fmt.Errorf("number %d: at most %d is allowed", v, most)
	}
	if r.err != nil {
		return 0
	}
	return v
}

// count reads a number of records; each takes at least one byte, so a count beyond what is left
// is refused before anything is allocated for it.
func (r *reader) count(most int) int {
	n := r.bounded(uint64(most))
	if r.err == nil && n > uint64(len(r.b)) {
		r.err = errShort
		return 0
	}
	return int(n)
}

// string reads a length byte and as many bytes.
func (r *reader) string() string { return string(r.take(int(r.byte()))) }
