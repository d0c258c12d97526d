package mesh

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func fullAgent() Agent {
	return Agent{Name: "netchecker-agent-x7k2p", Key: Key{Node: "node-3.example.org", Network: Host}, Role: RoleAgent,
		Zone: "eu-1a", IPv4: netip.MustParseAddr("10.1.2.3"), IPv6: netip.MustParseAddr("fd00::3"),
		ProbePort: 8095, GossipPort: 8096, MTU: 1450, Boot: 1_767_000_000_123_456_789}
}

func TestMetaRoundTrip(t *testing.T) {
	onlyV6 := fullAgent()
	onlyV6.IPv4, onlyV6.Zone, onlyV6.MTU = netip.Addr{}, "", 0
	server := fullAgent()
	server.Role, server.IPv6 = RoleServer, netip.Addr{}
	longest := fullAgent()
	longest.Name, longest.Node = strings.Repeat("p", MaxName), strings.Repeat("n", MaxName)
	longest.Zone = strings.Repeat("z", MaxZone)
	for name, a := range map[string]Agent{"both families": fullAgent(), "IPv6 alone": onlyV6, "a server": server, "the longest names": longest} {
		t.Run(name, func(t *testing.T) {
			meta := a.AppendMeta([]byte("before"))
			meta = meta[len("before"):]
			if len(meta) > MaxMeta {
				t.Errorf("%d bytes, at most %d are allowed", len(meta), MaxMeta)
			}
			for _, tail := range []string{"", "of tomorrow"} {
				got, err := ParseMeta(a.Name, append(bytes.Clone(meta), tail...))
				if err != nil || got != a {
					t.Errorf("tail %q: %+v, %v\nwant %+v", tail, got, err, a)
				}
			}
		})
	}
}

// The wire form is a contract with agents of other versions: a change needs a new metaVersion.
func TestMetaGolden(t *testing.T) {
	a := Agent{Name: "p", Key: Key{Node: "n3", Network: Host}, Zone: "z", IPv4: netip.MustParseAddr("10.1.2.3"),
		ProbePort: 0x1f9f, GossipPort: 0x1fa0, MTU: 1500, Boot: 0x0102030405060708}
	want := "\x01\x00\x01\x00\x1f\x9f\x1f\xa0\x05\xdc\x01\x02\x03\x04\x05\x06\x07\x08\x02n3\x01z\x04\x0a\x01\x02\x03\x00"
	if got := a.AppendMeta(nil); string(got) != want {
		t.Errorf("%x\nwant %x", got, want)
	}
}

func TestMetaLeaving(t *testing.T) {
	a := fullAgent()
	meta := a.AppendMeta(nil)
	if MetaLeaving(meta) {
		t.Error("leaving from the start")
	}
	MarkLeaving(meta)
	got, err := ParseMeta(a.Name, meta)
	if !MetaLeaving(meta) || err != nil || got != a {
		t.Errorf("leaving %v, agent %+v, %v", MetaLeaving(meta), got, err)
	}
	for _, bad := range [][]byte{nil, {1}, {1, 0, 0}, {2, 0, 0, 1}} {
		if MetaLeaving(bad) {
			t.Errorf("%x is leaving", bad)
		}
	}
}

func TestParseMetaRefuses(t *testing.T) {
	good := fullAgent().AppendMeta(nil)
	if _, err := ParseMeta("p", append([]byte{2}, good[1:]...)); !errors.Is(err, ErrMetaVersion) {
		t.Errorf("another version: %v", err)
	}
	for n := range len(good) {
		if _, err := ParseMeta("p", good[:n]); err == nil {
			t.Errorf("%d of %d bytes were enough", n, len(good))
		}
	}
	for name, change := range map[string]func(a *Agent){
		"a node with a slash": func(a *Agent) { a.Node = "a/b" },
		"no node":             func(a *Agent) { a.Node = "" },
		"a zone with a quote": func(a *Agent) { a.Zone = `"` },
		"a long zone":         func(a *Agent) { a.Zone = strings.Repeat("z", MaxZone+1) },
		"no such network":     func(a *Agent) { a.Network = 2 },
		"no such role":        func(a *Agent) { a.Role = 2 },
		"no address":          func(a *Agent) { a.IPv4, a.IPv6 = netip.Addr{}, netip.Addr{} },
		"every address":       func(a *Agent) { a.IPv4 = netip.IPv4Unspecified() },
		"a group's address":   func(a *Agent) { a.IPv6 = netip.MustParseAddr("ff02::1") },
		"a mapped address":    func(a *Agent) { a.IPv6 = netip.MustParseAddr("::ffff:10.0.0.1") },
		"families swapped":    func(a *Agent) { a.IPv4, a.IPv6 = a.IPv6, a.IPv4 },
	} {
		a := fullAgent()
		change(&a)
		if got, err := ParseMeta(a.Name, a.AppendMeta(nil)); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	for _, name := range []string{"", "a b", "a/b", "\x00", strings.Repeat("x", MaxName+1)} {
		if _, err := ParseMeta(name, good); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

func FuzzParseMeta(f *testing.F) {
	good := fullAgent().AppendMeta(nil)
	f.Add("pod-1", good)
	f.Add("pod-1", good[:20])
	f.Add("pod-1", append(bytes.Clone(good), 1, 2, 3))
	f.Add("", []byte{})
	f.Add("p", []byte{metaVersion})
	f.Add("p", append([]byte{metaVersion, 1, 1, metaLeaving}, bytes.Repeat([]byte{255}, 300)...))
	f.Fuzz(func(t *testing.T, name string, meta []byte) {
		MetaLeaving(meta)
		a, err := ParseMeta(name, meta)
		if err != nil {
			return
		}
		if err := a.Check(); err != nil {
			t.Fatalf("taken but wrong: %v", err)
		}
		again := a.AppendMeta(nil)
		if len(again) > MaxMeta || len(again) > len(meta) {
			t.Fatalf("%d bytes became %d", len(meta), len(again))
		}
		again[metaFlags] = meta[metaFlags]
		if !bytes.Equal(again, meta[:len(again)]) {
			t.Fatalf("%x became %x", meta, again)
		}
	})
}

func BenchmarkParseMeta(b *testing.B) {
	meta := fullAgent().AppendMeta(nil)
	b.ReportAllocs()
	for b.Loop() {
		ParseMeta("pod-1", meta)
	}
}
