package service

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"netchecker/probe"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want []Target
	}{
		{"", nil},
		{" , ,", nil},
		{"a=dns-udp://10.96.0.10:53/x.example.org", []Target{{"a", probe.ServiceDNSUDP, "10.96.0.10:53", "x.example.org"}}},
		{"a=dns-tcp://10.96.0.10/x.example.org.", []Target{{"a", probe.ServiceDNSTCP, "10.96.0.10:53", "x.example.org"}}},
		{"a=dns-udp://[fd00::a]:5353/x", []Target{{"a", probe.ServiceDNSUDP, "[fd00::a]:5353", "x"}}},
		{"a=dns-udp://[fd00::a]/x, b=dns-udp://fd00::a/x", []Target{{"a", probe.ServiceDNSUDP, "[fd00::a]:53", "x"}, {"b", probe.ServiceDNSUDP, "[fd00::a]:53", "x"}}},
		{"dns=dns://10.96.0.10/x.example.org", []Target{{"dns-udp", probe.ServiceDNSUDP, "10.96.0.10:53", "x.example.org"},
			{"dns-tcp", probe.ServiceDNSTCP, "10.96.0.10:53", "x.example.org"}}},
		{"a=tcp://192.0.2.1:22,b=tcp://db.example.org:5432", []Target{{"a", probe.ServiceTCP, "192.0.2.1:22", ""}, {"b", probe.ServiceTCP, "db.example.org:5432", ""}}},
		{"server-vip=http://10.96.0.81:8081/api/v1/ping", []Target{{"server-vip", probe.ServiceHTTP, "http://10.96.0.81:8081/api/v1/ping", ""}}},
		{"a=https://example.org/?q=1%2C2", []Target{{"a", probe.ServiceHTTP, "https://example.org/?q=1%2C2", ""}}},
	} {
		got, err := Parse(c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseNamesWhatIsWrongAndWhatIsAllowed(t *testing.T) {
	for text, wants := range map[string][]string{
		"10.96.0.10:53":                                         {`"10.96.0.10:53"`, "NAME=KIND://ADDRESS"},
		"a=10.96.0.10:53":                                       {"NAME=KIND://ADDRESS"},
		"a=udp://10.96.0.10:53/x":                               {`kind "udp"`, "dns-udp://"},
		"=tcp://192.0.2.1:1":                                    {`name ""`, "letters, digits"},
		"a b=tcp://192.0.2.1:1":                                 {`name "a b"`},
		"a=dns-udp://dns.example:53/":                           {`DNS server "dns.example:53"`, "IP:PORT"},
		"a=dns-udp://10.96.0.10:0/x":                            {"IP:PORT"},
		"a=dns-udp://10.96.0.10":                                {`query ""`, "must exist"},
		"a=dns-udp://10.96.0.10/x..y":                           {`query "x..y"`},
		"a=dns://10.96.0.10/" + strings.Repeat("x", 64):         {"DNS name"},
		"a=dns://10.96.0.10/" + strings.Repeat("x.", 130) + "x": {"261 bytes", "253"},
		"a=tcp://192.0.2.1":                                     {`address "192.0.2.1"`, "HOST:PORT"},
		"a=tcp://host:70000":                                    {"HOST:PORT"},
		"a=tcp://:80":                                           {"HOST:PORT"},
		"a=http:///ping":                                        {"want a host"},
		"a=http://user:secret@192.0.2.1/":                       {"neither user"},
		"a=http://192.0.2.1:99999/":                             {"port from 1 to 65535"},
		"a=http://192.0.2.1/%zz":                                {"bad URL"},
		"a=tcp://192.0.2.1:1,b=tcp://192.0.2.1:1,a=tcp://192.0.2.1:2": {"name a is taken"},
		"a-udp=tcp://192.0.2.1:1,a=dns://192.0.2.1/x":                 {"name a-udp is taken"},
		"a=http://192.0.2.1/" + strings.Repeat("x", 2000):             {"at most 1024"},
	} {
		got, err := Parse(text)
		if err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", text, got)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Parse(%q): %v, want %q in it", text, err, want)
			}
		}
	}
	var many []string
	for i := range MaxTargets + 1 {
		many = append(many, fmt.Sprintf("s%d=tcp://192.0.2.1:1", i))
	}
	if _, err := Parse(strings.Join(many, ",")); err == nil || !strings.Contains(err.Error(), "at most 256") {
		t.Errorf("%d services: %v", len(many), err)
	}
}

func TestTargetsTravelAsJSON(t *testing.T) {
	want, err := Parse("dns=dns://10.96.0.10/x.example.org,b=tcp://[fd00::1]:22,c=https://example.org/?q=1%2C2")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got []Target
	if err := json.Unmarshal(text, &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("%s became %+v, %v", text, got, err)
	}
	if err := json.Unmarshal([]byte(`["a=tcp://nobody"]`), &got); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("a bad target was taken: %v", err)
	}
}

func TestAKindOfANewerServerIsTakenAndKept(t *testing.T) {
	var got []Target
	text := `["a=quic://192.0.2.1:443","b=tcp://192.0.2.1:1"]`
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got) != 2 || got[0].Kind != "quic" {
		t.Fatalf("%+v, %v", got, err)
	}
	if back, _ := json.Marshal(got); string(back) != text {
		t.Errorf("%s became %s", text, back)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"a=dns-udp://10.96.0.10:53/x.example.org", "dns=dns://[fd00::a]/x.", "a=tcp://h:1,b=http://h/%2C?x#y",
		"a=https://[::1]:443/ x", "a=http://H%41/", "a=b=c://d", "a=tcp://[fe80::1%25eth0]:1", "a=http://h?,",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		targets, err := Parse(text)
		if err != nil {
			return
		}
		var again []string
		for _, target := range targets {
			again = append(again, target.String())
		}
		joined := strings.Join(again, ",")
		back, err := Parse(joined)
		if err != nil || !slices.Equal(back, targets) {
			t.Errorf("%q became %q became %+v, %v, want %+v", text, joined, back, err, targets)
		}
	})
}
