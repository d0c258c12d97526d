package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A block is what a Log keeps as one value: version, kind, flags, the moment in Unix ms, the number
// of ms until the moment after which nobody watched any more (0 but for beats), a checksum of all
// that, and the content, compressed where that helps.
const blockVersion = 1

// kind says what a block holds. The numbers are on disk: append only.
type kind uint8

const (
	// snapshotBlock holds all that is not ok, or a part of it. The first part begins a chapter.
	snapshotBlock kind = 1
	// changesBlock holds what changed at one moment.
	changesBlock kind = 2
	// findingsBlock holds findings that opened, were reworded or closed.
	findingsBlock kind = 3
	// beatBlock says that somebody watched until then and nothing changed.
	beatBlock kind = 4
)

// The flags of a block. They are on disk: append only.
const (
	flagZstd    = 1 << iota // the content is compressed
	flagChapter             // the first part of a snapshot
	flagSession             // nobody watched between the block before and this one
	flagLeftOut             // more paths were not ok than could be kept
)

// block is one value of a Log, taken apart.
type block struct {
	kind  kind
	flags uint8
	at    int64 // Unix ms
	body  []byte
}

// maxBody bounds the content of one block before compression: blocks of some 64 KB in a bolt file
// fit into the room that old ones leave.
const maxBody = 1 << 18

var errDamaged = errors.New("block is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// coder packs and unpacks blocks. Any goroutine may use it.
type coder struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCoder() *coder {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(maxBody))
	if err != nil {
		panic(err) // options are constants
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4*maxBody), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err)
	}
	return &coder{enc, dec}
}

func (c *coder) close() {
	c.enc.Close() // it has written nothing that could be lost
	c.dec.Close()
}

// worthwhile is the least content that is compressed.
const worthwhile = 64

func (c *coder) pack(b *block) []byte {
	body := b.body
	if len(body) >= worthwhile {
		if small := c.enc.EncodeAll(body, make([]byte, 0, len(body)/2)); len(small) < len(body) {
			body, b.flags = small, b.flags|flagZstd
		}
	}
	out := make([]byte, 0, len(body)+16)
	out = append(out, blockVersion, byte(b.kind), b.flags)
	out = binary.AppendUvarint(out, uint64(b.at))
	sum := crc32.Update(crc32.Checksum(out, castagnoli), castagnoli, body)
	out = binary.BigEndian.AppendUint32(out, sum)
	return append(out, body...)
}

// head reads a block but for its content, which stays packed.
func head(value []byte) (b block, err error) {
	if len(value) < 3 || value[0] != blockVersion {
		return b, fmt.Errorf("%w: no version %d", errDamaged, blockVersion)
	}
	at, n := binary.Uvarint(value[3:])
	if n <= 0 || at > 1<<62 || len(value) < 3+n+4 {
		return b, errDamaged
	}
	front := value[:3+n]
	sum := binary.BigEndian.Uint32(value[3+n:])
	b = block{kind: kind(value[1]), flags: value[2], at: int64(at), body: value[3+n+4:]}
	if sum != crc32.Update(crc32.Checksum(front, castagnoli), castagnoli, b.body) {
		return b, fmt.Errorf("%w: its checksum is another", errDamaged)
	}
	return b, nil
}

func (c *coder) unpack(value []byte) (block, error) {
	b, err := head(value)
	if err != nil || b.flags&flagZstd == 0 {
		return b, err
	}
	if b.body, err = c.dec.DecodeAll(b.body, nil); err != nil {
		return b, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return b, nil
}

func (b *block) time() time.Time { return time.UnixMilli(b.at).UTC() }
