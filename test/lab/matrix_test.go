package lab_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/test/lab"
)

// cell is one probe of one path. Services have a kind like "vip:P", asked from a pod, and no dst.
type cell struct {
	kind, probe string
	src, dst    int
}

var serviceProbes = map[string][]string{
	"srv": {"tcp"}, "vip": {"tcp"}, "npt": {"tcp"}, "ext": {"tcp"},
	"dns": {"udp", "tcp"}, "cdns": {"udp", "tcp"},
}

// rig is a lab with an echo responder in every place.
type rig struct {
	*lab.Lab
}

func startRig(t *testing.T, cfg lab.Config) rig {
	t.Helper()
	needRoot(t)
	l, err := lab.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := 1; i <= l.Nodes(); i++ {
		serveEcho(t, l, place{l.Node(i), false})
		serveEcho(t, l, place{l.Pod(i), true})
	}
	serveFixed(t, l, l.ServerPod(), fmt.Sprintf("0.0.0.0:%d", lab.ServerPort), "server")
	serveFixed(t, l, l.Fabric(), fmt.Sprintf("%s:%d", lab.ExternalHost, echoPort), "external")
	return rig{l}
}

func overIPv4(p place) netip.Addr { return p.Addr }
func overIPv6(p place) netip.Addr { return p.Addr6 }

// measure probes everything and returns the cells that fail, with the last error.
func (r rig) measure(addr func(place) netip.Addr) map[cell]error {
	var mu sync.Mutex
	failed := map[cell]error{}
	var jobs []func()
	add := func(c cell, probe func() error) {
		jobs = append(jobs, func() {
			if err := probe(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[c] = err
			}
		})
	}
	for i := 1; i <= r.Nodes(); i++ {
		for j := 1; j <= r.Nodes(); j++ {
			for _, kind := range kindsBetween(i, j) {
				src, dst := r.place(kind[0], i), r.place(kind[1], j)
				for _, probe := range probeNames {
					add(cell{kind, probe, i, j}, func() error { return try(r.Lab, probe, src, dst, addr(dst)) })
				}
			}
		}
		for _, network := range []byte("PH") {
			for name, probes := range serviceProbes {
				for _, probe := range probes {
					src := r.place(network, i)
					c := cell{name + ":" + string(network), probe, i, 0}
					add(c, func() error { return r.tryService(name, probe, src.Namespace) })
				}
			}
		}
	}
	parallel(jobs)
	return failed
}

func kindsBetween(i, j int) []string {
	if i == j {
		return []string{"HPL", "PHL"}
	}
	return []string{"HH", "PP", "HP", "PH"}
}

func (r rig) place(network byte, i int) place {
	if network == 'P' {
		return place{r.Pod(i), true}
	}
	return place{r.Node(i), false}
}

// tryService asks a service from a place; the node port is that of node 2.
func (r rig) tryService(name, probe, ns string) (err error) {
	once := func() error { return r.dialService(name, ns) }
	switch name {
	case "dns":
		once = func() error { return r.askService(ns, probe, lab.DNSVIP) }
	case "cdns":
		once = func() error { return r.askService(ns, probe, r.DNSPod().Addr.String()) }
	}
	for range attempts {
		if err = once(); err == nil {
			return nil
		}
	}
	return err
}

func (r rig) dialService(name, ns string) error {
	addr, port, want := r.ServerPod().Addr, uint16(lab.ServerPort), "server"
	switch name {
	case "vip":
		addr = netip.MustParseAddr(lab.ServerVIP)
	case "npt":
		addr, port = r.Node(min(2, r.Nodes())).Addr, lab.ServerNodePort
	case "ext":
		addr, port, want = netip.MustParseAddr(lab.ExternalHost), echoPort, "external"
	}
	return exchangeTCP(r.Lab, ns, netip.AddrPortFrom(addr, port).String(), want, 0)
}

func (r rig) askService(ns, network, server string) error {
	got, err := askDNS(r.Lab, ns, network, server, "netchecker-service.netchecker.svc.cluster.local")
	if err == nil && got.String() != lab.ServerVIP {
		err = fmt.Errorf("service resolves to %v", got)
	}
	return err
}

// check measures until the failing cells are exactly the expected ones, or complains about the
// difference. Some faults and repairs need a moment: neighbours and learned MTUs change lazily.
func (r rig) check(t *testing.T, want string) {
	t.Helper()
	r.checkFamily(t, want, overIPv4)
}

func (r rig) checkFamily(t *testing.T, want string, addr func(place) netip.Addr) {
	t.Helper()
	e := parseExpectation(t, want, r.Nodes())
	var diff []string
	// Measuring is what loads the machine most: where it is too slow for that, less of it helps.
	pause := 100 * time.Millisecond
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(pause) {
		pause = min(pause*3/2, 5*time.Second)
		diff = e.diff(r.measure(addr))
		if len(diff) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	t.Errorf("want failing %q; %d cells differ:\n%s", want, len(diff), strings.Join(diff[:min(len(diff), 60)], "\n"))
}

func (e expectation) diff(failed map[cell]error) (lines []string) {
	for c, err := range failed {
		if !e.fail[c] && !e.maybe[c] {
			lines = append(lines, fmt.Sprintf("  fails: %v: %v", c, err))
		}
	}
	for c := range e.fail {
		if failed[c] == nil {
			lines = append(lines, fmt.Sprintf("  works: %v", c))
		}
	}
	slices.SortFunc(lines, cmp.Compare)
	return lines
}
