package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Port returns a port from a flag's value, which must be 1 to 65535.
func Port(flag string, value uint) (uint16, error) {
	if value < 1 || value > 65535 {
		return 0, fmt.Errorf("%s %d: want 1 to 65535", flag, value)
	}
	return uint16(value), nil
}

// CheckEndpoint returns an error naming flag unless endpoint is a host:port.
func CheckEndpoint(flag, endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	if n, perr := strconv.Atoi(port); err != nil || host == "" || perr != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%s %q: want host:port", flag, endpoint)
	}
	return nil
}

// SplitList splits a list at commas, semicolons and spaces, as the original agent's -probeurls may be given.
func SplitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
}

// Addresses returns what -advertise names, else MY_POD_IP and MY_POD_IPS, at most one address a
// family, the first of each; nothing when neither says anything.
func Addresses(advertise string, getenv func(string) string) (out []netip.Addr, err error) {
	text, what := advertise, "-advertise"
	if text == "" {
		text, what = getenv("MY_POD_IP")+","+getenv("MY_POD_IPS"), "MY_POD_IP"
	}
	var taken [2]bool
	for _, item := range SplitList(text) {
		addr, err := netip.ParseAddr(item)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
			return nil, fmt.Errorf("%s %q: want the IP address of one host", what, item)
		}
		addr = addr.Unmap()
		family := 0
		if addr.Is6() {
			family = 1
		}
		if !taken[family] {
			taken[family], out = true, append(out, addr)
		}
	}
	return out, nil
}

// Seconds is a flag that takes whole seconds, as the original programs do, or a duration such as 90s.
type Seconds time.Duration

// String returns the value as a duration.
func (s *Seconds) String() string { return time.Duration(*s).String() }

// Set reads the value; negative ones and those beyond a year are errors.
func (s *Seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.ParseUint(text, 10, 32); nerr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > 365*24*time.Hour {
		return errors.New("want seconds or a duration such as 90s, up to a year")
	}
	*s = Seconds(d)
	return nil
}

// Size is a flag that takes bytes, or a number with one of the units KiB, MiB and GiB.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String returns the value in the largest unit that fits.
func (s *Size) String() string {
	for _, u := range units {
		if n := int64(*s); n > 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set reads the value; negative ones and those of 1 PiB and more are errors.
func (s *Size) Set(text string) error {
	number, factor := text, int64(1)
	for _, u := range units {
		if n, found := strings.CutSuffix(text, u.name); found {
			number, factor = n, u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n >= 1<<50/factor {
		return errors.New("want bytes, or a size such as 256MiB")
	}
	*s = Size(n * factor)
	return nil
}
