package service

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"netchecker/probe"
)

// Target is one service to probe. Targets are comparable with ==. Their text form, which is also
// their JSON form, is NAME=KIND://ADDRESS:
//
//	dns-vip-udp=dns-udp://10.96.0.10:53/kubernetes.default.svc.cluster.local
//	dns-vip-tcp=dns-tcp://10.96.0.10:53/kubernetes.default.svc.cluster.local
//	server-vip=http://10.96.0.81:8081/api/v1/ping
//	registry=tcp://registry.example.org:5000
type Target struct {
	// Name is unique among the targets of an agent.
	Name string
	// Kind is one of the service kinds of package probe.
	Kind string
	// Address is IP:port for DNS, host:port for TCP, and the URL for HTTP.
	Address string
	// Query is the name that a DNS server must know, without the final dot; "" for other kinds.
	Query string
}

// MaxTargets bounds the targets of one agent; a row carries no more.
const MaxTargets = 256

// maxText bounds one target's text: a URL with a query has room.
const maxText = 1024

const syntax = "want NAME=KIND://ADDRESS with dns-udp://IP[:PORT]/QUERY, dns-tcp://IP[:PORT]/QUERY, " +
	"dns://IP[:PORT]/QUERY for both, tcp://HOST:PORT, http://… or https://…"

var (
	goodName  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	goodLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
)

// Parse reads targets in text form, separated by commas. "NAME=dns://…" stands for the two targets
// NAME-udp and NAME-tcp. Errors name the target and what is allowed.
func Parse(text string) ([]Target, error) {
	var out []Target
	seen := map[string]bool{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		targets, err := parseItem(item)
		if err != nil {
			return nil, fmt.Errorf("service %q: %w", item, err)
		}
		for _, t := range targets {
			if seen[t.Name] {
				return nil, fmt.Errorf("service %q: the name %s is taken, want unique names", item, t.Name)
			}
			seen[t.Name] = true
		}
		if out = append(out, targets...); len(out) > MaxTargets {
			return nil, fmt.Errorf("%d services, want at most %d", len(out), MaxTargets)
		}
	}
	return out, nil
}

func parseItem(item string) ([]Target, error) {
	name, rest, found := strings.Cut(item, "=")
	if found {
		if plain, both := strings.CutPrefix(rest, "dns://"); both {
			udp, err := parseTarget(name + "-udp=" + probe.ServiceDNSUDP + "://" + plain)
			if err != nil {
				return nil, err
			}
			tcp, err := parseTarget(name + "-tcp=" + probe.ServiceDNSTCP + "://" + plain)
			return []Target{udp, tcp}, err
		}
	}
	t, err := parseTarget(item)
	return []Target{t}, err
}

func parseTarget(item string) (Target, error) {
	if len(item) > maxText {
		return Target{}, fmt.Errorf("%d bytes, want at most %d", len(item), maxText)
	}
	name, rest, found := strings.Cut(item, "=")
	kind, address, schemed := strings.Cut(rest, "://")
	if !found || !schemed {
		return Target{}, errors.New(syntax)
	}
	if !goodName.MatchString(name) {
		return Target{}, fmt.Errorf("name %q: want 1 to 63 letters, digits, dots, dashes and underscores", name)
	}
	switch kind {
	case probe.ServiceDNSUDP, probe.ServiceDNSTCP:
		return parseDNS(name, kind, address)
	case probe.ServiceTCP:
		if err := checkHostPort(address); err != nil {
			return Target{}, err
		}
		return Target{Name: name, Kind: kind, Address: address}, nil
	case "http", "https":
		address, err := canonicalURL(rest)
		return Target{Name: name, Kind: probe.ServiceHTTP, Address: address}, err
	}
	return Target{Name: name, Kind: kind, Address: address}, fmt.Errorf("kind %q: %w: %s", kind, errKind, syntax)
}

// errKind says that a target is well formed but of a kind that this program does not know.
var errKind = errors.New("not known here")

func parseDNS(name, kind, rest string) (Target, error) {
	host, query, _ := strings.Cut(rest, "/")
	server, err := netip.ParseAddrPort(host)
	if err != nil {
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		if err != nil {
			return Target{}, fmt.Errorf("DNS server %q: want IP or IP:PORT", host)
		}
		server = netip.AddrPortFrom(addr, 53)
	}
	if server.Port() == 0 || server.Addr().Zone() != "" {
		return Target{}, fmt.Errorf("DNS server %q: want IP or IP:PORT", host)
	}
	server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	query = strings.TrimSuffix(query, ".")
	if err := checkName(query); err != nil {
		return Target{}, err
	}
	return Target{Name: name, Kind: kind, Address: server.String(), Query: query}, nil
}

// checkName accepts what a host or a service may be called in DNS.
func checkName(name string) error {
	if len(name) > 253 {
		return fmt.Errorf("query of %d bytes: want at most 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if !goodLabel.MatchString(label) {
			return fmt.Errorf("query %q: want a DNS name that must exist", name)
		}
	}
	return nil
}

func checkHostPort(text string) error {
	if addr, err := netip.ParseAddrPort(text); err == nil {
		if addr.Port() == 0 {
			return fmt.Errorf("address %q: want a port from 1 to 65535", text)
		}
		return nil
	}
	host, port, _ := strings.Cut(text, ":")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || checkName(host) != nil {
		return fmt.Errorf("address %q: want HOST:PORT", text)
	}
	return nil
}

// canonicalURL returns the URL in the one form that parses to itself, without what would break the
// list of targets or show a password in a report.
func canonicalURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("bad URL: " + strings.TrimPrefix(err.Error(), "parse "))
	}
	if u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("URL %q: want a host, and neither user nor fragment", text)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("URL %q: want a port from 1 to 65535", text)
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(u.String(), ",", "%2C"), " ", "%20"), nil
}

// String returns the text form; Parse reads it back.
func (t Target) String() string {
	switch t.Kind {
	case probe.ServiceHTTP:
		return t.Name + "=" + t.Address
	case probe.ServiceDNSUDP, probe.ServiceDNSTCP:
		return t.Name + "=" + t.Kind + "://" + t.Address + "/" + t.Query
	}
	return t.Name + "=" + t.Kind + "://" + t.Address
}

// MarshalText returns the text form.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the text form and checks it as Parse does, but takes kinds that this program
// does not know: a newer server may hand them out, and they must not cost an agent the others.
func (t *Target) UnmarshalText(text []byte) error {
	parsed, err := parseTarget(string(text))
	if err != nil && !errors.Is(err, errKind) {
		return fmt.Errorf("service %q: %w", text, err)
	}
	*t = parsed
	return nil
}
