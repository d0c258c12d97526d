package echo

import (
	"net/netip"
	"testing"
	"time"

	"netchecker/probe"
)

// bench is a responder with a clock that the test turns.
type bench struct {
	*Responder
	now  probe.Instant
	keys *probe.Keys
}

var source = netip.MustParseAddrPort("10.0.0.1:40000")

func newBench(change func(*Config)) *bench {
	b := &bench{keys: probe.NewKeys([]byte("secret"))}
	cfg := Config{Self: 7, Boot: 70, Keys: b.keys, Clock: func() probe.Instant { return b.now }}
	if change != nil {
		change(&cfg)
	}
	b.Responder = NewResponder(cfg)
	return b
}

func (b *bench) pass(d time.Duration) {
	b.now.Mono += d
	b.now.Wall += int64(d)
	b.Sweep()
}

// ask sends a request of sender 1 and returns the decoded reply.
func (b *bench) ask(p probe.Packet) (probe.Packet, bool) { return b.askFrom(p, source) }

func (b *bench) askFrom(p probe.Packet, from netip.AddrPort) (probe.Packet, bool) {
	if p.Type == 0 {
		p.Type = probe.TypeRequest
	}
	if p.Sender == 0 {
		p.Sender = 1
	}
	if p.Boot == 0 {
		p.Boot = 10
	}
	if p.Responder == 0 {
		p.Responder = 7
	}
	if p.Period == 0 {
		p.Period = 100
	}
	p.Flow = uint8(p.Seq) % probe.Flows
	packet := make([]byte, probe.PacketSize)
	p.Encode(packet)
	b.keys.Seal(packet)
	reply := b.Respond(packet, from, b.now)
	if reply == nil {
		return probe.Packet{}, false
	}
	var answer probe.Packet
	if err := answer.Decode(reply); err != nil {
		panic(err)
	}
	if _, right := b.keys.Check(reply); !right {
		panic("reply under a wrong tag")
	}
	return answer, true
}

func (b *bench) one() probe.Heard { return b.Heard(nil)[0] }

func TestResponder_tells_what_it_received(t *testing.T) {
	b := newBench(nil)
	var last probe.Packet
	for seq := uint32(100); seq < 140; seq++ {
		b.pass(time.Second)
		if seq%10 == 5 { // lost on the way here
			continue
		}
		answer, ok := b.ask(probe.Packet{Seq: seq, Cookie: uint64(seq)})
		if !ok || answer.Type != probe.TypeReply || answer.Responder != 7 || answer.ResponderBoot != 70 || answer.Sender != 1 ||
			answer.Cookie != uint64(seq) || answer.Seq != seq || answer.Highest != seq {
			t.Fatalf("%v %+v", ok, answer)
		}
		last = answer
	}
	for i := range uint32(40) {
		if seq := 139 - i; (last.Received>>i&1 == 0) != (seq%10 == 5) {
			t.Errorf("sequence %d: received %v", seq, last.Received>>i&1 != 0)
		}
	}
	h := b.one()
	if h.Sender != 1 || h.Boot != 10 || h.IPv6 || h.Highest != 139 || h.Counts[probe.UDP] != 36 || h.Loss != probe.LossOf(4, 40) ||
		h.State[probe.UDP] != probe.HeardLossy || h.State[probe.TCP] != probe.HeardNever {
		t.Errorf("%+v", h)
	}
}

func TestResponder_silence_and_return_are_signalled(t *testing.T) {
	b := newBench(nil)
	signalled := func() bool {
		select {
		case <-b.Changed():
			return true
		default:
			return false
		}
	}
	for seq := range uint32(10) {
		b.pass(time.Second)
		b.ask(probe.Packet{Seq: seq + 1})
	}
	if !signalled() || b.one().State[probe.UDP] != probe.HeardOK {
		t.Fatalf("%+v", b.one())
	}
	b.pass(2 * time.Second)
	if signalled() {
		t.Error("silent for two intervals already counts")
	}
	b.pass(250 * time.Millisecond)
	if !signalled() || b.one().State[probe.UDP] != probe.HeardSilent {
		t.Errorf("%+v", b.one())
	}
	b.ask(probe.Packet{Seq: 13})
	if !signalled() || b.one().State[probe.UDP] != probe.HeardOK {
		t.Errorf("%+v", b.one())
	}
	b.ask(probe.Packet{Seq: 14, Period: 4370}) // a large mesh: every 43.7 s
	b.pass(87 * time.Second)
	if b.one().State[probe.UDP] != probe.HeardOK {
		t.Errorf("%+v", b.one())
	}
}

