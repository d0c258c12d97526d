package server

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"netchecker/api"
	"netchecker/probe"
)

// TestHTTPSServerIsProbedByTCP: plain HTTP at an HTTPS server is answered with status 400, by which
// every agent took the server for broken.
func TestHTTPSServerIsProbedByTCP(t *testing.T) {
	told := []api.ServiceTarget{
		{Name: "dns-vip-udp", Kind: probe.ServiceDNSUDP, Address: "10.96.0.10:53", Query: "kubernetes.default.svc.cluster.local"},
		{Name: "server-vip", Kind: probe.ServiceHTTP, Address: "http://[2001:db8::1]:8081/api/v1/ping"},
	}
	byTCP := []api.ServiceTarget{told[0], {Name: "server-vip", Kind: probe.ServiceTCP, Address: "[2001:db8::1]:8081"}}
	for text, want := range map[string][]api.ServiceTarget{
		"tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n": byTCP,
		"tls_server_config: {cert: inline, key: inline}\n":             byTCP,
		"basic_auth_users: {}\n":                                       told,
		"":                                                             told,
	} {
		file := filepath.Join(t.TempDir(), "web.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := reachable(told, hasTLS(file)); !slices.Equal(got, want) {
			t.Errorf("%q: told %+v, want %+v", text, got, want)
		}
	}
	if hasTLS("") {
		t.Error("no web configuration is no HTTPS")
	}
}
