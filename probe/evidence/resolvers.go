package evidence

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Resolvers returns the name servers that programs in this container ask, in the order of
// /etc/resolv.conf.
func Resolvers() ([]netip.Addr, error) {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil, err
	}
	return parseResolvers(string(text)), nil
}

func parseResolvers(text string) []netip.Addr {
	var out []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	return out
}
