package evidence

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"netchecker/probe"
)

// sysctlNames are the settings and levels of a namespace that break networks. Some exist only in
// the machine's first namespace, where host agents live.
var sysctlNames = []string{
	"net.ipv4.ip_forward",
	"net.ipv4.conf.all.forwarding",
	"net.ipv4.conf.all.rp_filter",
	"net.ipv4.conf.default.rp_filter",
	"net.ipv4.conf.all.arp_ignore",
	"net.ipv4.conf.all.arp_announce",
	"net.ipv4.conf.all.accept_local",
	"net.ipv4.conf.all.route_localnet",
	"net.ipv4.icmp_echo_ignore_all",
	"net.ipv4.ip_no_pmtu_disc",
	"net.ipv4.tcp_mtu_probing",
	"net.ipv4.neigh.default.gc_thresh1",
	"net.ipv4.neigh.default.gc_thresh2",
	"net.ipv4.neigh.default.gc_thresh3",
	"net.ipv6.neigh.default.gc_thresh3",
	"net.ipv6.conf.all.forwarding",
	"net.ipv6.conf.all.disable_ipv6",
	"net.ipv6.icmp.echo_ignore_all",
	"net.bridge.bridge-nf-call-iptables",
	"net.bridge.bridge-nf-call-ip6tables",
	"net.netfilter.nf_conntrack_max",
	"net.netfilter.nf_conntrack_count",
	"net.netfilter.nf_conntrack_tcp_be_liberal",
	"net.core.rmem_max",
	"net.core.netdev_max_backlog",
}

// linkSysctls are read for each link that routes packets, that is all but the ports of bridges.
var linkSysctls = []struct{ before, after string }{
	{"net.ipv4.conf.", ".rp_filter"},
	{"net.ipv4.conf.", ".forwarding"},
	{"net.ipv6.conf.", ".disable_ipv6"},
}

// readSysctls reads what is there; what is not there is not a problem, since most of it depends on
// modules and on the namespace.
func readSysctls(stop time.Time, links []probe.Link) (map[string]int64, error) {
	out := make(map[string]int64, len(sysctlNames)+3*len(links))
	read := func(name string) error {
		data, err := readProc(stop, sysctlPath(name), 64)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if v, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64); err == nil {
			out[name] = v
		}
		return nil
	}
	for _, name := range sysctlNames {
		if err := read(name); err != nil {
			return out, err
		}
	}
	for _, l := range links {
		if l.Kind == "loopback" || l.Master != "" && l.Kind == "veth" {
			continue
		}
		for _, s := range linkSysctls {
			if err := read(s.before + strings.ReplaceAll(l.Name, ".", "/") + s.after); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// sysctlPath turns the dots of a name into slashes and its slashes into dots, as sysctl(8) does.
// A link cannot be called ".." and none has a slash in its name, so that no path leaves the place.
func sysctlPath(name string) string {
	swap := func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}
	return "/proc/sys/" + strings.Map(swap, name)
}
