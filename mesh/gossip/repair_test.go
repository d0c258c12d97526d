package gossip

import (
	"net/netip"
	"testing"
	"time"

	"netchecker/mesh"
)

// Who heard none of the packets about a newcomer learns of it from the digest in the next acks,
// long before memberlist's exchange by the clock.
func TestDigestRepairs(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 8)
		time.Sleep(5 * time.Minute)
		deaf := netip.AddrPortFrom(testAgent(3).IPv4, DefaultPort)
		net.setDrop(func(_, to netip.AddrPort) bool { return to == deaf })
		// A newcomer may ask the deaf one itself for its second list, over a stream: then take another.
		for i := 8; i == 8 || life(members[3], testAgent(i-1)) != "absent"; i++ {
			members = append(members, start(t, net.config(testAgent(i), seedOf(testAgent(0)))))
			time.Sleep(8 * time.Second)
		}
		net.setDrop(nil)
		took := within(t, 40*time.Second, "whole", func() bool { return whole(members, len(members)) })
		repairs := uint64(0)
		for _, g := range members {
			repairs += g.Stats().Repairs
		}
		t.Logf("whole %v after its ears were back, with %d repairs", took, repairs)
	})
}

func TestNoRepairsInPeace(t *testing.T) {
	bubble(t, func(t *testing.T, net *memnet) {
		members := net.mesh(t, 20)
		time.Sleep(time.Minute)
		before := uint64(0)
		for _, g := range members {
			before += g.Stats().Repairs
		}
		time.Sleep(time.Hour)
		after := uint64(0)
		for i, g := range members {
			after += g.Stats().Repairs
			if d, want := g.digest.Load(), members[0].digest.Load(); d != want {
				t.Errorf("member %d: digest %x, want %x", i, d, want)
			}
		}
		if after != before {
			t.Errorf("%d repairs in an hour without news", after-before)
		}
	})
}

func TestRepairerDecides(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r repairer
	r.toggle(memberHash("a", nil), now)
	if r.differs(1, 10, now.Add(time.Second)) || r.differs(1, 10, now.Add(2*time.Second)) {
		t.Error("repaired while news is under way")
	}
	now = now.Add(time.Minute)
	if r.differs(1, 10, now) {
		t.Error("repaired at the first difference")
	}
	if !r.differs(1, 10, now.Add(5*time.Second)) {
		t.Error("not repaired at the second")
	}
	repairs := 0
	for range 24 * 720 { // a day of pings that all differ, as with two owners of one name
		now = now.Add(5 * time.Second)
		if r.differs(1, 10, now) {
			repairs++
		}
	}
	if repairs > 160 {
		t.Errorf("%d futile repairs a day, want the pause to grow", repairs)
	}
	if r.differs(r.own, 10, now) || r.pause != 0 {
		t.Error("agreement does not end the pause")
	}
}

func TestDigestIsTheSameInAnyOrder(t *testing.T) {
	now := time.Now()
	var a, b repairer
	for i := range 100 {
		x := testAgent(i)
		y := testAgent(99 - i)
		a.toggle(memberHash(x.Name, x.AppendMeta(nil)), now)
		b.toggle(memberHash(y.Name, y.AppendMeta(nil)), now)
	}
	if a.own != b.own || a.own == 0 {
		t.Errorf("digests %x and %x", a.own, b.own)
	}
	got, ok := parseDigest(appendDigest(nil, a.own))
	if !ok || got != a.own {
		t.Errorf("read back %x, %v", got, ok)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(appendDigest(nil, 1<<63|5))
	f.Add(append(appendDigest(nil, 7), "newer"...))
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		digest, ok := parseDigest(payload)
		if ok && string(appendDigest(nil, digest)) != string(payload[:digestSize]) {
			t.Errorf("%x read as %x", payload, digest)
		}
	})
}

func TestMemberHashTellsMembersApart(t *testing.T) {
	seen := map[uint64]mesh.Agent{}
	for i := range 10_000 {
		a := testAgent(i)
		h := memberHash(a.Name, a.AppendMeta(nil))
		if old, taken := seen[h]; taken {
			t.Fatalf("%v and %v share a hash", old, a)
		}
		seen[h] = a
	}
}
