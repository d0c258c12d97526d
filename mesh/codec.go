package mesh

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"netchecker/probe"
)

// A row travels as four bytes "NCR" and the version, then one zstd frame of sections, each a tag
// byte, a uvarint length and that many bytes. A reader skips sections it does not know, so a newer
// agent can say more to an older server; what cannot be skipped gets a new version.
const (
	rowMagic   = "NCR"
	rowVersion = 1
)

// The sections of a row. Append only.
const (
	sectionSource       = 1 // name, meta
	sectionHead         = 2 // sequence, interval, doubt, flags
	sectionTableHash    = 3
	sectionTable        = 4 // present when the server asked for it
	sectionPlanes       = 5
	sectionDetails      = 6
	sectionHeardDetails = 7
	sectionServices     = 8
	sectionEvidence     = 9 // present when there is news
)

// MaxRow is the most bytes a row may have before compression: 65,536 columns with every detail.
const MaxRow = 4 << 20

// The longest and shortest interval a row may claim: beyond them it would be stale at once or
// look fresh for an hour.
const (
	MinRowInterval = 500 * time.Millisecond
	MaxRowInterval = time.Minute
)

// ErrUnknownTable says that a row names a table this reader has not seen: the agent must send the
// row again with the table in it.
var ErrUnknownTable = errors.New("unknown destination table")

// Codec encodes and decodes rows. It may be used by many goroutines.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCodec returns a codec whose memory for decoding is bounded by MaxRow.
func NewCodec() *Codec {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<18))
	if err != nil {
		panic(err) // options are constants
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxRow),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err)
	}
	return &Codec{enc: enc, dec: dec}
}

// Encode appends the row to dst, with its table or with the table's hash alone.
func (c *Codec) Encode(dst []byte, row *Row, withTable bool) []byte {
	raw := make([]byte, 0, len(row.planes)+64*(len(row.Details)+len(row.HeardDetails))+1024)
	raw = appendSection(raw, sectionSource, row.Source.AppendMeta(appendString(nil, row.Source.Name)))
	head := binary.AppendUvarint(nil, row.Sequence)
	head = binary.AppendUvarint(head, uint64(row.Interval.Milliseconds()))
	head = append(head, byte(row.Doubt))
	if row.Leaving {
		head = append(head, 1)
	} else {
		head = append(head, 0)
	}
	raw = appendSection(raw, sectionHead, head)
	raw = appendSection(raw, sectionTableHash, row.Table.hash[:])
	if withTable {
		raw = appendSection(raw, sectionTable, row.Table.append(nil))
	}
	raw = appendSection(raw, sectionPlanes, row.planes)
	raw = appendSection(raw, sectionDetails, appendDetails(nil, row.Details))
	raw = appendSection(raw, sectionHeardDetails, appendHeardDetails(nil, row.HeardDetails))
	raw = appendSection(raw, sectionServices, appendServices(nil, row.Services))
	if row.Evidence != nil {
		raw = appendSection(raw, sectionEvidence, probe.AppendSnapshot(nil, row.Evidence))
	}
	return c.enc.EncodeAll(raw, append(append(dst, rowMagic...), rowVersion))
}

func appendSection(dst []byte, tag byte, body []byte) []byte {
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(body)))
	return append(dst, body...)
}

// Decode reads a row. Its table comes from the row itself, and is then remembered in tables, or
// from tables by its hash; else the error is ErrUnknownTable. Errors name what is wrong; whatever
// body holds, Decode neither panics nor takes more than MaxRow bytes and the row's own size.
func (c *Codec) Decode(body []byte, tables *Tables) (*Row, error) {
	if len(body) < 4 || string(body[:3]) != rowMagic {
		return nil, errors.New("row: not a row: want it to begin with NCR")
	}
	if body[3] != rowVersion {
		return nil, fmt.Errorf("row: version %d: want %d", body[3], rowVersion)
	}
	raw, err := c.dec.DecodeAll(body[4:], nil)
	if err != nil {
		return nil, fmt.Errorf("row: %w", err)
	}
	sections, err := splitSections(raw)
	if err != nil {
		return nil, fmt.Errorf("row: %w", err)
	}
	row := &Row{}
	if err := row.decodeHead(&sections); err != nil {
		return nil, fmt.Errorf("row: %w", err)
	}
	if row.Table, err = rowTable(&sections, tables); err != nil {
		return nil, fmt.Errorf("row from %q: %w", row.Source.Name, err)
	}
	if err := row.decodeBody(&sections); err != nil {
		return nil, fmt.Errorf("row from %q: %w", row.Source.Name, err)
	}
	row.Seal()
	return row, nil
}

