package probe_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"netchecker/probe"
)

// outcome is what one kind of probe should say.
type outcome struct {
	state probe.State
	codes []probe.Code // any of them
	bytes uint16       // MaxBytes, where not 0
}

var fine = outcome{state: probe.OK, codes: []probe.Code{probe.CodeNone}}

func failing(codes ...probe.Code) outcome { return outcome{state: probe.Failing, codes: codes} }

func (o outcome) fits(s probe.Status) bool {
	for _, c := range o.codes {
		if s.State == o.state && s.Code == c && (o.bytes == 0 || s.MaxBytes == o.bytes) {
			return true
		}
	}
	return false
}

// kernelCase is one destination in namespace b (or beyond), broken by the kernel's own means.
type kernelCase struct {
	name   string
	to     string
	bytes  uint16
	a, b   string // commands that break it
	expect [probe.Kinds]outcome
}

var kernelCases = []kernelCase{
	{"healthy", "10.98.0.1:8095", 1500, "", "", [4]outcome{fine, fine, fine, fine}},
	{"healthy over IPv6", "[fd98::1]:8095", 1500, "", "", [4]outcome{fine, fine, fine, fine}},
	{"no process", "10.98.0.2:8094", 1500, "", "",
		[4]outcome{failing(probe.CodeRefused), failing(probe.CodeRefused), failing(probe.CodeRefused), fine}},
	{"no process over IPv6", "[fd98::2]:8094", 1500, "", "",
		[4]outcome{failing(probe.CodeRefused), failing(probe.CodeRefused), failing(probe.CodeRefused), fine}},
	{"dropped in silence", "10.98.0.3:8095", 1500, "", "iptables -A INPUT -d 10.98.0.3 -j DROP",
		[4]outcome{failing(probe.CodeTimeout), failing(probe.CodeTimeout), failing(probe.CodeTimeout), failing(probe.CodeTimeout)}},
	{"rejected by a firewall", "10.98.0.4:8095", 1500, "", "iptables -A INPUT -d 10.98.0.4 -j REJECT --reject-with icmp-admin-prohibited",
		[4]outcome{failing(probe.CodeHostUnreachable), failing(probe.CodeHostUnreachable), failing(probe.CodeHostUnreachable), failing(probe.CodeHostUnreachable)}},
	{"dropped by our own output rule", "10.98.0.5:8095", 1500, "iptables -A OUTPUT -d 10.98.0.5 -j DROP", "",
		[4]outcome{failing(probe.CodeNotPermitted), failing(probe.CodeNotPermitted), failing(probe.CodeTimeout), failing(probe.CodeNotPermitted)}},
	{"no route", "10.97.0.1:8095", 1500, "", "",
		[4]outcome{failing(probe.CodeNetUnreachable), failing(probe.CodeNetUnreachable), failing(probe.CodeNetUnreachable), failing(probe.CodeNetUnreachable)}},
	{"a black hole route", "10.98.0.6:8095", 1500, "ip route add blackhole 10.98.0.6", "",
		[4]outcome{failing(probe.CodeInvalid), failing(probe.CodeInvalid), failing(probe.CodeInvalid), failing(probe.CodeInvalid)}},
	{"nobody there", "10.99.0.9:8095", 1500, "", "",
		[4]outcome{failing(probe.CodeHostUnreachable, probe.CodeTimeout), failing(probe.CodeHostUnreachable, probe.CodeTimeout), failing(probe.CodeHostUnreachable, probe.CodeTimeout), failing(probe.CodeHostUnreachable, probe.CodeTimeout)}},
	{"large packets dropped in silence", "10.98.0.7:8095", 1500, "", "iptables -A INPUT -d 10.98.0.7 -m length --length 1451: -j DROP",
		[4]outcome{fine, {probe.Failing, []probe.Code{probe.CodeTimeout}, 1450}, failing(probe.CodeHung), fine}},
	{"larger than our own link", "10.98.0.8:8095", 1600, "", "",
		[4]outcome{fine, {probe.Failing, []probe.Code{probe.CodeTooBig}, 1500}, fine, fine}},
	{"larger than our own link over IPv6", "[fd98::8]:8095", 1600, "", "",
		[4]outcome{fine, {probe.Failing, []probe.Code{probe.CodeTooBig}, 1500}, fine, fine}},
	{"a router with a smaller MTU behind it", "10.96.0.1:8095", 1500, "", "",
		[4]outcome{fine, {probe.Failing, []probe.Code{probe.CodeTooBig}, 1400}, fine, fine}},
	{"the tcp port blocked", "10.98.0.10:8095", 1500, "", "iptables -A INPUT -d 10.98.0.10 -p tcp -j DROP",
		[4]outcome{fine, fine, failing(probe.CodeTimeout), fine}},
	{"ping blocked", "10.98.0.11:8095", 1500, "", "iptables -A INPUT -d 10.98.0.11 -p icmp --icmp-type echo-request -j DROP",
		[4]outcome{fine, fine, fine, failing(probe.CodeTimeout)}},
	{"a program that accepts and says nothing", "10.98.0.12:8093", 1500, "", "",
		[4]outcome{failing(probe.CodeRefused), failing(probe.CodeRefused), failing(probe.CodeHung), fine}},
	{"a program that says something else", "10.98.0.13:8092", 1500, "", "",
		[4]outcome{failing(probe.CodeRefused), failing(probe.CodeRefused), failing(probe.CodeBadAnswer, probe.CodeReset), fine}},
}

