package probe

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

var samplePacket = Packet{
	Type: TypeReply, Kind: TCP, Flow: 13, KeyID: 0x01020304, Sender: 1 << 60, Boot: 3, Seq: 4, Period: 100, Size: 1500, Cookie: 7,
	Responder: 8, ResponderBoot: 9, Received: 1<<63 | 5, Highest: 11, Hold: 12,
}

func TestPacket_round_trip(t *testing.T) {
	var b [PacketSize]byte
	samplePacket.Encode(b[:])
	var got Packet
	if err := got.Decode(b[:]); err != nil || got != samplePacket {
		t.Errorf("%v: %+v", err, got)
	}
}

// The offsets are the contract with agents of other versions.
func TestPacket_layout(t *testing.T) {
	var b [PacketSize]byte
	samplePacket.Encode(b[:])
	for _, f := range []struct {
		name      string
		at, bytes int
		want      uint64
	}{
		{"version", 0, 1, 1}, {"type", 1, 1, 2}, {"kind", 2, 1, 2}, {"flow", 3, 1, 13}, {"key", 4, 4, 0x01020304},
		{"sender", 8, 8, 1 << 60}, {"boot", 16, 8, 3}, {"sequence", 24, 4, 4}, {"period", 28, 2, 100}, {"size", 30, 2, 1500},
		{"cookie", 32, 8, 7}, {"responder", 40, 8, 8}, {"responder's boot", 48, 8, 9}, {"received", 56, 8, 1<<63 | 5},
		{"highest", 64, 4, 11}, {"hold", 68, 4, 12},
	} {
		var word [8]byte
		copy(word[8-f.bytes:], b[f.at:f.at+f.bytes])
		if got := binary.BigEndian.Uint64(word[:]); got != f.want {
			t.Errorf("%s at %d is %d, want %d", f.name, f.at, got, f.want)
		}
	}
}

func TestPacket_Decode_refuses(t *testing.T) {
	var good [PacketSize]byte
	samplePacket.Encode(good[:])
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		want   error
	}{
		{"a short packet", func(b []byte) []byte { return b[:79] }, errShort},
		{"nothing", func([]byte) []byte { return nil }, errShort},
		{"another version", func(b []byte) []byte { b[0] = 2; return b }, errVersion},
		{"type 0", func(b []byte) []byte { b[1] = 0; return b }, errType},
		{"type 4", func(b []byte) []byte { b[1] = 4; return b }, errType},
		{"kind 4", func(b []byte) []byte { b[2] = 4; return b }, errKind},
		{"flow 16", func(b []byte) []byte { b[3] = 16; return b }, errFlow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := samplePacket
			if err := p.Decode(tt.change(bytes.Clone(good[:]))); err != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if p != samplePacket {
				t.Error("a refused packet was written")
			}
		})
	}
}

func FuzzPacket(f *testing.F) {
	var b [PacketSize]byte
	samplePacket.Encode(b[:])
	f.Add(b[:])
	f.Add([]byte{1, 1})
	keys := NewKeys([]byte("k"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Packet
		if p.Decode(data) != nil {
			return
		}
		again := make([]byte, PacketSize)
		p.Encode(again)
		if !bytes.Equal(again[:tagged], data[:tagged]) {
			t.Errorf("decoding %x and encoding gives %x", data[:tagged], again[:tagged])
		}
		if _, right := keys.Check(data); right {
			t.Errorf("a tag was guessed: %x", data)
		}
	})
}

func TestHeaders(t *testing.T) {
	for addr, want := range map[string]int{"10.0.0.1": 28, "::ffff:10.0.0.1": 28, "fd00::1": 48} {
		if got := Headers(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	var b [PacketSize]byte
	samplePacket.Encode(b[:])
	old, both, next := NewKeys([]byte("old")), NewKeys([]byte("next"), []byte("old")), NewKeys([]byte("next"))
	public := NewKeys()
	old.Seal(b[:])
	for _, tt := range []struct {
		name        string
		keys        *Keys
		held, right bool
	}{
		{"the key itself", old, true, true}, {"a set that still has it", both, true, true},
		{"a set that lost it", next, false, false}, {"no secret", public, false, false},
	} {
		if held, right := tt.keys.Check(b[:]); held != tt.held || right != tt.right {
			t.Errorf("%s: held %v, right %v", tt.name, held, right)
		}
	}
	if !both.SealAs(b[:]) || next.SealAs(b[:]) {
		t.Error("a reply is tagged with the key of its request")
	}
	if _, right := old.Check(b[:]); !right {
		t.Error("the tag by a set with both keys is wrong")
	}
	for i := range PacketSize { // every bit counts
		b[i] ^= 1
		if _, right := old.Check(b[:]); right {
			t.Errorf("byte %d is not covered by the tag", i)
		}
		b[i] ^= 1
	}
	next.Replace([]byte("third"), []byte("old"))
	if _, right := next.Check(b[:]); !right {
		t.Error("a replaced set does not accept")
	}
	public.Seal(b[:])
	if _, right := NewKeys().Check(b[:]); !right {
		t.Error("two agents without a secret do not understand each other")
	}
}
