package probe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"github.com/dchest/siphash"
)

// Keys is the set of keys an agent accepts in probe packets; the first one tags what it sends.
// It may be shared by the engine and the responder, and replaced while they run. The tag is
// SipHash-2-4 of the packet's first 72 bytes: 50 ns, and a forger without the key has one chance in 2^64.
type Keys struct {
	set atomic.Pointer[[]key]
}

type key struct {
	id     uint32
	k0, k1 uint64
}

// publicSecret makes the tag of an agent without a secret: a checksum that keeps strays out and no more.
const publicSecret = "netchecker: no secret"

// NewKeys derives one key from each secret. Without a secret the set holds a fixed public key.
func NewKeys(secrets ...[]byte) *Keys {
	k := new(Keys)
	k.Replace(secrets...)
	return k
}

// Replace swaps the whole set, at any time and from any goroutine. During a rotation pass the new
// secret and the old one, in the order to send with.
func (k *Keys) Replace(secrets ...[]byte) {
	if len(secrets) == 0 {
		secrets = [][]byte{[]byte(publicSecret)}
	}
	set := make([]key, 0, len(secrets))
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("netchecker probe tag 1"))
		sum := mac.Sum(nil)
		set = append(set, key{
			id: binary.BigEndian.Uint32(sum[16:]),
			k0: binary.BigEndian.Uint64(sum),
			k1: binary.BigEndian.Uint64(sum[8:]),
		})
	}
	k.set.Store(&set)
}

// Seal tags the encoded packet b with the first key and writes that key's id into it.
func (k *Keys) Seal(b []byte) {
	(*k.set.Load())[0].seal(b)
}

// SealAs tags b with the key that already stands in it, as a reply to a request under that key; false when it is not held.
func (k *Keys) SealAs(b []byte) bool {
	id := binary.BigEndian.Uint32(b[4:])
	for _, held := range *k.set.Load() {
		if held.id == id {
			held.seal(b)
			return true
		}
	}
	return false
}

// Check reports whether the key named in the encoded packet b is held, and whether the tag is right.
func (k *Keys) Check(b []byte) (held, right bool) {
	id := binary.BigEndian.Uint32(b[4:])
	for _, candidate := range *k.set.Load() {
		if candidate.id == id {
			held = true
			if candidate.tag(b) == binary.BigEndian.Uint64(b[tagged:]) {
				return true, true
			}
		}
	}
	return held, false
}

// tagged is how much of a packet the tag covers; the tag itself follows.
const tagged = 72

func (k *key) seal(b []byte) {
	binary.BigEndian.PutUint32(b[4:], k.id)
	binary.BigEndian.PutUint64(b[tagged:], k.tag(b))
}

func (k *key) tag(b []byte) uint64 { return siphash.Hash(k.k0, k.k1, b[:tagged]) }
