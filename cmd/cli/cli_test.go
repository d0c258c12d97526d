package cli

import (
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, args []string, env map[string]string) (rate int, err error) {
	t.Helper()
	fs := flag.NewFlagSet("prog", flag.ContinueOnError)
	fs.IntVar(&rate, "probe-rate", 400, "")
	err = Parse(fs, args, func(name string) string { return env[name] })
	return rate, err
}

func TestFlagsComeWithOneDashOrTwoOrFromTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  map[string]string
		want int
	}{
		{nil, nil, 400},
		{[]string{"-probe-rate=7"}, nil, 7},
		{[]string{"--probe-rate", "8"}, nil, 8},
		{nil, map[string]string{"NETCHECKER_PROBE_RATE": "9"}, 9},
		{[]string{"-probe-rate=7"}, map[string]string{"NETCHECKER_PROBE_RATE": "9"}, 7},
	} {
		if got, err := parse(t, c.args, c.env); err != nil || got != c.want {
			t.Errorf("%v %v: %d, %v, want %d", c.args, c.env, got, err, c.want)
		}
	}
}

func TestABadCommandLineIsOneUsageErrorThatNamesTheBadThing(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  map[string]string
		name string
	}{
		{[]string{"-nonsense"}, nil, "nonsense"},
		{[]string{"-probe-rate=fast"}, nil, "fast"},
		{[]string{"extra"}, nil, "extra"},
		{nil, map[string]string{"NETCHECKER_PROBE_RATE": "fast"}, "NETCHECKER_PROBE_RATE"},
	} {
		_, err := parse(t, c.args, c.env)
		if _, usage := errors.AsType[*UsageError](err); !usage || !strings.Contains(err.Error(), c.name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v %v: %v, want one line that names %q", c.args, c.env, err, c.name)
		}
	}
}

func TestSecondsAreWholeNumbersOrDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "90": 90 * time.Second, "1m30s": 90 * time.Second} {
		var s Seconds
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(s), err, want)
		}
	}
	for _, text := range []string{"", "-1", "-5s", "99999999999999999999", "9000h", "soon"} {
		if err := new(Seconds).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestAddressesAreOnePerFamilyAndOfOneHost(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"MY_POD_IP": "10.0.0.1", "MY_POD_IPS": "10.0.0.1,fd00::1"}[name]
	}
	got, err := Addresses("", env)
	if err != nil || len(got) != 2 || got[0].String() != "10.0.0.1" || got[1].String() != "fd00::1" {
		t.Errorf("from the environment: %v, %v", got, err)
	}
	if got, err = Addresses("::ffff:10.0.0.9", env); err != nil || len(got) != 1 || got[0].String() != "10.0.0.9" {
		t.Errorf("an IPv4 address written as IPv6: %v, %v", got, err)
	}
	for _, bad := range []string{"node1", "0.0.0.0", "224.0.0.1", "fe80::1%eth0", "10.0.0.1/24"} {
		if got, err := Addresses(bad, env); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestEndpointsAndPorts(t *testing.T) {
	for _, good := range []string{"0.0.0.0:8081", "netchecker-service:8081", "[::1]:1"} {
		if err := CheckEndpoint("-endpoint", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "host", ":8081", "host:0", "host:65536", "host:http", "::1:80"} {
		if err := CheckEndpoint("-endpoint", bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := Port("-probe-port", 65536); err == nil {
		t.Error("port 65536 was taken")
	}
}

func TestSizesAreBytesOrHaveAUnit(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "4096": 4096, "4KiB": 4096, "256MiB": 256 << 20, "2GiB": 2 << 30} {
		var s Size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%q: %d, %v, want %d", text, s, err, want)
		}
		again := new(Size)
		if err := again.Set(s.String()); err != nil || *again != s {
			t.Errorf("%q is written %q, which reads %d, %v", text, s.String(), *again, err)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1.5GiB", "256MB", "1048576GiB", "9223372036854775807"} {
		if err := new(Size).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