func TestResponder_replays_do_not_count(t *testing.T) {
	b := newBench(nil)
	for seq := range uint32(100) {
		b.ask(probe.Packet{Seq: seq + 1})
	}
	before := b.one()
	answered := 0
	for range 20 {
		for _, seq := range []uint32{1, 50, 100} {
			if _, ok := b.ask(probe.Packet{Seq: seq}); ok {
				answered++
			}
		}
	}
	after := b.one()
	if after.Counts != before.Counts || after.Highest != before.Highest || answered > 2 {
		t.Errorf("%d answered; before %+v, after %+v", answered, before, after)
	}
	if s := b.Stats(); s.Replayed != 60 {
		t.Errorf("%+v", s)
	}
}

func TestResponder_lives_of_a_sender(t *testing.T) {
	b := newBench(nil)
	b.ask(probe.Packet{Seq: 50, Boot: 20})
	if a, ok := b.ask(probe.Packet{Seq: 51, Boot: 19}); !ok || a.Highest != 0 || b.one().Counts[probe.UDP] != 1 {
		t.Errorf("a recording of an earlier life: %+v, %+v", a, b.one())
	}
	if a, ok := b.ask(probe.Packet{Seq: 1, Boot: 21}); !ok || a.Highest != 1 || b.one().Counts[probe.UDP] != 1 || b.one().Boot != 21 {
		t.Errorf("a new life: %+v, %+v", a, b.one())
	}
	b.pass(4 * time.Second)
	if a, ok := b.ask(probe.Packet{Seq: 1, Boot: 5}); !ok || a.Highest != 1 || b.one().Boot != 5 {
		t.Errorf("a new life whose clock was set back: %+v, %+v", a, b.one())
	}
}

func TestResponder_requests_for_somebody_else(t *testing.T) {
	b := newBench(nil)
	for seq := range uint32(30) {
		b.ask(probe.Packet{Seq: seq + 1})
		if a, ok := b.ask(probe.Packet{Seq: seq + 1000, Responder: 8}); !ok || a.Responder != 7 || a.Received != 0 {
			t.Fatalf("%v %+v", ok, a)
		}
	}
	if h := b.one(); h.Counts[probe.UDP] != 30 || h.Loss != 0 {
		t.Errorf("%+v", h)
	}
}

func TestResponder_families_have_rows_of_their_own(t *testing.T) {
	b := newBench(nil)
	v6 := netip.MustParseAddrPort("[fd00::1]:40000")
	for seq := range uint32(10) {
		b.ask(probe.Packet{Seq: seq + 1})
		b.askFrom(probe.Packet{Seq: seq + 500}, v6)
	}
	rows := b.Heard(nil)
	if len(rows) != 2 || !rows[0].IPv6 || rows[1].IPv6 || rows[0].Highest != 509 || rows[1].Highest != 10 {
		t.Errorf("%+v", rows)
	}
}

func TestResponder_names_dead_flows(t *testing.T) {
	b := newBench(nil)
	for seq := uint32(1); seq <= 60; seq++ {
		if seq%16 != 5 {
			b.ask(probe.Packet{Seq: seq})
		}
	}
	if h := b.one(); h.BadFlows != 1<<5 {
		t.Errorf("%016b", h.BadFlows)
	}
}

