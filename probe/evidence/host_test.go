package evidence

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestInterfacesAreInCIDRForm(t *testing.T) {
	got, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got["lo"], "127.0.0.1/8") {
		t.Errorf("lo has %q, want 127.0.0.1/8", got["lo"])
	}
	for name, addrs := range got {
		if addrs == nil {
			t.Errorf("%s has no list", name)
		}
		for _, a := range addrs {
			if _, err := netip.ParsePrefix(a); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestUptime(t *testing.T) {
	if up, err := Uptime(); err != nil || up <= 0 {
		t.Errorf("Uptime = %v, %v", up, err)
	}
	for text, want := range map[string]time.Duration{"12.34 56.78\n": 12340 * time.Millisecond, "0.00 0.00": 0} {
		if got, err := parseUptime(text); got != want || err != nil {
			t.Errorf("parseUptime(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "-1 2", "NaN 1", "1e99 1"} {
		if got, err := parseUptime(text); err == nil {
			t.Errorf("parseUptime(%q) = %v, want an error", text, got)
		}
	}
}

func TestResolversAreTheNameserverLines(t *testing.T) {
	got := parseResolvers("# nameserver 192.0.2.1\nsearch example.org\nnameserver 10.96.0.10 \n" +
		"nameserver\tfd00::a\nnameserver dns.example.org\nnameserver 10.96.0.10\noptions ndots:5")
	want := []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")}
	if !slices.Equal(got, want) {
		t.Errorf("resolvers %v, want %v", got, want)
	}
}
