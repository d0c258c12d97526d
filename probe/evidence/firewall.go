package evidence

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// The messages and attributes of nftables, from linux/netfilter/nf_tables.h. What iptables-nft
// writes is read the same way; that of iptables-legacy is not.
const (
	nftSubsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	nftNewChain  = nftSubsystem | unix.NFT_MSG_NEWCHAIN
	nftGetChain  = nftSubsystem | unix.NFT_MSG_GETCHAIN
	nftNewRule   = nftSubsystem | unix.NFT_MSG_NEWRULE
	nftGetRule   = nftSubsystem | unix.NFT_MSG_GETRULE
	nfGenSize    = 4
)

// chainKey names a chain.
type chainKey struct {
	family      byte
	table, name string
}

// maxChainsSeen bounds what is remembered while reading: a service has several chains.
const maxChainsSeen = 100_000

// firewall reads the packet filter, for which NET_ADMIN is needed.
func (r *reading) firewall() {
	f, cut, err := readFirewall(r.stop) // last, so that it may take what time is left
	r.missing("firewall", err)
	r.LeftOut.FirewallRules = cut
	if err == nil {
		r.Firewall = f
	}
	if tables := legacyTables(); tables != "" {
		r.missing("firewall", fmt.Errorf("%s of iptables-legacy cannot be read", tables))
	}
}

func readFirewall(stop time.Time) (f *probe.Firewall, cut int, err error) {
	c, err := dialNetlink(unix.NETLINK_NETFILTER, stop)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	chains := map[chainKey]*probe.Chain{}
	var order []chainKey
	all := make([]byte, nfGenSize)
	err = c.ask(nftGetChain, unix.NLM_F_DUMP, all, func(kind uint16, b []byte) {
		if kind == nftNewChain && len(b) >= nfGenSize && len(order) < maxChainsSeen {
			key, chain := parseChain(b)
			chains[key] = &chain
			order = append(order, key)
		}
	})
	if err != nil {
		return nil, 0, fmt.Errorf("chains: %w", err)
	}
	f = &probe.Firewall{}
	loaded := map[uint32]operand{}
	err = c.ask(nftGetRule, unix.NLM_F_DUMP, all, func(kind uint16, b []byte) {
		if kind != nftNewRule || len(b) < nfGenSize {
			return
		}
		key, rule := parseRuleMessage(b, loaded)
		chain := chains[key]
		if chain == nil {
			return
		}
		countRule(chain, rule)
		if rule.drop.Verdict == "" {
			return
		}
		if len(f.Drops) == MaxDropRules {
			cut++
			return
		}
		rule.drop.Family, rule.drop.Table, rule.drop.Chain = chain.Family, chain.Table, chain.Name
		f.Drops = append(f.Drops, rule.drop)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("rules: %w", err)
	}
	f.Chains = keepChains(order, chains)
	return f, cut, nil
}

func countRule(c *probe.Chain, r nftRule) {
	c.Rules++
	switch {
	case r.nat:
		c.NATs++
	case r.jump:
		c.Jumps++
	case r.accept:
		c.Accepts++
	}
}

var nftFamilies = map[byte]string{0: "netdev", 1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

var nftHooks = [...]string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

func parseChain(b []byte) (chainKey, probe.Chain) {
	c := probe.Chain{Family: nftFamilies[b[0]]}
	for kind, value := range attributes(b[nfGenSize:]) {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			c.Table = text(value)
		case unix.NFTA_CHAIN_NAME:
			c.Name = text(value)
		case unix.NFTA_CHAIN_POLICY:
			if c.Policy = "accept"; big32(value) == 0 {
				c.Policy = "drop"
			}
		case unix.NFTA_CHAIN_HOOK:
			for k, v := range attributes(value) {
				switch k {
				case unix.NFTA_HOOK_HOOKNUM:
					if n := big32(v); c.Family == "netdev" {
						c.Hook = "ingress"
					} else if n < uint32(len(nftHooks)) {
						c.Hook = nftHooks[n]
					}
				case unix.NFTA_HOOK_PRIORITY:
					c.Priority = int32(big32(v))
				}
			}
		}
	}
	return chainKey{b[0], c.Table, c.Name}, c
}

// knownChains begin the names of the chains that tell which programs manage the filter. Those of
// single services and pods, of which there are thousands, are left out.
var (
	knownChains = []string{"KUBE-", "FLANNEL-", "CNI-", "cali-", "DOCKER", "CILIUM_", "WEAVE-", "ANTREA-", "services", "service-ips", "filter-"}
	manyChains  = []string{"KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SVL-", "KUBE-XLB-", "KUBE-POD-FW-", "KUBE-NWPLCY-",
		"cali-tw-", "cali-fw-", "cali-pi-", "cali-po-", "cali-pri-", "cali-pro-", "CNI-DN-", "CNI-SN-"}
)

func keepChains(order []chainKey, chains map[chainKey]*probe.Chain) (kept []probe.Chain) {
	begins := func(name string, with []string) bool {
		return slices.ContainsFunc(with, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	for _, base := range []bool{true, false} { // base chains first, should there be too many
		for _, key := range order {
			c := chains[key]
			if base == (c.Hook != "") && (base || begins(c.Name, knownChains) && !begins(c.Name, manyChains)) && len(kept) < MaxChains {
				kept = append(kept, *c)
			}
		}
	}
	return kept
}

// legacyTables names the tables that exist besides those of nftables, as far as that can be told.
func legacyTables() string {
	var found []string
	for _, f := range []string{"ip_tables_names", "ip6_tables_names"} {
		if data, err := os.ReadFile(procNet + f); err == nil && len(data) > 0 {
			found = append(found, strings.Fields(string(data))...)
		}
	}
	if found == nil { // the files are root's; the modules are there for all to see
		for _, table := range []string{"filter", "nat", "mangle", "raw"} {
			if _, err := os.Stat("/sys/module/iptable_" + table); err == nil {
				found = append(found, table)
			}
		}
	}
	return strings.Join(found, ", ")
}

func big32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
