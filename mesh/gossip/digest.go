package gossip

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// digestVersion is the first byte of the payload of an ack; another version is not compared.
const digestVersion = 1

const digestSize = 1 + 8

// appendDigest appends what an ack carries: version(1) and digest(8), big-endian.
func appendDigest(dst []byte, digest uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, digestVersion), digest)
}

// parseDigest reads the payload of an ack; longer ones are a newer program's. It never panics.
func parseDigest(payload []byte) (digest uint64, ok bool) {
	if len(payload) < digestSize || payload[0] != digestVersion {
		return 0, false
	}
	return binary.BigEndian.Uint64(payload[1:]), true
}

// memberHash stands for one live member in the digest, which is the exclusive or over all: it can
// be kept up to date without going through the others. The last steps are those of splitmix64,
// since bits of FNV alone cancel out between names that differ in one digit.
func memberHash(name string, meta []byte) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(meta)
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const (
	// digestSettle is how long our own digest must have stood still before a difference counts:
	// while news is under way everybody differs from everybody.
	digestSettle = 3 * time.Second
	// repairMost is the longest pause between repairs that do not help, as between two members
	// who each hold another owner of one name.
	repairMost = 10 * time.Minute
)

// repairer decides when a difference of digests is worth an exchange of whole lists.
type repairer struct {
	own       uint64
	changed   time.Time // when own last changed
	different int       // peers in a row whose digest differed
	pause     time.Duration
	next      time.Time // no repair before
}

func (r *repairer) toggle(hash uint64, now time.Time) {
	r.own ^= hash
	r.changed, r.different = now, 0
}

// differs notes a peer's digest and reports whether to exchange lists with it. Members is how
// many there are: the list grows with them, and so does the shortest pause.
func (r *repairer) differs(theirs uint64, members int, now time.Time) bool {
	if theirs == r.own {
		r.different, r.pause = 0, 0
		return false
	}
	if now.Sub(r.changed) < digestSettle {
		return false
	}
	r.different++
	if r.different < 2 || now.Before(r.next) {
		return false
	}
	r.pause = min(max(2*r.pause, 10*time.Second+time.Duration(members)*10*time.Millisecond), repairMost)
	r.next, r.different = now.Add(r.pause), 0
	return true
}