func splitSections(raw []byte) (out [16][]byte, err error) {
	for r := (reader{b: raw}); len(r.b) > 0; {
		tag := r.byte()
		body := r.take(int(r.bounded(MaxRow)))
		if r.err != nil {
			return out, fmt.Errorf("section %d: %w", tag, r.err)
		}
		if int(tag) < len(out) {
			if out[tag] != nil {
				return out, fmt.Errorf("section %d: twice", tag)
			}
			out[tag] = body
		}
	}
	return out, nil
}

func (row *Row) decodeHead(sections *[16][]byte) (err error) {
	r := reader{b: sections[sectionSource]}
	name := r.string()
	if r.err != nil {
		return fmt.Errorf("source: %w", r.err)
	}
	if row.Source, err = ParseMeta(name, r.b); err != nil {
		return err
	}
	r = reader{b: sections[sectionHead]}
	row.Sequence = r.uvarint()
	row.Interval = time.Duration(r.bounded(uint64(MaxRowInterval.Milliseconds()))) * time.Millisecond
	row.Doubt = Doubt(r.byte())
	row.Leaving = r.byte()&1 != 0
	if r.err != nil {
		return fmt.Errorf("head: %w", r.err)
	}
	if row.Interval < MinRowInterval {
		return fmt.Errorf("interval %v: want %v to %v", row.Interval, MinRowInterval, MaxRowInterval)
	}
	return nil
}

func rowTable(sections *[16][]byte, tables *Tables) (*Table, error) {
	var hash TableHash
	if copy(hash[:], sections[sectionTableHash]) != len(hash) {
		return nil, errors.New("table hash: cut short")
	}
	if t := tables.Get(hash); t != nil {
		return t, nil
	}
	if sections[sectionTable] == nil {
		return nil, ErrUnknownTable
	}
	t, err := parseTable(sections[sectionTable])
	if err != nil {
		return nil, err
	}
	if t.hash != hash {
		return nil, errors.New("table: does not have the hash the row names")
	}
	return tables.Add(t), nil
}

func (row *Row) decodeBody(sections *[16][]byte) (err error) {
	if n := rowPlanes * row.Table.Len(); len(sections[sectionPlanes]) != n {
		return fmt.Errorf("planes: %d bytes for %d destinations, want %d", len(sections[sectionPlanes]), row.Table.Len(), n)
	}
	// The sections share one buffer with everything else in the row: the planes, which stay for as
	// long as the row, are copied out so that the rest can go.
	row.planes = bytes.Clone(sections[sectionPlanes])
	if row.Details, err = parseDetails(sections[sectionDetails], row.Table.Len()); err != nil {
		return err
	}
	if row.HeardDetails, err = parseHeardDetails(sections[sectionHeardDetails], row.Table.Len()); err != nil {
		return err
	}
	if row.Services, err = parseServices(sections[sectionServices]); err != nil {
		return err
	}
	if b := sections[sectionEvidence]; b != nil {
		if row.Evidence, err = probe.ParseSnapshot(b); err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
	}
	return nil
}

// ascending reports whether the indexes grow strictly, which rules out duplicates too.
func ascending[T any](list []T, index func(T) uint32) bool {
	return slices.IsSortedFunc(list, func(a, b T) int {
		if index(a) < index(b) {
			return -1
		}
		return 1
	})
}