func TestResponder_refuses(t *testing.T) {
	b := newBench(nil)
	good := make([]byte, probe.PacketSize)
	(&probe.Packet{Type: probe.TypeRequest, Sender: 1, Seq: 1, Responder: 7}).Encode(good)
	for _, tt := range []struct {
		name   string
		change func(p []byte) []byte
	}{
		{"nothing", func([]byte) []byte { return nil }},
		{"a short packet", func(p []byte) []byte { return p[:79] }},
		{"a wrong tag", func(p []byte) []byte { p[79] ^= 1; return p }},
		{"a changed sender under the old tag", func(p []byte) []byte { p[8] ^= 1; return p }},
		{"a reply", func(p []byte) []byte { p[1] = 2; b.keys.Seal(p); return p }},
		{"a notice", func(p []byte) []byte { p[1] = 3; b.keys.Seal(p); return p }},
		{"an icmp probe", func(p []byte) []byte { p[2] = byte(probe.ICMP); b.keys.Seal(p); return p }},
	} {
		p := append([]byte{}, good...)
		b.keys.Seal(p)
		if r := b.Respond(tt.change(p), source, b.now); r != nil {
			t.Errorf("%s is answered: %x", tt.name, r)
		}
	}
	if s := b.Stats(); s.Bad != 7 || s.Answered != 0 || len(b.Heard(nil)) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestResponder_unknown_keys_get_few_notices(t *testing.T) {
	b := newBench(nil)
	p := probe.Packet{Type: probe.TypeRequest, Sender: 1, Seq: 1, Cookie: 42, Responder: 7}
	packet := make([]byte, probe.PacketSize)
	p.Encode(packet)
	probe.NewKeys([]byte("other")).Seal(packet)
	notices := 0
	for range 1000 {
		if r := b.Respond(packet, source, b.now); r != nil {
			notices++
			var n probe.Packet
			if n.Decode(r) != nil || n.Type != probe.TypeNotice || n.Cookie != 42 || n.Responder != 7 {
				t.Fatalf("%+v", n)
			}
		}
		b.pass(time.Millisecond)
	}
	if notices == 0 || notices > 8 {
		t.Errorf("%d notices in a second", notices)
	}
	if len(b.Heard(nil)) != 0 {
		t.Error("a stranger is in the table")
	}
}

func TestResponder_limits(t *testing.T) {
	b := newBench(func(c *Config) { c.PerSource, c.Total = 50, 200 })
	ask := func(sources int) (answered int) {
		seq := uint32(b.now.Mono/time.Millisecond) * 100
		for range 2000 {
			for i := range sources {
				seq++
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), 1)
				if _, ok := b.askFrom(probe.Packet{Seq: seq, Sender: uint64(i + 1)}, from); ok {
					answered++
				}
			}
			b.pass(time.Millisecond)
		}
		return answered
	}
	if n := ask(1); n < 100 || n > 160 { // two seconds, and the burst of one
		t.Errorf("one source got %d answers in 2 s", n)
	}
	b.pass(10 * time.Second)
	if n := ask(20); n < 400 || n > 510 {
		t.Errorf("20 sources got %d answers in 2 s", n)
	}
	if b.Stats().Limited == 0 {
		t.Error("nothing is counted")
	}
}

func TestResponder_forgets_the_least_recent(t *testing.T) {
	b := newBench(func(c *Config) { c.Senders = 100 })
	for id := range uint64(1000) {
		b.now.Mono += 10 * time.Millisecond
		b.ask(probe.Packet{Seq: 1, Sender: id + 1})
		b.ask(probe.Packet{Seq: uint32(id + 2), Sender: 1})
	}
	rows := b.Heard(nil)
	if len(rows) != 100 || rows[0].Sender != 1 || rows[0].Counts[probe.UDP] < 900 {
		t.Errorf("%d rows, first %+v", len(rows), rows[0])
	}
	seen := map[uint64]bool{}
	for _, r := range rows {
		if r.Sender != 1 && r.Sender < 900 || seen[r.Sender] {
			t.Errorf("row of %d", r.Sender)
		}
		seen[r.Sender] = true
	}
}

func TestResponder_a_long_gap_begins_a_new_stretch(t *testing.T) {
	b := newBench(nil)
	for seq := range uint32(40) {
		b.ask(probe.Packet{Seq: seq + 1})
	}
	b.ask(probe.Packet{Seq: 10000})
	if h := b.one(); h.Loss != 0 || h.State[probe.UDP] != probe.HeardOK || h.Highest != 10000 {
		t.Errorf("%+v", h)
	}
	if a, ok := b.ask(probe.Packet{Seq: 10001}); !ok || a.Received != 3 {
		t.Errorf("%+v", a)
	}
}

func FuzzResponder(f *testing.F) {
	keys := probe.NewKeys()
	good := make([]byte, probe.PacketSize)
	(&probe.Packet{Type: probe.TypeRequest, Sender: 1, Seq: 1, Period: 100}).Encode(good)
	f.Add(good, true)
	f.Add([]byte("GET / HTTP/1.1"), false)
	f.Fuzz(func(t *testing.T, packet []byte, tag bool) {
		r := NewResponder(Config{Self: 7, Keys: keys})
		if tag && len(packet) >= probe.PacketSize {
			keys.Seal(packet)
		}
		for i := range 3 {
			reply := r.Respond(packet, source, probe.Instant{Mono: time.Duration(i) * time.Second})
			if len(reply) > len(packet) {
				t.Errorf("%d bytes answered with %d", len(packet), len(reply))
			}
		}
		r.Sweep()
		r.Heard(nil)
	})
}
