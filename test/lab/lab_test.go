package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"netchecker/test/lab"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
}

func TestHealthyNetworkAnswersOnEveryPath(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]lab.Config{
		"overlay, two racks, two families": {Nodes: 4, Zones: 2, IPv6: true},
		"routed, three racks":              {Nodes: 3, Zones: 3, Mode: lab.HostGW},
		"one node":                         {Nodes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRig(t, cfg)
			r.check(t, "")
			if cfg.IPv6 {
				r.checkFamily(t, "", overIPv6)
			}
		})
	}
}

func TestRacksHoldContiguousNodes(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 5, Zones: 2})
	var zones []string
	for i := range 5 {
		zones = append(zones, l.Node(i+1).Zone)
	}
	if got, want := strings.Join(zones, " "), "zone1 zone1 zone1 zone2 zone2"; got != want {
		t.Errorf("zones %s, want %s", got, want)
	}
}

func TestImpossibleConfigsAreRefused(t *testing.T) {
	for _, cfg := range []lab.Config{
		{Nodes: -1}, {Nodes: lab.MaxNodes + 1}, {Nodes: 2, Zones: 3}, {Mode: "ipip"}, {Name: "with-dash"}, {Name: "Upper"},
	} {
		if l, err := lab.Start(t.Context(), cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
			l.Close()
		}
	}
}

func TestStartThatIsCancelledLeavesNothing(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lab.Start(ctx, lab.Config{Name: ownName("cancelled")}); err == nil {
		t.Fatal("a cancelled start succeeds")
	}
	if left := namespaces(t, ownName("cancelled")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNameInUseIsRefusedAndTheOwnerUnharmed(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 2, Name: ownName("taken")})
	if _, err := lab.Start(t.Context(), lab.Config{Nodes: 2, Name: ownName("taken")}); err == nil {
		t.Fatal("two labs have one name")
	}
	if err := ping(l, l.Pod(1).Namespace, l.Pod(2).Addr, 56, false); err != nil {
		t.Errorf("the first lab is broken: %v", err)
	}
}

func TestReplacedPodLivesBesideTheOldOneUntilThatIsRemoved(t *testing.T) {
	r := startRig(t, lab.Config{Nodes: 3})
	old := r.Pod(2)
	var young lab.Endpoint
	for _, want := range []string{"10.244.2.3", "10.244.2.4"} {
		var err error
		if young, err = r.ReplacePod(2); err != nil {
			t.Fatal(err)
		}
		if young.Addr.String() != want || r.Pod(2) != young {
			t.Errorf("new pod %+v, want %s; Pod says %+v", young, want, r.Pod(2))
		}
	}
	for _, addr := range []netip.Addr{old.Addr, young.Addr} {
		if err := ping(r.Lab, r.Pod(1).Namespace, addr, 56, false); err != nil {
			t.Errorf("pod %v: %v", addr, err)
		}
	}
	if err := r.RemovePod(old); err != nil {
		t.Fatal(err)
	}
	if err := ping(r.Lab, r.Pod(1).Namespace, old.Addr, 56, false); err == nil {
		t.Error("the removed pod answers")
	}
	if err := r.Do(old.Namespace, func() error { return nil }); err == nil {
		t.Error("the removed pod's namespace can be entered")
	}
	if err := ping(r.Lab, young.Namespace, r.Pod(3).Addr, 56, false); err != nil {
		t.Errorf("the new pod cannot reach others after the removal: %v", err)
	}
}

func TestForwardCarriesConnectionsFromTheMachineToThePod(t *testing.T) {
	r := startRig(t, lab.Config{Nodes: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	target := fmt.Sprintf("%v:%d", r.Node(2).Addr, lab.ServerNodePort)
	addr, err := r.Forward(ctx, "127.0.0.1:0", r.Fabric().Namespace, target)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "through")
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "server through" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	cancel()
	for range 50 {
		if c, err = net.Dial("tcp", addr.String()); err != nil {
			return
		}
		c.Close()
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the forwarder still listens")
}

func TestDNSKnowsTheServicesByAllTheirNames(t *testing.T) {
	needRoot(t)
	l := start(t, lab.Config{Nodes: 2})
	for name, want := range map[string]string{
		"netchecker-service":                               "10.96.0.81",
		"netchecker-service.netchecker":                    "10.96.0.81",
		"Netchecker-Service.netchecker.svc.cluster.local":  "10.96.0.81",
		"kubernetes.default.svc.cluster.local":             "10.96.0.1",
		"other.netchecker.svc.cluster.local":               "",
		"netchecker-service.netchecker.svc.cluster.local.": "10.96.0.81",
	} {
		for _, network := range []string{"udp", "tcp"} {
			got, err := askDNS(l, l.Pod(1).Namespace, network, lab.DNSVIP, name)
			if want == "" {
				if err == nil {
					t.Errorf("%s over %s: %v, want no such name", name, network, got)
				}
				continue
			}
			if err != nil || got.String() != want {
				t.Errorf("%s over %s: %v, %v, want %s", name, network, got, err, want)
			}
		}
	}
}

// start is a lab without responders.
func start(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