// breakAll sets the scene: a third namespace behind b over a link of MTU 1400, two strange programs, and every case's fault.
func breakAll(t *testing.T, p pair) {
	t.Helper()
	far := strings.Replace(p.b, "-b-", "-c-", 1)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", far).Run() })
	if out, err := exec.Command("ip", "netns", "add", far).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sh(t, p.b, "ip link add eth1 mtu 1400 type veth peer name eth0 mtu 1400 netns "+far+
		"; ip link set eth1 up; ip addr add 10.95.0.1/24 dev eth1; sysctl -qw net.ipv4.ip_forward=1; ip route add 10.96.0.0/16 via 10.95.0.2")
	sh(t, far, "ip link set lo up; ip link set eth0 up; ip addr add 10.95.0.2/24 dev eth0; ip route add default via 10.95.0.1; ip route add local 10.96.0.0/16 dev lo")
	sh(t, p.a, "ip route add 10.96.0.0/16 via 10.99.0.2")
	startChild(t, far, childConfig{Role: "echo", Port: 8095})
	for _, c := range kernelCases {
		if c.a != "" {
			sh(t, p.a, c.a)
		}
		if c.b != "" {
			sh(t, p.b, c.b)
		}
	}
	for port, text := range map[int]string{8093: "", 8092: "SSH-2.0-OpenSSH_9.2\r\n"} {
		var l net.Listener
		inside(t, p.b, func() {
			var err error
			if l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port)); err != nil {
				t.Error(err)
			}
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			var conns []net.Conn
			for {
				c, err := l.Accept()
				if err != nil {
					break
				}
				if text != "" {
					_, _ = c.Write([]byte(text))
				}
				conns = append(conns, c)
			}
			for _, c := range conns {
				c.Close()
			}
		}()
		t.Cleanup(func() {
			l.Close()
			<-done
		})
	}
}

// TestKernel lets one engine without any privilege meet every fault of kernelCases at once.
func TestKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 seconds")
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("needs iptables")
	}
	p := newPair(t)
	breakAll(t, p)
	startChild(t, p.b, childConfig{Role: "echo", Port: 8095})
	targets := make([]probe.Target, len(kernelCases))
	for i, c := range kernelCases {
		targets[i] = probe.Target{ID: uint64(100 + i), Addr: netip.MustParseAddrPort(c.to), Bytes: c.bytes}
	}
	sh(t, p.a, "sysctl -qw net.ipv4.ping_group_range='0 65535'")
	engine := startChild(t, p.a, childConfig{Role: "engine", Targets: targets, UID: 65534})
	var r report
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		r = engine.report(t)
		var wrong strings.Builder
		for i, c := range kernelCases {
			for k, want := range c.expect {
				if got := r.Paths[i].Probes[k]; !want.fits(got) {
					wrong.WriteString(fmt.Sprintf("\n%s: %v: %v %q %+v, want %v %v", c.name, probe.Kind(k), got.State, got.Code, got, want.state, want.codes))
				}
			}
		}
		if wrong.String() == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("after half a minute:%s\n%+v", wrong.String(), r.Stats)
			break
		}
	}
	if len(r.Notes) != 0 {
		t.Errorf("notes: %q", r.Notes)
	}
	for _, i := range []int{0, 1} {
		for k, s := range r.Paths[i].Probes {
			if s.RTT <= 0 || s.Loss != 0 {
				t.Errorf("%s: %v: round trip %v, loss %d", kernelCases[i].name, probe.Kind(k), s.RTT, s.Loss)
			}
		}
	}
	out, err := exec.Command("ip", "netns", "exec", p.a, "cat", "/proc/net/tcp", "/proc/net/tcp6").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), " 06 "); n > 0 {
		t.Errorf("%d connections in TIME_WAIT", n)
	}
}

func TestKernel_without_icmp(t *testing.T) {
	p := newPair(t)
	startChild(t, p.b, childConfig{Role: "echo", Port: 8095})
	sh(t, p.a, "sysctl -qw net.ipv4.ping_group_range='1 0'")
	engine := startChild(t, p.a, childConfig{Role: "engine", UID: 65534, Targets: []probe.Target{{ID: 1, Addr: netip.MustParseAddrPort("10.98.0.1:8095"), Bytes: 1500}}})
	time.Sleep(3 * time.Second)
	r := engine.report(t)
	want := [probe.Kinds]outcome{fine, fine, fine, {state: probe.Unknown, codes: []probe.Code{probe.CodeOff}}}
	for k, o := range want {
		if got := r.Paths[0].Probes[k]; !o.fits(got) {
			t.Errorf("%v: %v %v", probe.Kind(k), got.State, got.Code)
		}
	}
	if len(r.Notes) != 2 || !strings.HasPrefix(r.Notes[0], "icmp probes over IPv4 are off: ping socket: permission denied") {
		t.Errorf("%q", r.Notes)
	}
}

func TestKernel_raw_icmp(t *testing.T) {
	p := newPair(t)
	sh(t, p.a, "sysctl -qw net.ipv4.ping_group_range='1 0'")
	only := [probe.Kinds]bool{probe.UDP: true, probe.MTU: true, probe.TCP: true}
	engine := startChild(t, p.a, childConfig{Role: "engine", Off: only, Targets: []probe.Target{
		{ID: 1, Addr: netip.MustParseAddrPort("10.98.0.1:1")}, {ID: 2, Addr: netip.MustParseAddrPort("[fd98::1]:1")}, {ID: 3, Addr: netip.MustParseAddrPort("10.97.0.1:1")}}})
	time.Sleep(4 * time.Second)
	r := engine.report(t)
	for i, o := range []outcome{fine, fine, failing(probe.CodeNetUnreachable)} {
		if got := r.Paths[i].Probes[probe.ICMP]; !o.fits(got) {
			t.Errorf("%v: %v %v", r.Paths[i].Target.Addr, got.State, got.Code)
		}
	}
	if r.Paths[0].Probes[probe.ICMP].RTT <= 0 {
		t.Error("no round trip")
	}
}
