package e2e

import (
	"net/url"
	"testing"
	"time"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

func TestDualStackWatchesEveryPathInBothFamilies(t *testing.T) {
	c := start(t, lab.Config{Nodes: 3, IPv6: true}, cluster.Config{IPv6: true})
	began := time.Now()
	for {
		m, err := c.Matrix(t.Context(), url.Values{"state": {"all"}})
		if err != nil {
			t.Fatal(err)
		}
		ok := map[string]int{}
		for _, p := range m.Pairs {
			if p.State == "ok" {
				ok[p.Family]++
			}
		}
		if ok["ipv4"] == paths4N(3) && ok["ipv6"] == paths4N(3) && len(m.Pairs) == 2*paths4N(3) {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("ok paths by family: %v of %d, want %d of each: %s", ok, len(m.Pairs), paths4N(3), brief(m))
		}
		pause(t.Context())
	}
	// Only IPv4 runs through the overlay of the lab: the fault must show in that family alone.
	heal, err := c.Lab.Inject(t.Context(), "fw-8472-in", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer heal()
	want, _ := expect(3, "PP,HP 2<>* failing")
	await(t, c, want)
	m, err := c.Matrix(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Pairs {
		if p.Family != "ipv4" {
			t.Errorf("%s>%s %s %s is %s", p.Source, p.Destination, p.Path, p.Family, p.State)
		}
	}
}

func TestPlainRoutesInsteadOfAnOverlay(t *testing.T) {
	c := start(t, lab.Config{Nodes: 3, Mode: lab.HostGW}, cluster.Config{})
	heal, err := c.Lab.Inject(t.Context(), "ip-forward-0", 2)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := expect(3, "PP 2<>* failing; HP *>2 failing; PH 2>* failing")
	await(t, c, want)
	if err := heal(); err != nil {
		t.Fatal(err)
	}
	awaitAllOK(t, c)
}
