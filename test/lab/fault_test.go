package lab_test

import (
	"fmt"
	"sync"
	"testing"

	"netchecker/test/lab"
)

// faultCase says which cells fail while a fault is in force. Everything else must work, and all of
// it once the fault is healed.
type faultCase struct {
	name string
	args []int
	want string
}

const (
	wholeNode  = "HH,PP,HP,PH: 3<>*; srv vip npt dns cdns ext = 3"
	overlayOf3 = "PP,HP: 3<>*; srv vip dns cdns = 3"
	forwarding = "PP: 3<>*; HP: *>3; PH: 3>*; srv:P vip:P npt:P dns:P cdns:P ext:P = 3"
	pair34     = "PP,HP: 3<>4"
)

var faultCases = []faultCase{
	{"fw-8472-in", []int{3}, overlayOf3},
	{"fw-8472-all", nil, "PP,HP: ALL; srv vip = 2345; npt = ALL; dns cdns = 1345"},
	{"ip-forward-0", []int{3}, forwarding},
	{"sg-pair", []int{3, 4}, "HH,PP,HP,PH: 3<>4"},
	{"node-dead", []int{3}, wholeNode},
	{"nic-down", []int{3}, wholeNode},
	{"mtu-fabric-low", []int{3}, "HH,PP,HP: icmpDF[3<>*] tcp8k[3<>*]"},
	{"mtu-flannel-low", []int{3}, "PP,HP: icmpDF[3>*]"},
	{"mtu-eth0-low", []int{3}, "HH: icmpDF[3<>*]; PP: icmpDF[3<>*] tcp8k[3<>*]; HP: icmpDF[3<>*] tcp8k[*>3]; " +
		"PH: icmpDF[3<>*]; ~HP,PH: tcp8k[3<>*]"},
	{"mtu-pmtud-blackhole", []int{3}, "PP: icmpDF[3>*] tcp8k[3<>*]; HP: icmpDF[3>*] tcp8k[*>3]"},
	{"tcp-syn-drop", []int{3}, "HH,PP,HP,PH: tcp[*>3] tcp8k[*>3]"},
	{"fw-agent-port", []int{3, 7070}, "HH,PH: tcp[*>3] tcp8k[*>3]; PHL: tcp[3] tcp8k[3]"},
	{"icmp-blocked", []int{3}, "HH,PH: icmp56[*>3] icmpDF[*>3]; PHL: icmp56[3] icmpDF[3]"},
	{"partition", nil, "HH,PP,HP,PH: {123}<>{45}; srv vip npt dns cdns ext = 45"},
	{"server-unreachable", []int{3}, "srv vip npt = 3"},
	{"iptables-flush", []int{3}, "PP: 3<>*; HP: *>3; PH: 3>*; srv:P npt:P cdns:P ext:P = 3; vip dns = 3"},
	{"firewalld", []int{3}, "HH: udp[*>3] tcp[*>3] tcp8k[*>3]; PP,HP: 3<>*; PH: icmp56[3>*] icmpDF[3>*] udp[3<>*] tcp[3<>*] tcp8k[3<>*]; " +
		"PHL: udp[3] tcp[3] tcp8k[3]; srv vip dns cdns = 3; npt:P ext:P = 3"},
	{"netpol-ingress", []int{3}, "PP,HP: *>3"},
	{"rp-filter-strict", []int{3}, ""},
	{"rp-filter-asym", []int{3, 4}, "PP: 3<>4; HP: 4>3"},
	{"nm-cni0-down", []int{3}, forwarding + "; HPL,PHL: 3"},
	{"nm-cni0-noaddr", []int{3}, forwarding + "; HPL,PHL: 3"},
	{"nm-cloud-setup", []int{3}, "PHL: 3; vip:H dns:H = 3"},
	{"nm-flannel-down", []int{3}, overlayOf3},
	{"nm-flannel-bounced", []int{3}, overlayOf3},
	{"vxlan-gone", []int{3}, overlayOf3},
	{"vxlan-port-mismatch", []int{3}, overlayOf3},
	{"vtep-wrong-ip", []int{3}, overlayOf3},
	{"fdb-missing", []int{3, 4}, pair34},
	{"route-missing", []int{3, 4}, pair34},
	{"kubeproxy-rules-gone", []int{3}, "vip dns = 3"},
	{"vip-broken", []int{3}, "vip = 3"},
	{"vip-no-endpoints", nil, "vip = ALL"},
	{"server-isolated", nil, "srv vip npt = ALL"},
	{"dns-acl-udp", []int{3}, "dns/udp cdns/udp = 3"},
	{"dns-acl-tcp", []int{3}, "dns/tcp cdns/tcp = 3"},
	{"coredns-dead", nil, "dns cdns = ALL"},
	{"coredns-servfail", nil, "dns cdns = ALL"},
	{"coredns-slow", nil, "dns cdns = ALL"},
	{"podcidr-overlaps-lan", []int{3}, overlayOf3},
	{"docker0-overlaps-nodenet", []int{3}, "HH,PP,HP,PH: 3<>*; srv vip npt dns cdns = 3"},
	{"dup-podcidr", []int{3, 4}, overlayOf3},
	{"dup-podcidr-sameip", []int{3, 4}, "PP,HP: icmp56[3>125] icmpDF[3>125] udp[3>125 *>3 3>4] tcp[3>125 *>3 3>4] tcp8k[3>125 *>3 3>4]; srv vip dns cdns = 3"},
	{"one-way", []int{3, 4}, "HH,PP,HP,PH: 3<>4"},
	{"input-drop", []int{3}, "HH: udp[*>3] tcp[*>3] tcp8k[*>3]; PH: udp[*>3] tcp[*>3] tcp8k[*>3]; PP,HP: 3<>*; srv vip dns cdns = 3"},
	{"netpol-egress", []int{3}, "PP: 3>*; PH: 3>*; srv:P vip:P npt:P dns:P cdns:P ext:P = 3"},
	{"pod-link-down", []int{3}, forwarding + "; HPL,PHL: 3"},
	{"route-blackhole", []int{3, 4}, pair34},
	{"bridge-overlaps-pods", []int{3, 4}, pair34},
	{"neigh-missing", []int{3, 4}, pair34},
	{"vtep-mac", []int{3}, overlayOf3},
	{"dup-ip", []int{3}, "HH,PH: icmp56[3>*] icmpDF[3>*] udp[3<>*] tcp[3<>*] tcp8k[3<>*]; PP,HP: 3<>*; srv vip npt dns cdns ext = 3"},
}

// Nearly all time goes by in time-outs, so that several labs are broken side by side, more than
// t.Parallel would allow on a small machine.
const faultLabs = 5

func TestEachFaultBreaksItsPathsAndHeals(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for shard := range faultLabs {
		wg.Go(func() {
			t.Run(fmt.Sprintf("lab%d", shard), func(t *testing.T) {
				r := startRig(t, lab.Config{Nodes: 5, Zones: 2, IPv6: shard%2 == 0})
				r.check(t, "")
				for i := shard; i < len(faultCases); i += faultLabs {
					c := faultCases[i]
					t.Run(c.name, func(t *testing.T) { r.breakAndHeal(t, c) })
				}
			})
		})
	}
	wg.Wait()
}

func (r rig) breakAndHeal(t *testing.T, c faultCase) {
	heal, err := r.Inject(t.Context(), c.name, c.args...)
	if err != nil {
		t.Fatal(err)
	}
	r.check(t, c.want)
	if err := heal(); err != nil {
		t.Error(err)
	}
	r.check(t, "")
	if r.Config().IPv6 {
		r.checkFamily(t, "", overIPv6)
	}
}
